// What a CONV with a tile needs beside array and drain: input transform, the array's steps, output transform.
module cascade_tile
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned ChunkBits = chunk_bits(Engine),
  localparam int unsigned OutputBits = output_bits(Engine),
  localparam int unsigned OperandBits = operand_bits(Engine)
) (
  input  logic                                             clk,
  input  logic                                             rst_n,
  input  logic                                             start,
  input  operation_t                                       operation,
  input  taps_t                                            operation_taps,
  input  window_t                                          windows[Engine.lanes_p],
  output error_e                                           problem,
  output logic                                             stalled,  // waiting for weights
  // weight rows
  input  logic                                             row_here,
  output logic                                             row_step,
  output logic                                             row_rewind,
  output logic                                             row_final,
  output logic                                             row_release,
  // the bank's read port
  output logic                                             read_near,
  input  logic                                             read_allowed,
  output logic [BankBits-1:0]                              read_address,
  input  logic [Engine.sub_row*Engine.activation_bits-1:0] bank_word[Engine.lanes_p],
  // to the array, one cycle after the step
  output logic                                             step_valid,
  output logic                                             step_word,
  output logic [IndexBits-1:0]                             step_index,
  output logic                                             step_first,
  output logic                                             step_shift,
  output logic                                             step_last,
  output logic [Engine.sub_row*OperandBits-1:0]            tile_word[Engine.lanes_p],
  // from the array
  input  logic                                             handoff,
  output logic                                             choose,
  output logic [ChunkBits-1:0]                             choose_chunk,
  input  logic signed [Engine.accumulator_bits-1:0]        chosen[Engine.drain_k][Engine.lanes_p],
  // to the drain
  output logic                                             complete,
  input  logic                                             tile_drained,
  input  logic                                             fold_read,
  input  logic [OutputBits-1:0]                            fold_row,
  input  logic [OutputBits-1:0]                            fold_column,
  input  logic [ChunkBits-1:0]                             fold_chunk,
  output logic signed [Engine.accumulator_bits-1:0]        folded[Engine.drain_k][Engine.lanes_p]
);
  localparam int unsigned BufferBits = buffer_bits(Engine);

  error_e input_problem, walker_problem;
  logic tile_here, tile_read, buffer_read;
  logic [BufferBits-1:0] buffer_address;
  logic [ChunkBits-1:0] last_chunk;
  assign problem = input_problem != ErrorNone ? input_problem : walker_problem;

  cascade_tile_input #(
    .Engine(Engine)
  ) i_input (
    .clk,
    .rst_n,
    .start,
    .operation,
    .windows,
    .problem(input_problem),
    .read_near,
    .read_allowed,
    .read_address,
    .bank_word,
    .tile_here,
    .tile_read,
    .buffer_read,
    .buffer_address,
    .buffer_word(tile_word)
  );

  cascade_tile_walker #(
    .Engine(Engine)
  ) i_walker (
    .clk,
    .rst_n,
    .start,
    .operation,
    .operation_taps,
    .problem(walker_problem),
    .stalled,
    .row_here,
    .row_step,
    .row_rewind,
    .row_final,
    .row_release,
    .tile_here,
    .tile_read,
    .buffer_read,
    .buffer_address,
    .last_chunk,
    .tile_drained,
    .step_valid,
    .step_word,
    .step_index,
    .step_first,
    .step_shift,
    .step_last
  );

  cascade_fold #(
    .Engine(Engine)
  ) i_fold (
    .clk,
    .rst_n,
    .four(operation.code.tile[2]),
    .exponents(operation_taps.exponents),
    .handoff,
    .last_chunk,
    .choose,
    .choose_chunk,
    .chosen,
    .complete,
    .read_enable(fold_read),
    .read_row(fold_row),
    .read_column(fold_column),
    .read_chunk(fold_chunk),
    .read_data(folded)
  );
endmodule
