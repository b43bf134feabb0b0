// The array: lanes_k x lanes_p x slots products a cycle, summed over the slots of each (channel, lane) into one
// accumulator each. Pipeline: word and row (cascade_operands), products and their sums (cascade_sums), accumulators,
// finished positions; it never stalls, because the walker issues a position's last step only when `drained` will be
// free. Nothing but words, accumulators and `drained` has an enable: what no valid step carries is added nowhere.
// `handoff` is high in the first cycle in which `drained` holds a position.
module cascade_array
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned RowBits = row_bits(Engine, 1'b1),
  localparam int unsigned ElementBits = element_bits(Engine),
  localparam int unsigned WordBits = Engine.sub_row * ElementBits
) (
  input  logic                                      clk,
  input  logic                                      rst_n,
  input  logic                                      input_signed,
  input  logic                                      indexed,
  output error_e                                    problem,
  input  logic                                      step_valid,
  input  logic                                      step_word,
  input  logic                                      step_inside,
  input  logic [IndexBits-1:0]                      step_index,
  input  logic                                      step_first,
  input  logic                                      step_shift,
  input  logic                                      step_last,
  input  logic [RowBits-1:0]                        step_row,
  input  logic [WordBits-1:0]                       in_word[Engine.lanes_p],
  output logic                                      handoff,
  output logic signed [Engine.accumulator_bits-1:0] drained[Engine.lanes_k][Engine.lanes_p]
);
  localparam int unsigned OperandBits = operand_bits(Engine);
  localparam int unsigned SumBits = Engine.weight_bits + OperandBits + $clog2(Engine.slots);
  localparam int unsigned DigitBits = digit_bits(Engine);
  localparam int unsigned Latency = sums_latency(Engine);

  typedef logic signed [Engine.accumulator_bits-1:0] accumulator_t;
  typedef struct packed {
    logic valid;
    logic first;
    logic shift;
    logic last;
  } control_t;

  logic signed [Engine.weight_bits-1:0] weight[Engine.lanes_k][Engine.slots];
  logic signed [OperandBits-1:0] operand[choices(Engine)][Engine.slots][Engine.lanes_p];
  cascade_operands #(
    .Engine(Engine)
  ) i_operands (
    .clk,
    .input_signed,
    .indexed,
    .step_valid,
    .step_word,
    .step_inside,
    .step_index,
    .step_row,
    .in_word,
    .weight,
    .operand
  );

  logic signed [SumBits-1:0] sum[Engine.lanes_k][Engine.lanes_p];
  logic carry[Engine.lanes_k][Engine.lanes_p];
  cascade_sums #(
    .Engine(Engine)
  ) i_sums (
    .clk,
    .weight,
    .operand,
    .sum,
    .carry
  );

  control_t control[Latency+1];  // by age; the last is that of `sum`
  control_t now;
  assign now = control[Latency];
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      for (int unsigned age = 0; age <= Latency; age++) control[age] <= '0;
    end else begin
      control[0] <= '{valid: step_valid, first: step_first, shift: step_shift, last: step_last};
      for (int unsigned age = 0; age < Latency; age++) control[age+1] <= control[age];
    end
  end

  // A packing that excludes the smallest weight would sum it wrongly.
  if (array_packing(Engine).symmetric) begin : g_excluded
    logic [Engine.slots-1:0] smallest;
    always_ff @(posedge clk) begin
      for (int unsigned s = 0; s < Engine.slots; s++) begin
        smallest[s] <= 1'b0;
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          if (weight[k][s] == {1'b1, {Engine.weight_bits - 1{1'b0}}} && control[slot_delay(Engine, s)].valid) smallest[s] <= 1'b1;
        end
      end
    end
    assign problem = smallest != '0 ? ErrorWeight : ErrorNone;
  end else begin : g_every
    assign problem = ErrorNone;
  end

  // The accumulator's other input goes through its LUTs: the sum is added with its carry below the lowest bit.
  accumulator_t accumulator[Engine.lanes_k][Engine.lanes_p];
  logic ended;
  function automatic accumulator_t accumulate(accumulator_t base, logic signed [SumBits-1:0] step_sum, logic carry_in);
    logic [Engine.accumulator_bits:0] total;
    if (!packed_products(Engine)) return base + accumulator_t'(step_sum);
    total = {accumulator_t'(step_sum), carry_in} + {base, 1'b1};
    return total[Engine.accumulator_bits:1];
  endfunction

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      ended <= 1'b0;
      handoff <= 1'b0;
    end else begin
      ended <= now.valid && now.last;
      handoff <= ended;
    end
    for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
      for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
        if (now.valid) begin
          accumulator[k][p] <= accumulate(
              now.first ? '0 : now.shift ? accumulator[k][p] <<< DigitBits : accumulator[k][p], sum[k][p], carry[k][p]
          );
        end
        if (ended) drained[k][p] <= accumulator[k][p];
      end
    end
  end
endmodule
