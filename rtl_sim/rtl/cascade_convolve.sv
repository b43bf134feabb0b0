// CONV, and the steps of MAXPOOL: the walker's addresses, the array and the drain; and, where the engine has tiles,
// the units that take the walker's place and stand between array and drain for a CONV with a tile.
module cascade_convolve
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned ResultAddressBits = result_address_bits(Engine),
  localparam int unsigned ChunkBits = chunk_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine),
  localparam int unsigned Granules = granules_per_word(Engine),
  localparam int unsigned RowBits = row_bits(Engine, 1'b1)
) (
  input  logic                             clk,
  input  logic                             rst_n,
  input  logic                             narrow,  // the program's precision
  input  logic                             start,
  input  logic                             pool_start,
  input  operation_t                       operation,
  input  taps_t                            operation_taps,
  input  window_t                          windows[Engine.lanes_p],
  output logic                             busy,
  output logic                             done,  // one cycle: the last write of a CONV is made
  output error_e                           problem,
  output logic                             stalled,  // waiting for weights
  // weight rows and the channels' parameters
  input  logic                             row_here,
  output logic                             row_step,
  output logic                             row_rewind,
  output logic                             row_final,
  output logic                             row_release,
  input  logic [RowBits-1:0]               step_row,
  output logic                             parameters_read,
  output logic [ChunkBits-1:0]             parameters_chunk,
  output logic                             parameters_release,
  input  parameters_t [Engine.drain_k-1:0] parameters,
  // MAXPOOL's steps, with the bank's word
  output logic                             pool_step,
  output logic [Engine.lanes_p-1:0]        pool_inside,
  output logic                             pool_first,
  output logic                             pool_last,
  // banks and results
  output logic                             bank_read,
  output logic [BankBits-1:0]              bank_read_address,
  input  logic [WordBits-1:0]              bank_word[Engine.lanes_p],
  output logic                             bank_write,
  output logic [Granules-1:0]              bank_granules[halves(Engine)],
  output logic [BankBits-1:0]              bank_write_address,
  output logic [WordBits-1:0]              bank_data[Engine.lanes_p],
  output logic                             result_write,
  output logic [ResultAddressBits-1:0]     result_address,
  output logic [ResultBits-1:0]            result_data[Engine.lanes_p]
);
  localparam int unsigned ActivationBits = Engine.activation_bits;
  localparam int unsigned OutputBits = output_bits(Engine);
  localparam int unsigned OperandBits = operand_bits(Engine);
  localparam int unsigned ElementBits = element_bits(Engine);  // of the array's words
  typedef logic signed [Engine.accumulator_bits-1:0] sum_t;

  logic drain_stalled, drain_fetched, handoff;
  logic starts, pool_starts, pooling, tiled;
  logic walk_stalled, walk_row_step, walk_row_rewind, walk_row_final, walk_row_release, walk_read_near;
  logic walk_valid, walk_word, walk_first, walk_shift, walk_last;
  logic [Engine.lanes_p-1:0] walk_inside;
  logic step_valid, step_word, step_first, step_shift, step_last;
  logic [BankBits-1:0] walk_read_address;
  logic [IndexBits-1:0] walk_index, step_index;
  logic [Engine.sub_row*ElementBits-1:0] step_words[Engine.lanes_p];
  logic choose, drain_choose, drain_handoff, tile_drained;
  logic [ChunkBits-1:0] choose_chunk, drain_choose_chunk;
  logic [OutputBits-1:0] tile_row, tile_column;
  error_e tile_problem;
  sum_t drained[Engine.lanes_k][Engine.lanes_p];
  sum_t chosen[Engine.drain_k][Engine.lanes_p];
  sum_t drain_chosen[Engine.drain_k][Engine.lanes_p];
  error_e walker_problem, array_problem, drain_problem;
  // The units begin a cycle after the instruction is there: what it says about their loops and ways is in registers.
  always_ff @(posedge clk) begin
    if (!rst_n) {starts, pool_starts} <= '0;
    else {starts, pool_starts} <= {start, pool_start};
    pooling <= operation.code.opcode[2];  // CONV and MAXPOOL alone come here
    tiled <= Engine.tile != 0 && operation.code.tile[2:1] != '0;  // 2 or 4
  end
  assign pool_step = walk_valid && pooling;
  assign {pool_inside, pool_first, pool_last} = {walk_inside, walk_first, walk_last};
  assign problem = walker_problem != ErrorNone ? walker_problem :
      tile_problem != ErrorNone ? tile_problem : array_problem != ErrorNone ? array_problem : drain_problem;

  // The bank's read port: of the steps' words, or of the drain's residuals.
  logic walker_near, walker_allowed, fetch_wanted, fetch_urgent, fetch_allowed;
  logic [BankBits-1:0] walker_address, fetch_address;
  assign fetch_allowed = fetch_urgent || !walker_near;
  assign walker_allowed = !fetch_urgent;
  assign bank_read = fetch_wanted || walker_near;
  assign bank_read_address = fetch_wanted && fetch_allowed ? fetch_address : walker_address;

  cascade_walker #(
    .Engine(Engine)
  ) i_walker (
    .clk,
    .rst_n,
    .start((starts && !tiled) || pool_starts),
    .operation,
    .windows,
    .busy,
    .problem(walker_problem),
    .stalled(walk_stalled),
    .row_here,
    .row_step(walk_row_step),
    .row_rewind(walk_row_rewind),
    .row_final(walk_row_final),
    .row_release(walk_row_release),
    .read_near(walk_read_near),
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

  if (Engine.tile == 0) begin : g_direct
    assign tile_problem = ErrorNone;
    assign stalled = walk_stalled;
    assign {row_step, row_rewind, row_final, row_release} =
        {walk_row_step, walk_row_rewind, walk_row_final, walk_row_release};
    assign walker_near = walk_read_near;
    assign walker_address = walk_read_address;
    assign {step_valid, step_word, step_first, step_shift, step_last} =
        {walk_valid && !pooling, walk_word, walk_first, walk_shift, walk_last};
    assign step_index = walk_index;
    assign step_words = bank_word;
    assign {choose, choose_chunk} = {drain_choose, drain_choose_chunk};
    assign drain_handoff = handoff;
    assign drain_chosen = chosen;
    logic unused;
    assign unused = ^{operation_taps, tile_drained, tile_row, tile_column};
  end else begin : g_tile
    logic tile_stalled, tile_row_step, tile_row_rewind, tile_row_final, tile_row_release, tile_read_near, tile_choose;
    logic complete;
    logic tile_valid, tile_step_word, tile_first, tile_shift, tile_last;
    logic [BankBits-1:0] tile_read_address;
    logic [IndexBits-1:0] tile_index;
    logic [ChunkBits-1:0] tile_choose_chunk;
    logic [Engine.sub_row*OperandBits-1:0] tile_word[Engine.lanes_p];
    sum_t folded[Engine.drain_k][Engine.lanes_p];
    cascade_tile #(
      .Engine(Engine)
    ) i_tile (
      .clk,
      .rst_n,
      .start(starts && tiled),
      .operation,
      .operation_taps,
      .windows,
      .problem(tile_problem),
      .stalled(tile_stalled),
      .row_here,
      .row_step(tile_row_step),
      .row_rewind(tile_row_rewind),
      .row_final(tile_row_final),
      .row_release(tile_row_release),
      .read_near(tile_read_near),
      .read_allowed(walker_allowed),
      .read_address(tile_read_address),
      .bank_word,
      .step_valid(tile_valid),
      .step_word(tile_step_word),
      .step_index(tile_index),
      .step_first(tile_first),
      .step_shift(tile_shift),
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

    // Only one of the two walks, so that what they ask for is either's.
    assign stalled = walk_stalled || tile_stalled;
    assign row_step = tile_row_step || walk_row_step;
    assign {row_rewind, row_final, row_release} = tiled ?
        {tile_row_rewind, tile_row_final, tile_row_release} : {walk_row_rewind, walk_row_final, walk_row_release};
    assign walker_near = tile_read_near || walk_read_near;
    assign walker_address = tiled ? tile_read_address : walk_read_address;
    assign {step_valid, step_word, step_first, step_shift, step_last} = tiled ?
        {tile_valid, tile_step_word, tile_first, tile_shift, tile_last} :
        {walk_valid && !pooling, walk_word, walk_first, walk_shift, walk_last};
    assign step_index = tiled ? tile_index : walk_index;
    assign {choose, choose_chunk} = tiled ? {tile_choose, tile_choose_chunk} : {drain_choose, drain_choose_chunk};
    assign drain_handoff = tiled ? complete : handoff;
    always_comb begin
      for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
        for (int unsigned s = 0; s < Engine.sub_row; s++) begin
          automatic logic [ActivationBits-1:0] element = bank_word[p][s*ActivationBits+:ActivationBits];
          step_words[p][s*OperandBits+:OperandBits] = tiled ? tile_word[p][s*OperandBits+:OperandBits] :
              OperandBits'($signed({operation.code.flags.input_signed && element[ActivationBits-1], element}));
        end
        for (int unsigned d = 0; d < Engine.drain_k; d++) drain_chosen[d][p] = tiled ? folded[d][p] : chosen[d][p];
      end
    end
  end

  cascade_array #(
    .Engine(Engine)
  ) i_array (
    .clk,
    .rst_n,
    .narrow,
    .input_signed(operation.code.flags.input_signed),
    .indexed(operation.code.flags.indexed),
    .problem(array_problem),
    .step_valid,
    .step_word,
    .step_inside(walk_inside | {Engine.lanes_p{tiled}}),
    .step_index,
    .step_first,
    .step_shift,
    .step_last,
    .step_row,
    .in_word(step_words),
    .handoff,
    .drained
  );

  cascade_select #(
    .LanesK(Engine.lanes_k),
    .LanesP(Engine.lanes_p),
    .DrainK(Engine.drain_k),
    .AccumulatorBits(Engine.accumulator_bits)
  ) i_select (
    .clk,
    .enable(choose),
    .chunk(choose_chunk),
    .drained,
    .chosen
  );

  cascade_drain #(
    .Engine(Engine)
  ) i_drain (
    .clk,
    .rst_n,
    .narrow,
    .start(starts),
    .operation,
    .done,
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
    .bank_write,
    .bank_granules,
    .bank_address(bank_write_address),
    .bank_data,
    .result_write,
    .result_address,
    .result_data
  );
endmodule
