// The engine: one parametric accelerator driven by a program (toolflow/engine/PROGRAM.md).
// Parameters are the fields of toolflow.engine.config.EngineConfig. Every instruction runs alone; while it
// does, the next one is prepared and the weights of the layers to come are loaded.
module cascade_engine
  import cascade_pkg::*;
#(
  parameter int unsigned LanesK = 16,
  parameter int unsigned LanesP = 8,
  parameter int unsigned Slots = 1,
  parameter int unsigned DrainK = 1,
  parameter int unsigned SubRow = 8,
  parameter int unsigned WeightBits = 8,
  parameter int unsigned ActivationBits = 8,
  parameter int unsigned AccumulatorBits = 32,
  parameter int unsigned BusBits = 128,
  parameter int unsigned BankDepth = 4096,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned ResultDepth = 16,
  parameter int unsigned InputLanes = 4,
  parameter int unsigned TableWords = 1,
  parameter bit MultiplierLut = 1'b0,
  parameter bit Confidence = 1'b1,
  parameter logic [63:0] Signature = 64'd0
) (
  input  logic                 ap_clk,
  input  logic                 ap_rst_n,
  output logic                 interrupt,
  // control registers
  input  logic                 s_axi_control_awvalid,
  output logic                 s_axi_control_awready,
  input  logic [6:0]           s_axi_control_awaddr,
  input  logic                 s_axi_control_wvalid,
  output logic                 s_axi_control_wready,
  input  logic [31:0]          s_axi_control_wdata,
  input  logic [3:0]           s_axi_control_wstrb,
  output logic                 s_axi_control_bvalid,
  input  logic                 s_axi_control_bready,
  output logic [1:0]           s_axi_control_bresp,
  input  logic                 s_axi_control_arvalid,
  output logic                 s_axi_control_arready,
  input  logic [6:0]           s_axi_control_araddr,
  output logic                 s_axi_control_rvalid,
  input  logic                 s_axi_control_rready,
  output logic [31:0]          s_axi_control_rdata,
  output logic [1:0]           s_axi_control_rresp,
  // program, tables, images; results
  output logic                 m_axi_gmem0_awvalid,
  input  logic                 m_axi_gmem0_awready,
  output logic [63:0]          m_axi_gmem0_awaddr,
  output logic [0:0]           m_axi_gmem0_awid,
  output logic [7:0]           m_axi_gmem0_awlen,
  output logic [2:0]           m_axi_gmem0_awsize,
  output logic [1:0]           m_axi_gmem0_awburst,
  output logic [0:0]           m_axi_gmem0_awlock,
  output logic [3:0]           m_axi_gmem0_awcache,
  output logic [2:0]           m_axi_gmem0_awprot,
  output logic [3:0]           m_axi_gmem0_awqos,
  output logic                 m_axi_gmem0_wvalid,
  input  logic                 m_axi_gmem0_wready,
  output logic [BusBits-1:0]   m_axi_gmem0_wdata,
  output logic [BusBits/8-1:0] m_axi_gmem0_wstrb,
  output logic                 m_axi_gmem0_wlast,
  input  logic                 m_axi_gmem0_bvalid,
  output logic                 m_axi_gmem0_bready,
  input  logic [0:0]           m_axi_gmem0_bid,
  input  logic [1:0]           m_axi_gmem0_bresp,
  output logic                 m_axi_gmem0_arvalid,
  input  logic                 m_axi_gmem0_arready,
  output logic [63:0]          m_axi_gmem0_araddr,
  output logic [0:0]           m_axi_gmem0_arid,
  output logic [7:0]           m_axi_gmem0_arlen,
  output logic [2:0]           m_axi_gmem0_arsize,
  output logic [1:0]           m_axi_gmem0_arburst,
  output logic [0:0]           m_axi_gmem0_arlock,
  output logic [3:0]           m_axi_gmem0_arcache,
  output logic [2:0]           m_axi_gmem0_arprot,
  output logic [3:0]           m_axi_gmem0_arqos,
  input  logic                 m_axi_gmem0_rvalid,
  output logic                 m_axi_gmem0_rready,
  input  logic [0:0]           m_axi_gmem0_rid,
  input  logic [BusBits-1:0]   m_axi_gmem0_rdata,
  input  logic [1:0]           m_axi_gmem0_rresp,
  input  logic                 m_axi_gmem0_rlast,
  // weights
  output logic                 m_axi_gmem1_arvalid,
  input  logic                 m_axi_gmem1_arready,
  output logic [63:0]          m_axi_gmem1_araddr,
  output logic [0:0]           m_axi_gmem1_arid,
  output logic [7:0]           m_axi_gmem1_arlen,
  output logic [2:0]           m_axi_gmem1_arsize,
  output logic [1:0]           m_axi_gmem1_arburst,
  output logic [0:0]           m_axi_gmem1_arlock,
  output logic [3:0]           m_axi_gmem1_arcache,
  output logic [2:0]           m_axi_gmem1_arprot,
  output logic [3:0]           m_axi_gmem1_arqos,
  input  logic                 m_axi_gmem1_rvalid,
  output logic                 m_axi_gmem1_rready,
  input  logic [0:0]           m_axi_gmem1_rid,
  input  logic [BusBits-1:0]   m_axi_gmem1_rdata,
  input  logic [1:0]           m_axi_gmem1_rresp,
  input  logic                 m_axi_gmem1_rlast
);
  localparam int unsigned IndexBits = index_width(SubRow);
  localparam int unsigned BankBits = index_width(BankDepth);
  localparam int unsigned ResultAddressBits = index_width(ResultDepth);
  localparam int unsigned LaneBits = index_width(LanesP);
  localparam int unsigned WordBits = SubRow * ActivationBits;
  localparam int unsigned Granule = greatest_common_divisor(LanesK, SubRow);
  localparam int unsigned Granules = SubRow / Granule;
  localparam int unsigned DigitBits = WeightBits < ActivationBits ? WeightBits : ActivationBits;
  localparam int unsigned DenseBits = LanesK * Slots * WeightBits;
  localparam int unsigned RowBits = LanesK * Slots * (WeightBits + IndexBits);
  localparam int unsigned ItemBits = maximum(RowBits, RecordBits);
  localparam int unsigned ChunkBits = index_width(LanesK / DrainK);
  // A pixel of several words fills them: its tables cover the whole word.
  localparam int unsigned TableLanes = TableWords > 1 ? SubRow : InputLanes;

  if (LanesK < 1 || LanesP < 1 || BankDepth < 2 || WeightDepth < 1 || ResultDepth < 1) begin : g_check_1
    $fatal(1, "cascade_engine: LanesK, LanesP, WeightDepth, ResultDepth must be 1 or more and BankDepth 2 or more, not %0d %0d %0d %0d %0d",
           LanesK, LanesP, WeightDepth, ResultDepth, BankDepth);
  end
  if ((SubRow & (SubRow - 1)) != 0 || SubRow * 8 > BusBits) begin : g_check_2
    $fatal(1, "cascade_engine: SubRow must be a power of two of at most BusBits / 8 = %0d, not %0d", BusBits / 8, SubRow);
  end
  if ((Slots & (Slots - 1)) != 0 || Slots > SubRow) begin : g_check_3
    $fatal(1, "cascade_engine: Slots must be a power of two of at most SubRow = %0d, not %0d", SubRow, Slots);
  end
  if (Granule % DrainK != 0) begin : g_check_4
    $fatal(1, "cascade_engine: DrainK must divide gcd(LanesK, SubRow) = %0d, not be %0d", Granule, DrainK);
  end
  if ((InputLanes & (InputLanes - 1)) != 0 || InputLanes > SubRow) begin : g_check_5
    $fatal(1, "cascade_engine: InputLanes must be a power of two of at most SubRow = %0d, not %0d", SubRow, InputLanes);
  end
  if (BusBits != 64 && BusBits != 128 && BusBits != 256 && BusBits != 512) begin : g_check_6
    $fatal(1, "cascade_engine: BusBits must be 64, 128, 256 or 512, not %0d", BusBits);
  end
  if (WeightBits < 2 || WeightBits > 8 || ActivationBits < 2 || ActivationBits > 8) begin : g_check_7
    $fatal(1, "cascade_engine: WeightBits and ActivationBits must be 2 to 8, not %0d and %0d", WeightBits, ActivationBits);
  end
  if (AccumulatorBits < 8 || AccumulatorBits > 32) begin : g_check_8
    $fatal(1, "cascade_engine: AccumulatorBits must be 8 to 32, not %0d", AccumulatorBits);
  end

  logic clk, rst_n, clear;
  assign clk = ap_clk;
  assign rst_n = ap_rst_n && !clear;

  // Registers and the run.
  logic start, done, fetch_start, checked, stop, writes_finished, masters_idle;
  logic busy /* verilator public_flat_rd */;
  logic [31:0] retired_count /* verilator public_flat_rd */;
  logic [63:0] program_address, weights_address, images_address, results_address, cycles, last_write;
  logic [31:0] image_count, weight_stall_cycles;
  logic write_answered, weight_stalled;
  error_e error, problem;
  header_t header;

  assign s_axi_control_bresp = 2'b00;
  assign s_axi_control_rresp = 2'b00;
  cascade_control #(
    .Signature(Signature)
  ) i_control (
    .clk,
    .rst_n(ap_rst_n),
    .s_axi_awvalid(s_axi_control_awvalid),
    .s_axi_awready(s_axi_control_awready),
    .s_axi_awaddr(s_axi_control_awaddr),
    .s_axi_wvalid(s_axi_control_wvalid),
    .s_axi_wready(s_axi_control_wready),
    .s_axi_wdata(s_axi_control_wdata),
    .s_axi_wstrb(s_axi_control_wstrb),
    .s_axi_bvalid(s_axi_control_bvalid),
    .s_axi_bready(s_axi_control_bready),
    .s_axi_arvalid(s_axi_control_arvalid),
    .s_axi_arready(s_axi_control_arready),
    .s_axi_araddr(s_axi_control_araddr),
    .s_axi_rvalid(s_axi_control_rvalid),
    .s_axi_rready(s_axi_control_rready),
    .s_axi_rdata(s_axi_control_rdata),
    .interrupt,
    .start,
    .program_address,
    .weights_address,
    .images_address,
    .results_address,
    .image_count,
    .busy,
    .done,
    .error,
    .cycles(last_write),
    .weight_stall_cycles
  );

  // From the start to the last write response; to the end where nothing was written.
  logic wrote;
  always_ff @(posedge clk) begin
    if (!ap_rst_n) begin
      cycles <= '0;
      last_write <= '0;
      weight_stall_cycles <= '0;
      wrote <= 1'b0;
    end else if (start) begin
      cycles <= 64'd1;
      last_write <= '0;
      weight_stall_cycles <= '0;
      wrote <= 1'b0;
    end else if (busy) begin
      cycles <= cycles + 64'd1;
      if (write_answered) wrote <= 1'b1;
      if (write_answered || !wrote) last_write <= cycles + 64'd1;
      if (weight_stalled) weight_stall_cycles <= weight_stall_cycles + 32'd1;
    end
  end

  // Program.
  logic [1:0] client_request_valid, client_request_ready, client_data_valid, client_data_ready;
  logic [1:0][AxiAddressBits-1:0] client_request_address;
  logic [1:0][31:0] client_request_beats;
  logic [BusBits-1:0] client_data;
  logic fetched_valid, fetched_ready, fetched_last, packet_valid, packet_ready;
  instruction_t fetched_instruction;
  packet_t packet;
  error_e fetch_problem;
  cascade_fetch #(
    .BusBits(BusBits),
    .LanesP(LanesP),
    .Signature(Signature)
  ) i_fetch (
    .clk,
    .rst_n,
    .start(fetch_start),
    .program_address,
    .image_count,
    .checked,
    .header,
    .problem(fetch_problem),
    .request_valid(client_request_valid[1]),
    .request_ready(client_request_ready[1]),
    .request_address(client_request_address[1]),
    .request_beats(client_request_beats[1]),
    .data_valid(client_data_valid[1]),
    .data_ready(client_data_ready[1]),
    .data(client_data),
    .core_valid(fetched_valid),
    .core_ready(fetched_ready),
    .core_instruction(fetched_instruction),
    .core_last(fetched_last),
    .packet_valid,
    .packet_ready,
    .packet
  );

  logic next_valid, next_ready, next_last;
  operation_t next_operation, operation;
  cascade_decode #(
    .BankDepth(BankDepth),
    .WeightDepth(WeightDepth),
    .ResultDepth(ResultDepth),
    .TableWords(TableWords),
    .TableLanes(TableLanes)
  ) i_decode (
    .clk,
    .rst_n,
    .classes(header.classes),
    .in_valid(fetched_valid),
    .in_ready(fetched_ready),
    .in_instruction(fetched_instruction),
    .in_last(fetched_last),
    .out_valid(next_valid),
    .out_ready(next_ready),
    .operation(next_operation),
    .last(next_last)
  );

  logic load_start, conv_start, pool_start, store_start, load_done, drain_done, pool_done, store_done;
  logic [AxiAddressBits-1:0] image_address, record_address;
  logic [31:0] image_index;
  logic [LaneBits:0] images;
  cascade_sequencer #(
    .LanesP(LanesP)
  ) i_sequencer (
    .clk,
    .rst_n(ap_rst_n),
    .start,
    .image_count,
    .images_address,
    .results_address,
    .header,
    .busy,
    .done,
    .error,
    .fetch_start,
    .checked,
    .problem,
    .stop,
    .masters_idle,
    .writes_finished,
    .clear,
    .image_address,
    .record_address,
    .image_index,
    .images,
    .next_valid,
    .next_ready,
    .next_operation,
    .next_last,
    .operation,
    .load_start,
    .conv_start,
    .pool_start,
    .store_start,
    .unit_done(load_done || drain_done || pool_done || store_done),
    .retired_count
  );

  // Masters.
  logic read_idle, weights_idle, write_idle, read_failed, weights_failed, write_failed;
  logic read_request_valid, read_request_ready, read_data_valid, read_data_ready;
  logic [AxiAddressBits-1:0] read_request_address;
  logic [31:0] read_request_beats;
  logic [BusBits-1:0] read_data;
  assign masters_idle = read_idle && weights_idle && write_idle;

  cascade_share #(
    .BusBits(BusBits)
  ) i_share (
    .clk,
    .rst_n,
    .client_request_valid,
    .client_request_ready,
    .client_request_address,
    .client_request_beats,
    .client_data_valid,
    .client_data_ready,
    .client_data,
    .request_valid(read_request_valid),
    .request_ready(read_request_ready),
    .request_address(read_request_address),
    .request_beats(read_request_beats),
    .data_valid(read_data_valid),
    .data_ready(read_data_ready),
    .data(read_data)
  );

  cascade_axi_read #(
    .BusBits(BusBits)
  ) i_read (
    .clk,
    .rst_n,
    .stop,
    .idle(read_idle),
    .failed(read_failed),
    .request_valid(read_request_valid),
    .request_ready(read_request_ready),
    .request_address(read_request_address),
    .request_beats(read_request_beats),
    .data_valid(read_data_valid),
    .data_ready(read_data_ready),
    .data(read_data),
    .m_axi_arvalid(m_axi_gmem0_arvalid),
    .m_axi_arready(m_axi_gmem0_arready),
    .m_axi_araddr(m_axi_gmem0_araddr),
    .m_axi_arlen(m_axi_gmem0_arlen),
    .m_axi_rvalid(m_axi_gmem0_rvalid),
    .m_axi_rready(m_axi_gmem0_rready),
    .m_axi_rdata(m_axi_gmem0_rdata),
    .m_axi_rresp(m_axi_gmem0_rresp)
  );

  logic weights_request_valid, weights_request_ready, weights_data_valid, weights_data_ready;
  logic [AxiAddressBits-1:0] weights_request_address;
  logic [31:0] weights_request_beats;
  logic [BusBits-1:0] weights_data;
  cascade_axi_read #(
    .BusBits(BusBits)
  ) i_weights (
    .clk,
    .rst_n,
    .stop,
    .idle(weights_idle),
    .failed(weights_failed),
    .request_valid(weights_request_valid),
    .request_ready(weights_request_ready),
    .request_address(weights_request_address),
    .request_beats(weights_request_beats),
    .data_valid(weights_data_valid),
    .data_ready(weights_data_ready),
    .data(weights_data),
    .m_axi_arvalid(m_axi_gmem1_arvalid),
    .m_axi_arready(m_axi_gmem1_arready),
    .m_axi_araddr(m_axi_gmem1_araddr),
    .m_axi_arlen(m_axi_gmem1_arlen),
    .m_axi_rvalid(m_axi_gmem1_rvalid),
    .m_axi_rready(m_axi_gmem1_rready),
    .m_axi_rdata(m_axi_gmem1_rdata),
    .m_axi_rresp(m_axi_gmem1_rresp)
  );

  logic write_request_valid, write_request_ready, write_data_valid, write_data_ready;
  logic [AxiAddressBits-1:0] write_request_address;
  logic [31:0] write_request_beats;
  logic [BusBits-1:0] write_data;
  cascade_axi_write #(
    .BusBits(BusBits)
  ) i_write (
    .clk,
    .rst_n,
    .stop,
    .idle(write_idle),
    .finished(writes_finished),
    .failed(write_failed),
    .answered(write_answered),
    .request_valid(write_request_valid),
    .request_ready(write_request_ready),
    .request_address(write_request_address),
    .request_beats(write_request_beats),
    .data_valid(write_data_valid),
    .data_ready(write_data_ready),
    .data(write_data),
    .m_axi_awvalid(m_axi_gmem0_awvalid),
    .m_axi_awready(m_axi_gmem0_awready),
    .m_axi_awaddr(m_axi_gmem0_awaddr),
    .m_axi_awlen(m_axi_gmem0_awlen),
    .m_axi_wvalid(m_axi_gmem0_wvalid),
    .m_axi_wready(m_axi_gmem0_wready),
    .m_axi_wdata(m_axi_gmem0_wdata),
    .m_axi_wlast(m_axi_gmem0_wlast),
    .m_axi_bvalid(m_axi_gmem0_bvalid),
    .m_axi_bready(m_axi_gmem0_bready),
    .m_axi_bresp(m_axi_gmem0_bresp)
  );

  // Whole beats, incrementing bursts, modifiable and bufferable, one identifier.
  localparam logic [2:0] BeatSize = 3'($clog2(BusBits / 8));
  localparam logic [1:0] Increment = 2'b01;
  localparam logic [3:0] Cache = 4'b0011;
  assign m_axi_gmem0_awid = '0;
  assign m_axi_gmem0_awsize = BeatSize;
  assign m_axi_gmem0_awburst = Increment;
  assign m_axi_gmem0_awlock = '0;
  assign m_axi_gmem0_awcache = Cache;
  assign m_axi_gmem0_awprot = '0;
  assign m_axi_gmem0_awqos = '0;
  assign m_axi_gmem0_wstrb = '1;
  assign m_axi_gmem0_arid = '0;
  assign m_axi_gmem0_arsize = BeatSize;
  assign m_axi_gmem0_arburst = Increment;
  assign m_axi_gmem0_arlock = '0;
  assign m_axi_gmem0_arcache = Cache;
  assign m_axi_gmem0_arprot = '0;
  assign m_axi_gmem0_arqos = '0;
  assign m_axi_gmem1_arid = '0;
  assign m_axi_gmem1_arsize = BeatSize;
  assign m_axi_gmem1_arburst = Increment;
  assign m_axi_gmem1_arlock = '0;
  assign m_axi_gmem1_arcache = Cache;
  assign m_axi_gmem1_arprot = '0;
  assign m_axi_gmem1_arqos = '0;
  // With one identifier and counted beats these say nothing new.
  logic unused;
  assign unused = ^{m_axi_gmem0_bid, m_axi_gmem0_rid, m_axi_gmem0_rlast, m_axi_gmem1_rid, m_axi_gmem1_rlast};

  // Weights.
  logic item_valid, item_ready, item_is_record, item_last, loader_exhausted;
  logic row_ready, row_step, row_rewind, row_release, record_ready;
  logic [ItemBits-1:0] item;
  logic [17:0] level;
  logic [RowBits-1:0] step_row;
  assign item_ready = item_is_record ? record_ready : row_ready;

  cascade_loader #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .DrainK(DrainK),
    .BusBits(BusBits),
    .DenseBits(DenseBits),
    .IndexedBits(RowBits)
  ) i_loader (
    .clk,
    .rst_n,
    .start(checked),
    .weights_address,
    .weight_beats(header.weight_beats),
    .image_count,
    .exhausted(loader_exhausted),
    .packet_valid,
    .packet_ready,
    .packet,
    .request_valid(weights_request_valid),
    .request_ready(weights_request_ready),
    .request_address(weights_request_address),
    .request_beats(weights_request_beats),
    .data_valid(weights_data_valid),
    .data_ready(weights_data_ready),
    .data(weights_data),
    .item_valid,
    .item_ready,
    .item_is_record,
    .item,
    .item_last
  );

  cascade_ring #(
    .WeightDepth(WeightDepth),
    .RowBits(RowBits)
  ) i_ring (
    .clk,
    .rst_n,
    .row_valid(item_valid && !item_is_record),
    .row_ready,
    .row(item[RowBits-1:0]),
    .rows(operation.code.rows),
    .step(row_step),
    .rewind(row_rewind),
    .release_group(row_release),
    .level,
    .step_row
  );

  logic parameters_read, parameters_release;
  logic [ChunkBits-1:0] parameters_chunk;
  parameters_t [DrainK-1:0] parameters;
  cascade_parameters #(
    .LanesK(LanesK),
    .DrainK(DrainK)
  ) i_parameters (
    .clk,
    .rst_n,
    .record_valid(item_valid && item_is_record),
    .record_ready,
    .record_in(item[RecordBits-1:0]),
    .record_last(item_last),
    .read_enable(parameters_read),
    .read_chunk(parameters_chunk),
    .release_group(parameters_release),
    .parameters
  );

  // Banks and results: the instruction says who reads and who writes.
  logic walker_wanted, walker_allowed, fetch_wanted, fetch_urgent, fetch_allowed, store_read;
  logic [BankBits-1:0] walker_address, fetch_address, store_address, bank_read_address, bank_write_address;
  logic [WordBits-1:0] bank_word[LanesP];
  logic [WordBits-1:0] bank_write_data[LanesP];
  logic [WordBits-1:0] drain_data[LanesP];
  logic [WordBits-1:0] pool_data[LanesP];
  logic [WordBits-1:0] load_data;
  logic load_write, drain_write, pool_write, bank_read;
  logic [LanesP-1:0] load_lanes, bank_write_lanes;
  logic [Granules-1:0] drain_granules, bank_write_granules;
  logic [BankBits-1:0] load_address, drain_address, pool_address;

  assign fetch_allowed = fetch_urgent || !walker_wanted;
  assign walker_allowed = !(fetch_wanted && fetch_urgent);
  assign bank_read = store_read || fetch_wanted || walker_wanted;
  assign bank_read_address = store_read ? store_address :
      fetch_wanted && fetch_allowed ? fetch_address : walker_address;
  always_comb begin
    bank_write_lanes = '0;
    bank_write_granules = '1;
    bank_write_address = load_address;
    for (int unsigned p = 0; p < LanesP; p++) bank_write_data[p] = load_data;
    if (load_write) begin
      bank_write_lanes = load_lanes;
    end else if (pool_write) begin
      bank_write_lanes = '1;
      bank_write_address = pool_address;
      bank_write_data = pool_data;
    end else if (drain_write) begin
      bank_write_lanes = '1;
      bank_write_granules = drain_granules;
      bank_write_address = drain_address;
      bank_write_data = drain_data;
    end
  end

  cascade_bank #(
    .LanesP(LanesP),
    .BankDepth(BankDepth),
    .Granules(Granules),
    .GranuleBits(Granule * ActivationBits)
  ) i_bank (
    .clk,
    .write_lanes(bank_write_lanes),
    .write_granules(bank_write_granules),
    .write_address(bank_write_address),
    .write_data(bank_write_data),
    .read_enable(bank_read),
    .read_address(bank_read_address),
    .read_data(bank_word)
  );

  logic result_write, result_read;
  logic [ResultAddressBits-1:0] result_write_address, result_read_address;
  logic [ResultBits-1:0] result_write_data[LanesP];
  logic [ResultBits-1:0] result_word[LanesP];
  cascade_bank #(
    .LanesP(LanesP),
    .BankDepth(ResultDepth),
    .Granules(1),
    .GranuleBits(ResultBits)
  ) i_result (
    .clk,
    .write_lanes({LanesP{result_write}}),
    .write_granules(1'b1),
    .write_address(result_write_address),
    .write_data(result_write_data),
    .read_enable(result_read),
    .read_address(result_read_address),
    .read_data(result_word)
  );

  // Units.
  error_e load_problem, walker_problem, drain_problem, pool_problem, store_problem;
  cascade_load #(
    .LanesP(LanesP),
    .SubRow(SubRow),
    .ActivationBits(ActivationBits),
    .DigitBits(DigitBits),
    .BusBits(BusBits),
    .BankDepth(BankDepth),
    .TableWords(TableWords),
    .TableLanes(TableLanes)
  ) i_load (
    .clk,
    .rst_n,
    .start(load_start),
    .operation,
    .program_address,
    .image_address,
    .image_pitch(header.image_pitch),
    .images,
    .done(load_done),
    .problem(load_problem),
    .request_valid(client_request_valid[0]),
    .request_ready(client_request_ready[0]),
    .request_address(client_request_address[0]),
    .request_beats(client_request_beats[0]),
    .data_valid(client_data_valid[0]),
    .data_ready(client_data_ready[0]),
    .data(client_data),
    .bank_write(load_write),
    .bank_lanes(load_lanes),
    .bank_address(load_address),
    .bank_data(load_data)
  );

  logic walking, drain_stalled, drain_fetched, handoff;
  logic step_valid, step_word, step_inside, step_first, step_shift, step_last, pooling;
  logic [IndexBits-1:0] step_index;
  logic signed [AccumulatorBits-1:0] drained[LanesK][LanesP];
  assign pooling = operation.code.opcode == OpMaxPool;
  cascade_walker #(
    .LanesK(LanesK),
    .Slots(Slots),
    .DrainK(DrainK),
    .SubRow(SubRow),
    .BankDepth(BankDepth)
  ) i_walker (
    .clk,
    .rst_n,
    .start(conv_start || pool_start),
    .operation,
    .busy(walking),
    .problem(walker_problem),
    .stalled(weight_stalled),
    .level,
    .row_step,
    .row_rewind,
    .row_release,
    .read_wanted(walker_wanted),
    .read_allowed(walker_allowed),
    .read_address(walker_address),
    .drain_stalled,
    .drain_fetched,
    .step_valid,
    .step_word,
    .step_inside,
    .step_index,
    .step_first,
    .step_shift,
    .step_last
  );

  cascade_array #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .Slots(Slots),
    .SubRow(SubRow),
    .WeightBits(WeightBits),
    .ActivationBits(ActivationBits),
    .AccumulatorBits(AccumulatorBits),
    .MultiplierLut(MultiplierLut)
  ) i_array (
    .clk,
    .rst_n,
    .input_signed(operation.code.flags.input_signed),
    .indexed(operation.code.flags.indexed),
    .step_valid(step_valid && !pooling),
    .step_word,
    .step_inside,
    .step_index,
    .step_first,
    .step_shift,
    .step_last,
    .step_row,
    .bank_word,
    .handoff,
    .drained
  );

  cascade_drain #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .DrainK(DrainK),
    .SubRow(SubRow),
    .ActivationBits(ActivationBits),
    .AccumulatorBits(AccumulatorBits),
    .BankDepth(BankDepth),
    .ResultDepth(ResultDepth)
  ) i_drain (
    .clk,
    .rst_n,
    .start(conv_start),
    .operation,
    .done(drain_done),
    .problem(drain_problem),
    .handoff,
    .drained,
    .stalled(drain_stalled),
    .fetched(drain_fetched),
    .parameters_read,
    .parameters_chunk,
    .parameters_release,
    .parameters,
    .fetch_wanted,
    .fetch_urgent,
    .fetch_allowed,
    .fetch_address,
    .bank_word,
    .bank_write(drain_write),
    .bank_granules(drain_granules),
    .bank_address(drain_address),
    .bank_data(drain_data),
    .result_write,
    .result_address(result_write_address),
    .result_data(result_write_data)
  );

  cascade_maxpool #(
    .LanesP(LanesP),
    .SubRow(SubRow),
    .ActivationBits(ActivationBits),
    .BankDepth(BankDepth)
  ) i_maxpool (
    .clk,
    .rst_n,
    .start(pool_start),
    .operation,
    .done(pool_done),
    .problem(pool_problem),
    .step_valid(step_valid && pooling),
    .step_inside,
    .step_first,
    .step_last,
    .bank_word,
    .bank_write(pool_write),
    .bank_address(pool_address),
    .bank_data(pool_data)
  );

  cascade_store #(
    .LanesP(LanesP),
    .SubRow(SubRow),
    .ActivationBits(ActivationBits),
    .BusBits(BusBits),
    .BankDepth(BankDepth),
    .ResultDepth(ResultDepth),
    .Confidence(Confidence)
  ) i_store (
    .clk,
    .rst_n,
    .start(store_start),
    .operation,
    .header,
    .results_address,
    .record_address,
    .image_index,
    .images,
    .done(store_done),
    .problem(store_problem),
    .bank_read(store_read),
    .bank_address(store_address),
    .bank_word,
    .result_read,
    .result_address(result_read_address),
    .result_word,
    .request_valid(write_request_valid),
    .request_ready(write_request_ready),
    .request_address(write_request_address),
    .request_beats(write_request_beats),
    .data_valid(write_data_valid),
    .data_ready(write_data_ready),
    .data(write_data)
  );

  // The first error counts; several in one cycle: the memory's first.
  always_comb begin
    problem = ErrorNone;
    if (read_failed || weights_failed) problem = ErrorAxiRead;
    else if (write_failed) problem = ErrorAxiWrite;
    else if (fetch_problem != ErrorNone) problem = fetch_problem;
    else if (load_problem != ErrorNone) problem = load_problem;
    else if (walker_problem != ErrorNone) problem = walker_problem;
    else if (drain_problem != ErrorNone) problem = drain_problem;
    else if (pool_problem != ErrorNone) problem = pool_problem;
    else if (store_problem != ErrorNone) problem = store_problem;
    else if (loader_exhausted) problem = ErrorCount;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) begin
      assert ($onehot0({load_write, drain_write, pool_write}))
      else $error("%m: two units write the banks at once");
      assert (!(walking && (load_start || store_start)))
      else $error("%m: an instruction began before the last one had ended");
    end
  end
`endif
endmodule
