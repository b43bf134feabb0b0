// What an instruction works on and with: weights, banks, results, and the units that move, convolve, pool and
// store. The sequencer starts one unit at a time, but images may be loaded ahead beside it; the loader of weights runs
// ahead of it. No state outlives a reset.
module cascade_core
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned LaneBits = lane_bits(Engine)
) (
  input  logic                       clk,
  input  logic                       rst_n,
  // of the run
  input  logic                       checked,  // one cycle: `header` is good, passes begin
  input  logic                       pass_ends,  // one cycle
  input  header_t                    header,
  input  logic [31:0]                image_count,
  input  logic [AxiAddressBits-1:0]  program_address,
  input  logic [AxiAddressBits-1:0]  weights_address,
  input  logic [AxiAddressBits-1:0]  results_address,
  input  logic [AxiAddressBits-1:0]  maps_address,
  // of the pass
  input  logic [AxiAddressBits-1:0]  image_address,
  input  logic [AxiAddressBits-1:0]  record_address,
  input  logic [31:0]                image_index,
  input  logic [LaneBits:0]          images,
  // of the instruction
  input  operation_t                 operation,
  input  taps_t                      operation_taps,
  input  logic                       load_start,
  input  logic                       ahead_start,
  input  logic [LaneBits:0]          load_images,
  output logic                       ahead_done,
  input  logic                       conv_start,
  input  logic                       pool_start,
  input  logic                       stripes_start,
  input  logic                       store_start,
  output logic                       unit_done,
  output error_e                     problem,
  output logic                       weight_stalled,
  // what the weight loader needs of instructions to come
  input  logic                       packet_valid,
  output logic                       packet_ready,
  input  packet_t                    packet,
  // weights
  output logic                       weights_request_valid,
  input  logic                       weights_request_ready,
  output logic [AxiAddressBits-1:0]  weights_request_address,
  output logic [31:0]                weights_request_beats,
  input  logic                       weights_data_valid,
  output logic                       weights_data_ready,
  input  logic [Engine.bus_bits-1:0] weights_data,
  // tables, images and maps
  output logic                       load_request_valid,
  input  logic                       load_request_ready,
  output logic [AxiAddressBits-1:0]  load_request_address,
  output logic [31:0]                load_request_beats,
  input  logic                       load_data_valid,
  output logic                       load_data_ready,
  input  logic [Engine.bus_bits-1:0] load_data,
  // results and maps
  output logic                       write_request_valid,
  input  logic                       write_request_ready,
  output logic [AxiAddressBits-1:0]  write_request_address,
  output logic [31:0]                write_request_beats,
  output logic                       write_data_valid,
  input  logic                       write_data_ready,
  output logic [Engine.bus_bits-1:0] write_data
);
  localparam int unsigned BankBits = bank_bits(Engine);
  localparam int unsigned ResultAddressBits = result_address_bits(Engine);
  localparam int unsigned WordBits = word_bits(Engine);
  localparam int unsigned Granule = granule_channels(Engine);
  localparam int unsigned Granules = granules_per_word(Engine);
  localparam int unsigned RowBits = row_bits(Engine, 1'b1);
  localparam int unsigned ItemBits = item_bits(Engine);
  localparam int unsigned ChunkBits = chunk_bits(Engine);

  // Weights.
  logic item_valid, item_ready, item_is_record, item_last, loader_wrong_length;
  logic row_ready, row_here, row_step, row_rewind, row_final, row_release, record_ready;
  logic [ItemBits-1:0] item;
  logic [RowBits-1:0] step_row;
  assign item_ready = item_is_record ? record_ready : row_ready;

  cascade_loader #(
    .Engine(Engine)
  ) i_loader (
    .clk,
    .rst_n,
    .start(checked),
    .narrow(header.narrow),
    .striped(header.striped),
    .weights_address,
    .weight_beats(header.weight_beats),
    .image_count,
    .wrong_length(loader_wrong_length),
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
    .Engine(Engine)
  ) i_ring (
    .clk,
    .rst_n,
    .row_valid(item_valid && !item_is_record),
    .row_ready,
    .row(item[RowBits-1:0]),
    .step(row_step),
    .rewind(row_rewind),
    .final_position(row_final),
    .release_group(row_release),
    .row_here,
    .step_row
  );

  logic parameters_read, parameters_release;
  logic [ChunkBits-1:0] parameters_chunk;
  parameters_t [Engine.drain_k-1:0] parameters;
  cascade_parameters #(
    .Engine(Engine)
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
  logic conv_read, store_read;
  logic [BankBits-1:0] conv_read_address, store_address, bank_read_address, bank_write_address;
  logic [WordBits-1:0] bank_word[Engine.lanes_p];
  logic [WordBits-1:0] bank_write_data[Engine.lanes_p];
  logic [WordBits-1:0] conv_data[Engine.lanes_p];
  logic [WordBits-1:0] pool_data[Engine.lanes_p];
  logic [WordBits-1:0] load_word[halves(Engine)];
  logic load_write, load_yields, conv_write, pool_write, bank_read;
  logic [Engine.lanes_p-1:0] load_lanes, bank_write_lanes;
  logic [Granules-1:0] conv_granules[halves(Engine)];
  logic [Granules-1:0] bank_write_granules[Engine.lanes_p];
  logic [BankBits-1:0] load_address, conv_address, pool_address;

  assign bank_read = store_read || conv_read;
  assign bank_read_address = store_read ? store_address : conv_read_address;
  always_comb begin
    bank_write_lanes = '0;
    bank_write_granules = '{default: '1};
    bank_write_address = load_address;
    for (int unsigned p = 0; p < Engine.lanes_p; p++) bank_write_data[p] = load_word[p/wide_lanes(Engine)];
    if (pool_write) begin
      bank_write_lanes = '1;
      bank_write_address = pool_address;
      bank_write_data = pool_data;
    end else if (conv_write) begin
      bank_write_lanes = '1;
      for (int unsigned p = 0; p < Engine.lanes_p; p++) bank_write_granules[p] = conv_granules[p/wide_lanes(Engine)];
      bank_write_address = conv_address;
      bank_write_data = conv_data;
    end else if (load_write) begin
      bank_write_lanes = load_lanes;
    end
  end

  cascade_bank #(
    .LanesP(Engine.lanes_p),
    .BankDepth(Engine.bank_depth),
    .Granules(Granules),
    .GranuleBits(Granule * stored_bits(Engine)),
    .Ultra(Engine.bank_memory == BankMemoryUltra)
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
  logic [ResultBits-1:0] result_write_data[Engine.lanes_p];
  logic [ResultBits-1:0] result_word[Engine.lanes_p];
  cascade_bank #(
    .LanesP(Engine.lanes_p),
    .BankDepth(Engine.result_depth),
    .Granules(1),
    .GranuleBits(ResultBits)
  ) i_result (
    .clk,
    .write_lanes({Engine.lanes_p{result_write}}),
    .write_granules('{default: 1'b1}),
    .write_address(result_write_address),
    .write_data(result_write_data),
    .read_enable(result_read),
    .read_address(result_read_address),
    .read_data(result_word)
  );

  // Units.
  logic load_done, conv_done, pool_done, stripes_done, store_done;
  error_e load_problem, conv_problem, pool_problem, store_problem;

  // Where the rows of one image lie in all lanes.
  window_t windows[Engine.lanes_p];
  lane_rows_t lane_rows;
  logic load_lanes_ahead, load_lanes_start, load_lanes_next, store_lanes_start, store_lanes_next;
  operation_t last_load;
  logic [15:0] load_row_beats;
  if (Engine.stripes) begin : g_stripes
    stripes_t stripes, load_stripes;  // the last ones, and those of the last LOAD
    operation_t lane_operation;
    always_ff @(posedge clk) if (load_start && operation.code.opcode == OpLoad) load_stripes <= stripes;
    always_comb begin
      lane_operation = operation;
      if (load_lanes_ahead) begin  // what the rows of a LOAD follow from
        lane_operation.code.opcode = OpLoad;
        lane_operation.code.in_base = last_load.code.in_base;
        lane_operation.code.out_base = last_load.code.out_base;
        lane_operation.code.out_height = last_load.code.out_height;
        lane_operation.code.out_width = last_load.code.out_width;
        lane_operation.code.residual_base = last_load.code.residual_base;
        lane_operation.out_row_words = last_load.out_row_words;
      end
    end
    cascade_stripes #(
      .Engine(Engine)
    ) i_stripes (
      .clk,
      .rst_n,
      .pass_ends,
      .start(stripes_start),
      .operation,
      .done(stripes_done),
      .stripes,
      .windows
    );

    // One mover runs at a time: beside the load of the next images there is none.
    cascade_lane_rows #(
      .Engine(Engine)
    ) i_lane_rows (
      .clk,
      .rst_n,
      .start(load_lanes_start || store_lanes_start),
      .next(load_lanes_next || store_lanes_next),
      .stripes(load_lanes_ahead ? load_stripes : stripes),
      .operation(lane_operation),
      .row_beats(lane_operation.code.opcode == OpSpill ? operation.row_beats : load_row_beats),
      .origin(lane_operation.code.opcode == OpLoad ? image_address : maps_address),
      .limit(lane_operation.code.opcode == OpLoad ? header.image_pitch : header.map_bytes),
      .lane(lane_rows)
    );
  end else begin : g_images
    assign windows = '{default: '0};
    assign lane_rows = '0;
    assign stripes_done = 1'b0;
    logic unused;
    assign unused = ^{
      last_load, load_lanes_ahead, stripes_start, load_lanes_start, load_lanes_next, store_lanes_start, store_lanes_next, load_row_beats
    };
  end
  cascade_load #(
    .Engine(Engine)
  ) i_load (
    .clk,
    .rst_n,
    .narrow(header.narrow),
    .start(load_start),
    .start_ahead(ahead_start),
    .operation,
    .program_address,
    .maps_address,
    .image_address,
    .image_pitch(header.image_pitch),
    .images(load_images),
    .lanes_ahead(load_lanes_ahead),
    .last_load,
    .lanes_start(load_lanes_start),
    .lanes_next(load_lanes_next),
    .row_beats(load_row_beats),
    .lane_rows,
    .done(load_done),
    .done_ahead(ahead_done),
    .problem(load_problem),
    .request_valid(load_request_valid),
    .request_ready(load_request_ready),
    .request_address(load_request_address),
    .request_beats(load_request_beats),
    .data_valid(load_data_valid),
    .data_ready(load_data_ready),
    .data(load_data),
    .bank_taken(conv_write || pool_write),
    .bank_yields(load_yields),
    .bank_write(load_write),
    .bank_lanes(load_lanes),
    .bank_address(load_address),
    .bank_data(load_word)
  );

  logic conv_busy, pool_step, pool_first, pool_last;
  logic [Engine.lanes_p-1:0] pool_inside;
  cascade_convolve #(
    .Engine(Engine)
  ) i_convolve (
    .clk,
    .rst_n,
    .narrow(header.narrow),
    .start(conv_start),
    .pool_start,
    .operation,
    .operation_taps,
    .windows,
    .busy(conv_busy),
    .done(conv_done),
    .problem(conv_problem),
    .stalled(weight_stalled),
    .row_here,
    .row_step,
    .row_rewind,
    .row_final,
    .row_release,
    .step_row,
    .parameters_read,
    .parameters_chunk,
    .parameters_release,
    .parameters,
    .pool_step,
    .pool_inside,
    .pool_first,
    .pool_last,
    .bank_read(conv_read),
    .bank_read_address(conv_read_address),
    .bank_word,
    .bank_write(conv_write),
    .bank_granules(conv_granules),
    .bank_write_address(conv_address),
    .bank_data(conv_data),
    .result_write,
    .result_address(result_write_address),
    .result_data(result_write_data)
  );

  cascade_maxpool #(
    .Engine(Engine)
  ) i_maxpool (
    .clk,
    .rst_n,
    .narrow(header.narrow),
    .start(pool_start),
    .operation,
    .done(pool_done),
    .problem(pool_problem),
    .step_valid(pool_step),
    .step_inside(pool_inside),
    .step_first(pool_first),
    .step_last(pool_last),
    .bank_word,
    .bank_write(pool_write),
    .bank_address(pool_address),
    .bank_data(pool_data)
  );

  cascade_store #(
    .Engine(Engine)
  ) i_store (
    .clk,
    .rst_n,
    .start(store_start),
    .operation,
    .header,
    .results_address,
    .maps_address,
    .record_address,
    .image_index,
    .images,
    .lanes_start(store_lanes_start),
    .lanes_next(store_lanes_next),
    .lane_rows,
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

  // The loader's problem, where the core waits for what does not come.
  logic wrong_length;
  always_ff @(posedge clk) wrong_length <= rst_n && loader_wrong_length && (weight_stalled || pass_ends);

  assign unit_done = load_done || conv_done || pool_done || stripes_done || store_done;
  always_comb begin
    problem = ErrorNone;
    if (load_problem != ErrorNone) problem = load_problem;
    else if (conv_problem != ErrorNone) problem = conv_problem;
    else if (pool_problem != ErrorNone) problem = pool_problem;
    else if (store_problem != ErrorNone) problem = store_problem;
    else if (wrong_length) problem = ErrorCount;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk) begin
    if (rst_n) begin
      assert ($onehot0({load_write && !load_yields, conv_write, pool_write}))
      else $error("%m: two units write the banks at once");
      assert (!(conv_busy && (load_start || store_start)))
      else $error("%m: an instruction began before the last one had ended");
    end
  end
`endif
endmodule
