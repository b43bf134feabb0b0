// What the multipliers take: the weights of each (channel, slot), and the element that each of them meets in each lane.
// With gather, index_k channels pick the element that their common index names; without it, one element for each slot
// serves all channels. Slot n of a chain gets its values n cycles later where the chain is a column of DSP blocks.
// In a wide program of an engine of two precisions the upper half of the lanes gets zeros.
// Outputs of a slot come 1 + slot_delay(Engine, slot) cycles after the step, and are to be registered by the multipliers.
// Cost: registers of a word for each lane and of a weight row, and their delays; with gather a multiplexer of S
// elements for each lane, slot and index_k channels, without it one of S / slots elements for each lane and slot.
module cascade_operands
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned RowBits = row_bits(Engine, 1'b1),
  localparam int unsigned ElementBits = element_bits(Engine),
  localparam int unsigned OperandBits = operand_bits(Engine),
  localparam int unsigned WordBits = Engine.sub_row * ElementBits,
  localparam int unsigned Choices = choices(Engine)
) (
  input  logic                                 clk,
  input  logic                                 narrow,
  input  logic                                 input_signed,
  input  logic                                 indexed,
  input  logic                                 step_valid,
  input  logic                                 step_word,  // the word is new
  input  logic [Engine.lanes_p-1:0]            step_inside,  // and inside the map, in each lane
  input  logic [IndexBits-1:0]                 step_index,  // element of slot 0 without indices, a multiple of the slots
  input  logic [RowBits-1:0]                   step_row,
  input  logic [WordBits-1:0]                  in_word[Engine.lanes_p],
  output logic signed [Engine.weight_bits-1:0] weight[Engine.lanes_k][Engine.slots],
  output logic signed [OperandBits-1:0]        operand[Choices][Engine.slots][Engine.lanes_p]
);
  localparam int unsigned Depth = slot_delay(Engine, Engine.slots - 1) + 1;

  typedef logic signed [Engine.weight_bits-1:0] weight_t;
  typedef logic signed [OperandBits-1:0] operand_t;
  typedef logic [ElementBits-1:0] element_t;
  typedef logic [IndexBits-1:0] index_t;
  typedef logic [Engine.sub_row-1:0][ElementBits-1:0] word_t;

  word_t word[Depth][Engine.lanes_p];  // by age
  always_ff @(posedge clk) begin
    if (step_valid && step_word) begin
      for (int unsigned p = 0; p < Engine.lanes_p; p++) word[0][p] <= step_inside[p] ? in_word[p] : '0;
    end
    for (int unsigned age = 1; age < Depth; age++) word[age] <= word[age-1];
  end

  function automatic operand_t operand_of(element_t element, logic is_signed);
    return OperandBits'($signed({is_signed && element[ElementBits-1], element}));
  endfunction

  for (genvar s = 0; s < Engine.slots; s++) begin : g_slot
    localparam int unsigned Late = slot_delay(Engine, s);
    weight_t value[Late+1][Engine.lanes_k];
    always_ff @(posedge clk) begin
      for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
        value[0][k] <= step_row[(k*Engine.slots+s)*Engine.weight_bits+:Engine.weight_bits];
      end
      for (int unsigned age = 1; age <= Late; age++) value[age] <= value[age-1];
    end
    always_comb for (int unsigned k = 0; k < Engine.lanes_k; k++) weight[k][s] = value[Late][k];

    if (Engine.gather) begin : g_gather
      logic unused;
      assign unused = narrow;
      localparam int unsigned Indices = Engine.lanes_k * Engine.slots * Engine.weight_bits;
      index_t index[Late+1][Choices];
      always_ff @(posedge clk) begin
        for (int unsigned c = 0; c < Choices; c++) begin
          if (Engine.sub_row == 1) index[0][c] <= '0;
          else index[0][c] <= indexed ? step_row[Indices+(c*Engine.slots+s)*IndexBits+:IndexBits] : step_index | index_t'(s);
        end
        for (int unsigned age = 1; age <= Late; age++) index[age] <= index[age-1];
      end
      always_comb begin
        for (int unsigned c = 0; c < Choices; c++) begin
          for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
            operand[c][s][p] = operand_of(word[Late][p][index[Late][c]], input_signed);
          end
        end
      end
    end else begin : g_shared
      index_t first, index;  // the element of slot 0, of this one
      if (Engine.sub_row == Engine.slots) begin : g_all
        assign first = '0;
      end else begin : g_some
        always_ff @(posedge clk) first <= step_index & ~index_t'(Engine.slots - 1);
      end
      assign index = first | index_t'(s);
      logic unused;
      assign unused = ^{indexed, step_index, narrow};
      if (two_precisions(Engine)) begin : g_pairs
        for (genvar p = 0; p < wide_lanes(Engine); p++) begin : g_lane
          logic [2*ElementBits-1:0] chosen[Late+1];
          operand_t pair[2];
          cascade_lane_pair #(
            .SubRow(Engine.sub_row),
            .NarrowBits(ElementBits)
          ) i_pair (
            .narrow,
            .index,
            .lower(word[0][p]),
            .upper(word[0][wide_lanes(Engine)+p]),
            .element(chosen[0])
          );
          always_ff @(posedge clk) for (int unsigned age = 1; age <= Late; age++) chosen[age] <= chosen[age-1];
          cascade_pair_values #(
            .NarrowBits(ElementBits)
          ) i_values (
            .narrow,
            .is_signed(input_signed),
            .element(chosen[Late]),
            .value(pair)
          );
          assign operand[0][s][p] = pair[0];
          assign operand[0][s][wide_lanes(Engine)+p] = pair[1];
        end
      end else begin : g_lanes
        operand_t chosen[Late+1][Engine.lanes_p];
        always_comb begin
          for (int unsigned p = 0; p < Engine.lanes_p; p++) chosen[0][p] = operand_of(word[0][p][index], input_signed);
        end
        always_ff @(posedge clk) for (int unsigned age = 1; age <= Late; age++) chosen[age] <= chosen[age-1];
        always_comb operand[0][s] = chosen[Late];
      end
    end
  end
endmodule
