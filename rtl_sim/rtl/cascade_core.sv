// What an instruction works on and with: weights, banks, results, and the units that move, convolve, pool and
// store. The sequencer starts one unit at a time; the loader runs ahead of it. No state outlives a reset.
module cascade_core
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
  parameter int unsigned TableWords = 1,
  parameter int unsigned Tile = 0,
  parameter int unsigned TransformCycles = 1,
  parameter int unsigned TransformDepth = 1,
  parameter bit MultiplierLut = 1'b0,
  parameter bit BankUltra = 1'b0,
  parameter bit Confidence = 1'b1,
  parameter int unsigned TableLanes = 4,
  localparam int unsigned LaneBits = index_width(LanesP)
) (
  input  logic                      clk,
  input  logic                      rst_n,
  // of the run
  input  logic                      checked,  // one cycle: `header` is good, passes begin
  input  logic                      pass_ends,  // one cycle
  input  header_t                   header,
  input  logic [31:0]               image_count,
  input  logic [AxiAddressBits-1:0] program_address,
  input  logic [AxiAddressBits-1:0] weights_address,
  input  logic [AxiAddressBits-1:0] results_address,
  // of the pass
  input  logic [AxiAddressBits-1:0] image_address,
  input  logic [AxiAddressBits-1:0] record_address,
  input  logic [31:0]               image_index,
  input  logic [LaneBits:0]         images,
  // of the instruction
  input  operation_t                operation,
  input  exponents_t                exponents,
  input  logic                      load_start,
  input  logic                      conv_start,
  input  logic                      pool_start,
  input  logic                      store_start,
  output logic                      unit_done,
  output error_e                    problem,
  output logic                      weight_stalled,
  // what the weight loader needs of instructions to come
  input  logic                      packet_valid,
  output logic                      packet_ready,
  input  packet_t                   packet,
  // weights
  output logic                      weights_request_valid,
  input  logic                      weights_request_ready,
  output logic [AxiAddressBits-1:0] weights_request_address,
  output logic [31:0]               weights_request_beats,
  input  logic                      weights_data_valid,
  output logic                      weights_data_ready,
  input  logic [BusBits-1:0]        weights_data,
  // tables and images
  output logic                      load_request_valid,
  input  logic                      load_request_ready,
  output logic [AxiAddressBits-1:0] load_request_address,
  output logic [31:0]               load_request_beats,
  input  logic                      load_data_valid,
  output logic                      load_data_ready,
  input  logic [BusBits-1:0]        load_data,
  // results
  output logic                      write_request_valid,
  input  logic                      write_request_ready,
  output logic [AxiAddressBits-1:0] write_request_address,
  output logic [31:0]               write_request_beats,
  output logic                      write_data_valid,
  input  logic                      write_data_ready,
  output logic [BusBits-1:0]        write_data
);
  localparam int unsigned IndexBits = index_width(SubRow);
  localparam int unsigned BankBits = index_width(BankDepth);
  localparam int unsigned ResultAddressBits = index_width(ResultDepth);
  localparam int unsigned WordBits = SubRow * ActivationBits;
  localparam int unsigned Granule = greatest_common_divisor(LanesK, SubRow);
  localparam int unsigned Granules = SubRow / Granule;
  localparam int unsigned DigitBits = WeightBits < ActivationBits ? WeightBits : ActivationBits;
  localparam int unsigned DenseBits = LanesK * Slots * WeightBits;
  localparam int unsigned RowBits = LanesK * Slots * (WeightBits + IndexBits);
  localparam int unsigned ItemBits = maximum(RowBits, RecordBits);
  localparam int unsigned ChunkBits = index_width(LanesK / DrainK);
  localparam int unsigned OutputBits = index_width(maximum(Tile, 1));
  localparam int unsigned OperandBits = operand_width(Tile, ActivationBits);
  localparam int unsigned ElementBits = Tile == 0 ? ActivationBits : OperandBits;  // of the array's words
  typedef logic signed [AccumulatorBits-1:0] sum_t;

  // Weights.
  logic item_valid, item_ready, item_is_record, item_last, loader_wrong_length;
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
    .DrainK(DrainK),
    .Tile(Tile)
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
  logic [WordBits-1:0] load_word;
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
    for (int unsigned p = 0; p < LanesP; p++) bank_write_data[p] = load_word;
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
    .GranuleBits(Granule * ActivationBits),
    .Ultra(BankUltra)
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
  logic load_done, drain_done, pool_done, store_done;
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
    .request_valid(load_request_valid),
    .request_ready(load_request_ready),
    .request_address(load_request_address),
    .request_beats(load_request_beats),
    .data_valid(load_data_valid),
    .data_ready(load_data_ready),
    .data(load_data),
    .bank_write(load_write),
    .bank_lanes(load_lanes),
    .bank_address(load_address),
    .bank_data(load_word)
  );

  logic walking, drain_stalled, drain_fetched, handoff, pooling, tiled;
  logic walk_stalled, walk_row_step, walk_row_rewind, walk_row_release, walk_read_wanted;
  logic walk_valid, walk_word, walk_inside, walk_first, walk_shift, walk_last;
  logic step_valid, step_word, step_first, step_last;
  logic [BankBits-1:0] walk_read_address;
  logic [IndexBits-1:0] walk_index, step_index;
  logic [SubRow*ElementBits-1:0] step_words[LanesP];
  logic choose, drain_choose, drain_handoff, tile_drained;
  logic [ChunkBits-1:0] choose_chunk, drain_choose_chunk;
  logic [OutputBits-1:0] tile_row, tile_column;
  error_e tile_problem;
  sum_t drained[LanesK][LanesP];
  sum_t chosen[DrainK][LanesP];
  sum_t drain_chosen[DrainK][LanesP];
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
    .start((conv_start && !tiled) || pool_start),
    .operation,
    .busy(walking),
    .problem(walker_problem),
    .stalled(walk_stalled),
    .level,
    .row_step(walk_row_step),
    .row_rewind(walk_row_rewind),
    .row_release(walk_row_release),
    .read_wanted(walk_read_wanted),
    .read_allowed(walker_allowed),
    .read_address(walk_read_address),
    .drain_stalled,
    .drain_fetched,
    .step_valid(walk_valid),
    .step_word(walk_word),
    .step_inside(walk_inside),
    .step_index(walk_index),
    .step_first(walk_first),
    .step_shift(walk_shift),
    .step_last(walk_last)
  );

  if (Tile == 0) begin : g_direct
    assign tiled = 1'b0;
    assign tile_problem = ErrorNone;
    assign weight_stalled = walk_stalled;
    assign {row_step, row_rewind, row_release} = {walk_row_step, walk_row_rewind, walk_row_release};
    assign walker_wanted = walk_read_wanted;
    assign walker_address = walk_read_address;
    assign {step_valid, step_word, step_first, step_last} = {walk_valid && !pooling, walk_word, walk_first, walk_last};
    assign step_index = walk_index;
    assign step_words = bank_word;
    assign {choose, choose_chunk} = {drain_choose, drain_choose_chunk};
    assign drain_handoff = handoff;
    assign drain_chosen = chosen;
    logic unused;
    assign unused = ^{exponents, tile_drained, tile_row, tile_column};
  end else begin : g_tile
    logic tile_stalled, tile_row_step, tile_row_rewind, tile_row_release, tile_read_wanted, tile_choose, complete;
    logic tile_valid, tile_step_word, tile_first, tile_last;
    logic [BankBits-1:0] tile_read_address;
    logic [IndexBits-1:0] tile_index;
    logic [ChunkBits-1:0] tile_choose_chunk;
    logic [SubRow*OperandBits-1:0] tile_word[LanesP];
    sum_t folded[DrainK][LanesP];
    cascade_tile #(
      .LanesK(LanesK),
      .LanesP(LanesP),
      .Slots(Slots),
      .DrainK(DrainK),
      .SubRow(SubRow),
      .ActivationBits(ActivationBits),
      .AccumulatorBits(AccumulatorBits),
      .BankDepth(BankDepth),
      .Tile(Tile),
      .TransformCycles(TransformCycles),
      .TransformDepth(TransformDepth)
    ) i_tile (
      .clk,
      .rst_n,
      .start(conv_start && tiled),
      .operation,
      .exponents,
      .problem(tile_problem),
      .stalled(tile_stalled),
      .level,
      .row_step(tile_row_step),
      .row_rewind(tile_row_rewind),
      .row_release(tile_row_release),
      .read_wanted(tile_read_wanted),
      .read_allowed(walker_allowed),
      .read_address(tile_read_address),
      .bank_word,
      .step_valid(tile_valid),
      .step_word(tile_step_word),
      .step_index(tile_index),
      .step_first(tile_first),
      .step_last(tile_last),
      .tile_word,
      .handoff(handoff && tiled),
      .choose(tile_choose),
      .choose_chunk(tile_choose_chunk),
      .chosen,
      .complete,
      .tile_drained,
      .fold_read(drain_choose),
      .fold_row(tile_row),
      .fold_column(tile_column),
      .fold_chunk(drain_choose_chunk),
      .folded
    );

    assign tiled = operation.code.opcode == OpConv && operation.code.tile != '0;
    assign weight_stalled = walk_stalled || tile_stalled;
    assign {row_step, row_rewind, row_release} = tiled ? {tile_row_step, tile_row_rewind, tile_row_release} :
        {walk_row_step, walk_row_rewind, walk_row_release};
    assign walker_wanted = tiled ? tile_read_wanted : walk_read_wanted;
    assign walker_address = tiled ? tile_read_address : walk_read_address;
    assign {step_valid, step_word, step_first, step_last} = tiled ?
        {tile_valid, tile_step_word, tile_first, tile_last} : {walk_valid && !pooling, walk_word, walk_first, walk_last};
    assign step_index = tiled ? tile_index : walk_index;
    assign {choose, choose_chunk} = tiled ? {tile_choose, tile_choose_chunk} : {drain_choose, drain_choose_chunk};
    assign drain_handoff = tiled ? complete : handoff;
    always_comb begin
      for (int unsigned p = 0; p < LanesP; p++) begin
        for (int unsigned s = 0; s < SubRow; s++) begin
          automatic logic [ActivationBits-1:0] element = bank_word[p][s*ActivationBits+:ActivationBits];
          step_words[p][s*OperandBits+:OperandBits] = tiled ? tile_word[p][s*OperandBits+:OperandBits] :
              OperandBits'($signed({operation.code.flags.input_signed && element[ActivationBits-1], element}));
        end
        for (int unsigned d = 0; d < DrainK; d++) drain_chosen[d][p] = tiled ? folded[d][p] : chosen[d][p];
      end
    end
  end

  cascade_array #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .Slots(Slots),
    .SubRow(SubRow),
    .WeightBits(WeightBits),
    .ActivationBits(ActivationBits),
    .ElementBits(ElementBits),
    .OperandBits(OperandBits),
    .AccumulatorBits(AccumulatorBits),
    .MultiplierLut(MultiplierLut)
  ) i_array (
    .clk,
    .rst_n,
    .input_signed(operation.code.flags.input_signed),
    .indexed(operation.code.flags.indexed),
    .step_valid,
    .step_word,
    .step_inside(walk_inside || tiled),
    .step_index,
    .step_first,
    .step_shift(walk_shift && !tiled),
    .step_last,
    .step_row,
    .in_word(step_words),
    .handoff,
    .drained
  );

  cascade_select #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .DrainK(DrainK),
    .AccumulatorBits(AccumulatorBits)
  ) i_select (
    .clk,
    .enable(choose),
    .chunk(choose_chunk),
    .drained,
    .chosen
  );

  cascade_drain #(
    .LanesK(LanesK),
    .LanesP(LanesP),
    .DrainK(DrainK),
    .SubRow(SubRow),
    .ActivationBits(ActivationBits),
    .AccumulatorBits(AccumulatorBits),
    .BankDepth(BankDepth),
    .ResultDepth(ResultDepth),
    .Tile(Tile)
  ) i_drain (
    .clk,
    .rst_n,
    .start(conv_start),
    .operation,
    .done(drain_done),
    .problem(drain_problem),
    .handoff(drain_handoff),
    .tile_drained,
    .choose(drain_choose),
    .choose_chunk(drain_choose_chunk),
    .tile_row,
    .tile_column,
    .chosen(drain_chosen),
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
    .step_valid(walk_valid && pooling),
    .step_inside(walk_inside),
    .step_first(walk_first),
    .step_last(walk_last),
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

  assign unit_done = load_done || drain_done || pool_done || store_done;
  always_comb begin
    problem = ErrorNone;
    if (load_problem != ErrorNone) problem = load_problem;
    else if (walker_problem != ErrorNone) problem = walker_problem;
    else if (tile_problem != ErrorNone) problem = tile_problem;
    else if (drain_problem != ErrorNone) problem = drain_problem;
    else if (pool_problem != ErrorNone) problem = pool_problem;
    else if (store_problem != ErrorNone) problem = store_problem;
    else if (loader_wrong_length && (weight_stalled || pass_ends)) problem = ErrorCount;
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
