// Chains of packed products against plain products and sums, new values every cycle: every combination of extremes,
// then random ones. Or, for chains of narrow values or of one product, every combination of all values.
module chain_check
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
#(
  parameter chain_case_t Which = Case[0],
  parameter bit Every = 1'b0,
  parameter bit Excluded = 1'b0,  // with the weight that the packing does not take
  localparam int unsigned PackK = Which.pack_k,
  localparam int unsigned PackP = Which.pack_p,
  localparam int unsigned Chain = Which.chain,
  localparam int unsigned WeightBits = Which.weight_bits,
  localparam int unsigned OperandBits = Which.operand_bits
) (
  input  logic   clk,
  input  logic   random_ends,  // if not Every
  output longint checked,
  output longint wrong
);
  localparam int unsigned SumBits = sum_width(Which);
  localparam int unsigned Latency = chain_latency(Which.block, Chain);
  localparam int LeastWeight = Excluded ? -(1 << (WeightBits - 1)) : least_weight(Which);
  localparam int GreatestWeight = (1 << (WeightBits - 1)) - 1;
  localparam int unsigned Depth = is_column(Which.block) ? Chain : 1;

  // Values by age, sums that are expected by age.
  logic signed [WeightBits-1:0] weights[Depth][Chain][PackK];
  logic signed [OperandBits-1:0] operands[Depth][Chain][PackP];
  int expected[Latency+1][PackK][PackP];
  int filled = 0;
  int left = Latency + 1;  // after the last values
  logic finished = 1'b0;
  longint step = 0;

  logic signed [WeightBits-1:0] weight[Chain][PackK];
  logic signed [OperandBits-1:0] operand[Chain][PackP];
  logic signed [SumBits-1:0] sum[PackK][PackP];
  logic carry[PackK][PackP];
  cascade_chain #(
    .Primitive(Which.block),
    .PackK(PackK),
    .PackP(PackP),
    .Chain(Chain),
    .WeightBits(WeightBits),
    .OperandBits(OperandBits),
    .OperandLower(Which.lower),
    .OperandUpper(Which.upper)
  ) i_chain (
    .narrow(1'b0),
    .*
  );

  always_comb begin
    for (int n = 0; n < Chain; n++) begin
      weight[n] = weights[n%Depth][n];
      operand[n] = operands[n%Depth][n];
    end
  end

  // The values to come: of each slot weights, then operands.
  localparam int Values = PackK + PackP;
  int value[Chain][Values];
  function automatic int least(int v);
    return v < PackK ? LeastWeight : Which.lower;
  endfunction
  function automatic int greatest(int v);
    return v < PackK ? GreatestWeight : Which.upper;
  endfunction
  initial begin
    for (int n = 0; n < Chain; n++) for (int v = 0; v < Values; v++) value[n][v] = least(v);
    checked = 0;
    wrong = 0;
  end

  function automatic int drawn(int v);
    int draw;
    draw = int'($urandom_range(5));
    return draw == 0 ? least(v) : draw == 1 ? greatest(v) : least(v) + int'($urandom_range(32'(greatest(v) - least(v))));
  endfunction

  always_ff @(posedge clk) begin
    automatic logic over;
    if (!finished) begin
      over = 1'b1;
      for (int n = 0; n < Chain; n++) begin
        for (int v = 0; v < Values; v++) begin
          if (Every) begin  // an odometer
            if (over) begin
              over = value[n][v] == greatest(v);
              value[n][v] = over ? least(v) : value[n][v] + 1;
            end
          end else if (step < 81) begin  // the same extremes in all slots
            value[n][v] = int'(step / (v == 0 ? 1 : v == 1 ? 3 : v == 2 ? 9 : 27)) % 3 == 0 ? least(v) :
                int'(step / (v == 0 ? 1 : v == 1 ? 3 : v == 2 ? 9 : 27)) % 3 == 1 ? greatest(v) : 0;
          end else begin
            value[n][v] = drawn(v);
          end
        end
      end
      finished <= Every ? over && step != 0 : random_ends;
      step <= step + 1;
    end
    for (int age = Depth - 1; age > 0; age--) begin
      weights[age] <= weights[age-1];
      operands[age] <= operands[age-1];
    end
    for (int age = Latency; age > 0; age--) expected[age] <= expected[age-1];
    for (int n = 0; n < Chain; n++) begin
      for (int k = 0; k < PackK; k++) weights[0][n][k] <= WeightBits'(value[n][k]);
      for (int p = 0; p < PackP; p++) operands[0][n][p] <= OperandBits'(value[n][PackK+p]);
    end
    for (int k = 0; k < PackK; k++) begin
      for (int p = 0; p < PackP; p++) begin
        automatic int total = 0;
        for (int n = 0; n < Chain; n++) total += value[n][k] * value[n][PackK+p];
        expected[0][k][p] <= total;
      end
    end
    if (finished && left != 0) left <= left - 1;
    if (filled <= Latency) begin
      filled <= filled + 1;
    end else if (left != 0) begin
      automatic logic differs = 1'b0;
      for (int k = 0; k < PackK; k++) begin
        for (int p = 0; p < PackP; p++) begin
          if (32'(sum[k][p]) + 32'({1'b0, carry[k][p]}) != expected[Latency][k][p]) differs = 1'b1;
        end
      end
      checked <= checked + 1;
      if (differs) wrong <= wrong + 1;
    end
  end
endmodule

module chain_bench
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
();
  localparam int Random = 20_000, Last = 22_000;
  logic clk = 0, random_ends = 0;
  int step = 0;
  longint checked[Cases], narrow_checked[2], excluded_checked;
  longint wrong[Cases], narrow_wrong[2], excluded_wrong;
  // Packings are constants here: a function that looks for one is slow to compile.
  packing_t case_packings[Cases], two_packings[Twos], two_narrow_packings[Twos];
  longint two_checked[Twos+2][2], two_wrong[Twos+2][2], two_turns[Twos+2];
  always #1 clk = !clk;

  for (genvar n = 0; n < Cases; n++) begin : g_case
    localparam packing_t Packing = case_packing(Case[n]);
    assign case_packings[n] = Packing;
    chain_check #(.Which(Case[n])) i_check (.clk, .random_ends, .checked(checked[n]), .wrong(wrong[n]));
  end
  for (genvar n = 0; n < 2; n++) begin : g_narrow
    chain_check #(.Which(Narrow[n]), .Every(1'b1)) i_check (
      .clk, .random_ends, .checked(narrow_checked[n]), .wrong(narrow_wrong[n])
    );
  end
  for (genvar n = 0; n < Twos; n++) begin : g_packings
    localparam packing_t Packing = two_packing(Two[n]), NarrowPacking = two_narrow_packing(Two[n]);
    assign two_packings[n] = Packing;
    assign two_narrow_packings[n] = NarrowPacking;
  end
  for (genvar n = 0; n < Twos + 2; n++) begin : g_two
    localparam two_case_t Which = n < Twos ? Two[n%Twos] : NarrowTwo[n%2];
    two_precisions_check #(.Which(Which), .Every(n >= Twos)) i_check (
      .clk, .checked(two_checked[n]), .wrong(two_wrong[n]), .turns(two_turns[n])
    );
  end
  chain_check #(.Which(Case[2]), .Excluded(1'b1)) i_excluded (
    .clk, .random_ends, .checked(excluded_checked), .wrong(excluded_wrong)
  );

  always_ff @(posedge clk) begin
    step <= step + 1;
    if (step == Random) random_ends <= 1'b1;
    if (step == Last) begin
      for (int n = 0; n < Cases; n++) begin
        $display("case %0d %0d", checked[n], wrong[n]);
        $display("packing %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d", Case[n].block, Case[n].pack_k, Case[n].pack_p,
                 Case[n].chain, Case[n].weight_bits, Case[n].lower, Case[n].upper, case_packings[n].weight_step,
                 case_packings[n].operand_step, case_packings[n].symmetric);
      end
      for (int n = 0; n < 2; n++) $display("narrow %0d %0d", narrow_checked[n], narrow_wrong[n]);
      for (int n = 0; n < Twos + 2; n++) begin
        $display("two %0d %0d %0d %0d %0d", two_checked[n][0], two_wrong[n][0], two_checked[n][1], two_wrong[n][1], two_turns[n]);
      end
      for (int n = 0; n < Twos; n++) begin
        $display("both %0d %0d %0d %0d %0d %0d %0d %0d", Two[n].block, Two[n].chain, Two[n].weight_bits, Two[n].narrow_bits,
                 two_packings[n].weight_step, two_packings[n].symmetric, two_narrow_packings[n].weight_step,
                 two_narrow_packings[n].operand_step);
      end
      $display("excluded %0d %0d", excluded_checked, excluded_wrong);
      $finish;
    end
  end
endmodule
