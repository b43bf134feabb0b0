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
  input  logic                                      narrow,
  input  logic                                      input_signed,
  input  logic                                      indexed,
  output error_e                                    problem,
  input  logic                                      step_valid,
  input  logic                                      step_word,
  input  logic [Engine.lanes_p-1:0]                 step_inside,
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
  localparam int unsigned WideDigitBits = digit_bits(Engine);
  localparam int unsigned DigitBits = two_precisions(Engine) ? Engine.narrow_bits : WideDigitBits;
  localparam int unsigned Latency = sums_latency(Engine);

  typedef logic signed [Engine.accumulator_bits-1:0] accumulator_t;
  // What the step's sum is added to: the accumulator, which a further level shifts by a digit, or nothing. Two bits, as
  // an accumulator's LUTs have no input for a third.
  typedef enum logic [1:0] {
    BaseKept = 2'b00,
    BaseShifted = 2'b01,
    BaseNone = 2'b10,
    BaseWideShifted = 2'b11  // by a digit of a wide program, where there are two precisions
  } base_e;
  typedef struct packed {
    logic  valid;
    base_e base;
    logic  last;
  } control_t;

  logic signed [Engine.weight_bits-1:0] weight[Engine.lanes_k][Engine.slots];
  logic signed [OperandBits-1:0] operand[choices(Engine)][Engine.slots][Engine.lanes_p];
  cascade_operands #(
    .Engine(Engine)
  ) i_operands (
    .clk,
    .narrow,
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
    .narrow,
    .weight,
    .operand,
    .sum,
    .carry
  );

  control_t control[Latency+1];  // by age; the last is that of `sum`
  control_t now;
  base_e step_base;
  assign now = control[Latency];
  always_comb begin
    step_base = BaseKept;
    if (step_first) step_base = BaseNone;
    else if (step_shift) step_base = two_precisions(Engine) && !narrow ? BaseWideShifted : BaseShifted;
  end
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      for (int unsigned age = 0; age <= Latency; age++) control[age] <= '0;
    end else begin
      control[0] <= '{valid: step_valid, base: step_base, last: step_last};
      for (int unsigned age = 0; age < Latency; age++) control[age+1] <= control[age];
    end
  end

  // A packing that excludes the smallest weight would sum it wrongly, as would blocks of a narrow program a weight that
  // is too wide.
  localparam bit Symmetric = array_packing(Engine).symmetric;
  if (Symmetric || two_precisions(Engine)) begin : g_excluded
    localparam int unsigned KeptBits = two_precisions(Engine) ? Engine.narrow_bits : Engine.weight_bits;
    logic [Engine.slots-1:0] excluded;
    function automatic logic is_excluded(logic signed [Engine.weight_bits-1:0] one);
      if (two_precisions(Engine) && narrow)
        return one[Engine.weight_bits-1:KeptBits-1] != {Engine.weight_bits - KeptBits + 1{one[Engine.weight_bits-1]}};
      return Symmetric && one == {1'b1, {Engine.weight_bits - 1{1'b0}}};
    endfunction
    always_ff @(posedge clk) begin
      for (int unsigned s = 0; s < Engine.slots; s++) begin
        excluded[s] <= 1'b0;
        for (int unsigned k = 0; k < Engine.lanes_k; k++) begin
          if (is_excluded(weight[k][s]) && control[slot_delay(Engine, s)].valid) excluded[s] <= 1'b1;
        end
      end
    end
    assign problem = excluded != '0 ? ErrorWeight : ErrorNone;
  end else begin : g_every
    assign problem = ErrorNone;
  end

  // The accumulator's other input goes through its LUTs: the sum is added with its carry below the lowest bit.
  accumulator_t accumulator[Engine.lanes_k][Engine.lanes_p];
  logic ended;
  function automatic accumulator_t base_of(base_e base, accumulator_t total);
    if (two_precisions(Engine) && base == BaseWideShifted) return total <<< WideDigitBits;
    return base[1] ? '0 : base[0] ? total <<< DigitBits : total;
  endfunction
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
          accumulator[k][p] <= accumulate(base_of(now.base, accumulator[k][p]), sum[k][p], carry[k][p]);
        end
        if (ended) drained[k][p] <= accumulator[k][p];
      end
    end
  end
endmodule
