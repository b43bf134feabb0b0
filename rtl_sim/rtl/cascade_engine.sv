// The engine: one parametric accelerator driven by a program (toolflow/engine/PROGRAM.md).
// Parameters are the fields of toolflow.engine.config.EngineConfig. Every instruction runs alone; while it does, the next
// one is prepared and the weights of the layers to come are loaded, and so are the images of the next pass if the program
// allows it.
module cascade_engine
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  parameter logic [63:0] Signature = 64'd0
) (
  input  logic                         ap_clk,
  input  logic                         ap_rst_n,
  output logic                         interrupt,
  // control registers
  input  logic                         s_axi_control_awvalid,
  output logic                         s_axi_control_awready,
  input  logic [6:0]                   s_axi_control_awaddr,
  input  logic                         s_axi_control_wvalid,
  output logic                         s_axi_control_wready,
  input  logic [31:0]                  s_axi_control_wdata,
  input  logic [3:0]                   s_axi_control_wstrb,
  output logic                         s_axi_control_bvalid,
  input  logic                         s_axi_control_bready,
  output logic [1:0]                   s_axi_control_bresp,
  input  logic                         s_axi_control_arvalid,
  output logic                         s_axi_control_arready,
  input  logic [6:0]                   s_axi_control_araddr,
  output logic                         s_axi_control_rvalid,
  input  logic                         s_axi_control_rready,
  output logic [31:0]                  s_axi_control_rdata,
  output logic [1:0]                   s_axi_control_rresp,
  // program, tables, images, maps; results, maps
  output logic                         m_axi_gmem0_awvalid,
  input  logic                         m_axi_gmem0_awready,
  output logic [63:0]                  m_axi_gmem0_awaddr,
  output logic [0:0]                   m_axi_gmem0_awid,
  output logic [7:0]                   m_axi_gmem0_awlen,
  output logic [2:0]                   m_axi_gmem0_awsize,
  output logic [1:0]                   m_axi_gmem0_awburst,
  output logic [0:0]                   m_axi_gmem0_awlock,
  output logic [3:0]                   m_axi_gmem0_awcache,
  output logic [2:0]                   m_axi_gmem0_awprot,
  output logic [3:0]                   m_axi_gmem0_awqos,
  output logic                         m_axi_gmem0_wvalid,
  input  logic                         m_axi_gmem0_wready,
  output logic [Engine.bus_bits-1:0]   m_axi_gmem0_wdata,
  output logic [Engine.bus_bits/8-1:0] m_axi_gmem0_wstrb,
  output logic                         m_axi_gmem0_wlast,
  input  logic                         m_axi_gmem0_bvalid,
  output logic                         m_axi_gmem0_bready,
  input  logic [0:0]                   m_axi_gmem0_bid,
  input  logic [1:0]                   m_axi_gmem0_bresp,
  output logic                         m_axi_gmem0_arvalid,
  input  logic                         m_axi_gmem0_arready,
  output logic [63:0]                  m_axi_gmem0_araddr,
  output logic [0:0]                   m_axi_gmem0_arid,
  output logic [7:0]                   m_axi_gmem0_arlen,
  output logic [2:0]                   m_axi_gmem0_arsize,
  output logic [1:0]                   m_axi_gmem0_arburst,
  output logic [0:0]                   m_axi_gmem0_arlock,
  output logic [3:0]                   m_axi_gmem0_arcache,
  output logic [2:0]                   m_axi_gmem0_arprot,
  output logic [3:0]                   m_axi_gmem0_arqos,
  input  logic                         m_axi_gmem0_rvalid,
  output logic                         m_axi_gmem0_rready,
  input  logic [0:0]                   m_axi_gmem0_rid,
  input  logic [Engine.bus_bits-1:0]   m_axi_gmem0_rdata,
  input  logic [1:0]                   m_axi_gmem0_rresp,
  input  logic                         m_axi_gmem0_rlast,
  // weights
  output logic                         m_axi_gmem1_arvalid,
  input  logic                         m_axi_gmem1_arready,
  output logic [63:0]                  m_axi_gmem1_araddr,
  output logic [0:0]                   m_axi_gmem1_arid,
  output logic [7:0]                   m_axi_gmem1_arlen,
  output logic [2:0]                   m_axi_gmem1_arsize,
  output logic [1:0]                   m_axi_gmem1_arburst,
  output logic [0:0]                   m_axi_gmem1_arlock,
  output logic [3:0]                   m_axi_gmem1_arcache,
  output logic [2:0]                   m_axi_gmem1_arprot,
  output logic [3:0]                   m_axi_gmem1_arqos,
  input  logic                         m_axi_gmem1_rvalid,
  output logic                         m_axi_gmem1_rready,
  input  logic [0:0]                   m_axi_gmem1_rid,
  input  logic [Engine.bus_bits-1:0]   m_axi_gmem1_rdata,
  input  logic [1:0]                   m_axi_gmem1_rresp,
  input  logic                         m_axi_gmem1_rlast
);
  localparam int unsigned LaneBits = lane_bits(Engine);

  cascade_bounds #(
    .Engine(Engine)
  ) i_bounds ();

  logic clk, rst_n, masters_rst_n, clear;
  assign clk = ap_clk;
  // The datapath is reset a cycle after it is asked for (no start comes before); a reset of the unit reaches the masters
  // at once.
  always_ff @(posedge ap_clk) rst_n <= ap_rst_n && !clear;
  assign masters_rst_n = rst_n && ap_rst_n;

  // Registers and the run.
  logic start, done, fetch_start, checked, pass_ends, stop, writes_finished, masters_idle;
  logic busy /* verilator public_flat_rd */;
  logic [31:0] retired_count /* verilator public_flat_rd */;
  logic [63:0] program_address, weights_address, images_address, results_address, maps_address, cycles, last_write;
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
    .maps_address,
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
  logic [1:0] shared_valid, shared_ready;
  logic [1:0][AxiAddressBits-1:0] client_request_address;
  logic [1:0][31:0] client_request_beats;
  logic [1:0][Engine.bus_bits-1:0] client_data;
  logic [Engine.bus_bits-1:0] shared_data;
  logic fetched_valid, fetched_ready, fetched_last, packet_valid, packet_ready;
  logic [Engine.bus_bits-1:0] fetched_beat;
  packet_t packet;
  error_e fetch_problem;
  cascade_fetch #(
    .Engine(Engine),
    .Depth(instructions_ahead(Engine)),
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
    .data(client_data[1]),
    .core_valid(fetched_valid),
    .core_ready(fetched_ready),
    .core_beat(fetched_beat),
    .core_last(fetched_last),
    .packet_valid,
    .packet_ready,
    .packet
  );

  logic next_valid, next_ready, next_last;
  logic taps_valid, taps_ready;
  operation_t next_operation, operation;
  taps_t taps, operation_taps;
  cascade_decode #(
    .Engine(Engine)
  ) i_decode (
    .clk,
    .rst_n,
    .header,
    .in_valid(fetched_valid),
    .in_ready(fetched_ready),
    .in_beat(fetched_beat),
    .in_last(fetched_last),
    .out_valid(next_valid),
    .out_ready(next_ready),
    .operation(next_operation),
    .last(next_last),
    .taps_valid,
    .taps_ready,
    .taps
  );

  logic load_start, ahead_start, ahead_done, conv_start, pool_start, stripes_start, store_start, unit_done;
  logic [LaneBits:0] load_images;
  logic [AxiAddressBits-1:0] image_address, record_address;
  logic [31:0] image_index;
  logic [LaneBits:0] images;
  cascade_sequencer #(
    .Engine(Engine)
  ) i_sequencer (
    .rst_n(ap_rst_n),
    .*
  );

  // Masters.
  logic read_idle, weights_idle, write_idle, read_failed, weights_failed, write_failed;
  logic read_request_valid, read_request_ready, read_data_valid, read_data_ready;
  logic [AxiAddressBits-1:0] read_request_address;
  logic [31:0] read_request_beats;
  logic [Engine.bus_bits-1:0] read_data;
  assign masters_idle = read_idle && weights_idle && write_idle;

  cascade_share #(
    .Engine(Engine)
  ) i_share (
    .clk,
    .rst_n,
    .client_request_valid,
    .client_request_ready,
    .client_request_address,
    .client_request_beats,
    .client_data_valid(shared_valid),
    .client_data_ready(shared_ready),
    .client_data(shared_data),
    .request_valid(read_request_valid),
    .request_ready(read_request_ready),
    .request_address(read_request_address),
    .request_beats(read_request_beats),
    .data_valid(read_data_valid),
    .data_ready(read_data_ready),
    .data(read_data)
  );

  cascade_axi_read #(
    .BusBits(Engine.bus_bits)
  ) i_read (
    .clk,
    .rst_n(masters_rst_n),
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
    .m_axi_rid(m_axi_gmem0_rid),
    .m_axi_rresp(m_axi_gmem0_rresp),
    .m_axi_rlast(m_axi_gmem0_rlast)
  );

  logic weights_request_valid, weights_request_ready, weights_data_valid, weights_data_ready;
  logic [AxiAddressBits-1:0] weights_request_address;
  logic [31:0] weights_request_beats;
  logic [Engine.bus_bits-1:0] weights_data;
  cascade_axi_read #(
    .BusBits(Engine.bus_bits)
  ) i_weights (
    .clk,
    .rst_n(masters_rst_n),
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
    .m_axi_rid(m_axi_gmem1_rid),
    .m_axi_rresp(m_axi_gmem1_rresp),
    .m_axi_rlast(m_axi_gmem1_rlast)
  );

  logic write_request_valid, write_request_ready, write_data_valid, write_data_ready;
  logic [AxiAddressBits-1:0] write_request_address;
  logic [31:0] write_request_beats;
  logic [Engine.bus_bits-1:0] write_data;
  cascade_axi_write #(
    .BusBits(Engine.bus_bits)
  ) i_write (
    .clk,
    .rst_n(masters_rst_n),
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
  localparam logic [2:0] BeatSize = 3'($clog2(Engine.bus_bits / 8));
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
  // With one identifier and counted responses this says nothing new.
  logic unused;
  assign unused = ^{m_axi_gmem0_bid, maps_address};

  // A client's beats wait in a small FIFO: whether it takes one need not reach the masters in the same cycle.
  for (genvar n = 0; n < 2; n++) begin : g_client
    cascade_fifo #(
      .Width(Engine.bus_bits),
      .Depth(2)
    ) i_beats (
      .clk,
      .rst_n,
      .in_valid(shared_valid[n]),
      .in_ready(shared_ready[n]),
      .in_data(shared_data),
      .out_valid(client_data_valid[n]),
      .out_ready(client_data_ready[n]),
      .out_data(client_data[n])
    );
  end

  // Units.
  error_e unit_problem;
  cascade_core #(
    .Engine(Engine)
  ) i_core (
    .load_request_valid(client_request_valid[0]),
    .load_request_ready(client_request_ready[0]),
    .load_request_address(client_request_address[0]),
    .load_request_beats(client_request_beats[0]),
    .load_data_valid(client_data_valid[0]),
    .load_data_ready(client_data_ready[0]),
    .load_data(client_data[0]),
    .problem(unit_problem),
    .*
  );

  // The first error counts; several in one cycle: the memory's first.
  always_comb begin
    if (read_failed || weights_failed) problem = ErrorAxiRead;
    else if (write_failed) problem = ErrorAxiWrite;
    else if (fetch_problem != ErrorNone) problem = fetch_problem;
    else problem = unit_problem;
  end
endmodule
