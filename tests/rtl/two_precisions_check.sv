// A chain of two precisions against plain products and sums, new values every cycle: first the extremes, then random
// ones, or every combination of all values, in one precision and then in the other, and so on. What is on its way when
// the precision changes is not looked at.
module two_precisions_check
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
#(
  parameter two_case_t Which = Two[0],
  parameter bit Every = 1'b0,
  localparam int unsigned Chain = Which.chain,
  localparam int unsigned WeightBits = Which.weight_bits,
  localparam int unsigned NarrowBits = Which.narrow_bits,
  localparam int unsigned OperandBits = WeightBits + 1
) (
  input  logic   clk,
  output longint checked[2],  // by precision: wide, narrow
  output longint wrong[2],
  output longint turns  // changes of precision
);
  localparam int unsigned SumBits = WeightBits + OperandBits + $clog2(Chain);
  localparam int unsigned Latency = chain_latency(Which.block, Chain);
  localparam int Turn = 200;  // cycles in a precision, if not Every
  localparam bit Symmetric = two_packing(Which).symmetric;

  logic signed [WeightBits-1:0] weights[Chain][Chain][2];  // by age
  logic signed [OperandBits-1:0] operands[Chain][Chain][2];
  int expected[Latency+1][2][2];
  logic narrow = 1'b0;
  int cycle = 0;  // in this precision
  int rest = 0;  // cycles until what was put in last has come out

  logic signed [WeightBits-1:0] weight[Chain][2];
  logic signed [OperandBits-1:0] operand[Chain][2];
  logic signed [SumBits-1:0] sum[2][2];
  logic carry[2][2];
  cascade_chain #(
    .Primitive(Which.block),
    .PackK(2),
    .PackP(2),
    .Chain(Chain),
    .WeightBits(WeightBits),
    .OperandBits(OperandBits),
    .OperandLower(-(1 << (WeightBits - 1))),
    .OperandUpper((1 << WeightBits) - 1),
    .NarrowBits(NarrowBits)
  ) i_chain (.*);
  always_comb begin
    for (int n = 0; n < Chain; n++) begin
      weight[n] = weights[n][n];
      operand[n] = operands[n][n];
    end
  end

  // Values 0 and 1 are weights, 2 and 3 operands; in the wide precision there is no value 3.
  int value[Chain][4];
  function automatic int least(int v, logic narrow);
    if (narrow) return -(1 << (NarrowBits - 1));
    return v == 3 ? 0 : -(1 << (WeightBits - 1)) + int'(v < 2 && Symmetric);
  endfunction
  function automatic int greatest(int v, logic narrow);
    if (narrow) return (1 << (NarrowBits - 32'(v < 2))) - 1;
    return v == 3 ? 0 : (1 << (WeightBits - 32'(v < 2))) - 1;
  endfunction
  function automatic int drawn(int v);
    int draw;
    draw = int'($urandom_range(5));
    if (draw < 2) return draw == 0 ? least(v, narrow) : greatest(v, narrow);
    return least(v, narrow) + int'($urandom_range(32'(greatest(v, narrow) - least(v, narrow))));
  endfunction
  initial begin
    checked = '{0, 0};
    wrong = '{0, 0};
    for (int n = 0; n < Chain; n++) for (int v = 0; v < 4; v++) value[n][v] = least(v, 1'b0);
    turns = 0;
  end

  always_ff @(posedge clk) begin
    automatic logic over = 1'b1;  // the odometer's last digit, or this turn, is through
    if (Every) begin
      for (int n = 0; n < Chain; n++) begin
          for (int v = 0; v < 4; v++) begin
          if (over) begin
            over = value[n][v] == greatest(v, narrow);
            value[n][v] = over ? least(v, narrow) : value[n][v] + 1;
          end
        end
      end
    end else begin
      over = cycle == Turn;
      for (int n = 0; n < Chain; n++) begin
        for (int v = 0; v < 4; v++) begin
          value[n][v] = cycle < 16 ? (cycle[v] ? least(v, narrow) : greatest(v, narrow)) : drawn(v);
        end
      end
    end
    cycle <= cycle + 1;
    for (int age = Chain - 1; age > 0; age--) begin
      weights[age] <= weights[age-1];
      operands[age] <= operands[age-1];
    end
    for (int age = Latency; age > 0; age--) expected[age] <= expected[age-1];
    for (int n = 0; n < Chain; n++) begin
      for (int v = 0; v < 2; v++) begin
        weights[0][n][v] <= WeightBits'(value[n][v]);
        operands[0][n][v] <= OperandBits'(value[n][2+v]);
      end
    end
    for (int k = 0; k < 2; k++) begin
      for (int p = 0; p < 2; p++) begin
        automatic int total = 0;
        for (int n = 0; n < Chain; n++) total += value[n][k] * value[n][2+p];
        expected[0][k][p] <= total;
      end
    end
    if (cycle > Latency) begin
      automatic logic differs = 1'b0;
      for (int k = 0; k < 2; k++) begin
        for (int p = 0; p < 1 + 32'(narrow); p++) begin
          if (32'(sum[k][p]) + 32'({1'b0, carry[k][p]}) != expected[Latency][k][p]) differs = 1'b1;
        end
      end
      checked[narrow] <= checked[narrow] + 1;
      if (differs) wrong[narrow] <= wrong[narrow] + 1;
    end
    if (rest == 1) begin
      narrow <= !narrow;
      cycle <= 0;
      turns <= turns + 1;
      for (int n = 0; n < Chain; n++) for (int v = 0; v < 4; v++) value[n][v] = least(v, !narrow);
    end
    rest <= over && rest == 0 && cycle != 0 ? Latency + 1 : rest == 0 ? 0 : rest - 1;
  end
endmodule
