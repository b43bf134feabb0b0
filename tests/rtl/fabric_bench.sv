// Products of LUTs and their chains against plain products and sums, new values every cycle: extremes and random ones,
// or, where a product is alone, every combination.
module fabric_check
  import cascade_pkg::*;
  import cascade_products_pkg::*;
#(
  parameter int unsigned WeightBits = 8,
  parameter int unsigned ActivationBits = 8,
  parameter int unsigned Slots = 4,
  parameter int unsigned Chain = 4,
  parameter bit Gather = 1'b0,
  parameter int unsigned Tile = 0
) (
  input  logic   clk,
  input  logic   ended,
  output longint checked,
  output longint wrong
);
  function automatic engine_t engine();
    engine_t e;
    e = DefaultEngine;
    e.lanes_k = 3;
    e.lanes_p = 3;
    e.slots = Slots;
    e.sub_row = 8;
    e.weight_bits = WeightBits;
    e.activation_bits = ActivationBits;
    e.tile = Tile;
    e.dsp_primitive = DspPrimitiveDsp48e2;
    e.chain = Chain;
    e.fabric_lanes = 2;
    e.gather = Gather;
    return e;
  endfunction
  localparam engine_t Engine = engine();
  localparam int unsigned OperandBits = operand_bits(Engine);
  localparam int unsigned Choices = choices(Engine);
  localparam int unsigned Latency = chain_latency(Engine.dsp_primitive, Chain);
  localparam int unsigned SumBits = WeightBits + OperandBits + $clog2(Slots);
  localparam bit Every = Slots == 1;
  typedef logic signed [WeightBits-1:0] weight_t;
  typedef logic signed [OperandBits-1:0] operand_t;

  weight_t drawn_weight[3][Slots], weight[3][Slots];
  operand_t drawn_operand[Choices][Slots][2], operand[Choices][Slots][2];
  weight_t weights[Chain][3][Slots];  // by age
  operand_t operands[Chain][Choices][Slots][2];
  logic signed [SumBits-1:0] sum[Slots/Chain][3][2];
  int expected[Latency+1][Slots/Chain][3][2];
  longint step = 0;
  cascade_fabric #(.Engine(Engine)) i_fabric (.*);

  // The smallest, the largest, 0, or any value of so many bits.
  function automatic int drawn(int unsigned bits);
    case ($urandom_range(5))
      0: return -(1 << (bits - 1));
      1: return (1 << (bits - 1)) - 1;
      2: return 0;
      default: return int'($urandom_range((1 << bits) - 1)) - (1 << (bits - 1));
    endcase
  endfunction

  always_comb begin
    for (int s = 0; s < Slots; s++) begin
      for (int k = 0; k < 3; k++) weight[k][s] = weights[s%Chain][k][s];
      for (int c = 0; c < Choices; c++) operand[c][s] = operands[s%Chain][c][s];
    end
  end

  always_ff @(posedge clk) begin
    step <= step + 1;
    for (int s = 0; s < Slots; s++) begin
      for (int k = 0; k < 3; k++) drawn_weight[k][s] = weight_t'(Every ? int'(step) + k : drawn(WeightBits));
      for (int c = 0; c < Choices; c++) begin
        for (int p = 0; p < 2; p++) begin
          drawn_operand[c][s][p] = operand_t'(Every ? int'(step >> WeightBits) + p : drawn(OperandBits));
        end
      end
    end
    weights[0] <= drawn_weight;
    operands[0] <= drawn_operand;
    for (int age = 1; age < Chain; age++) begin
      weights[age] <= weights[age-1];
      operands[age] <= operands[age-1];
    end
    for (int k = 0; k < 3; k++) begin
      for (int p = 0; p < 2; p++) begin
        for (int c = 0; c < Slots / Chain; c++) begin
          automatic int total = 0;
          for (int n = c * Chain; n < (c + 1) * Chain; n++) total += drawn_weight[k][n] * drawn_operand[k*Choices/3][n][p];
          expected[0][c][k][p] <= total;
        end
      end
    end
    for (int age = 1; age <= Latency; age++) expected[age] <= expected[age-1];
    if (step > longint'(Latency) + 1 && !ended) begin
      automatic logic differs = 1'b0;
      for (int c = 0; c < Slots / Chain; c++) begin
        for (int k = 0; k < 3; k++) for (int p = 0; p < 2; p++) differs |= int'(sum[c][k][p]) != expected[Latency][c][k][p];
      end
      checked <= checked + 1;
      if (differs) wrong <= wrong + 1;
    end
  end
  initial begin
    checked = 0;
    wrong = 0;
  end
endmodule

module fabric_bench ();
  localparam int Steps = 140_000;  // all products of 8 and 9 bits
  localparam int Checks = 5;
  logic clk = 0;
  logic ended = 0;
  int step = 0;
  longint checked[Checks], wrong[Checks];
  always #1 clk = !clk;
  fabric_check #(.Slots(1), .Chain(1)) i_every (.clk, .ended, .checked(checked[0]), .wrong(wrong[0]));
  fabric_check i_pairs (.clk, .ended, .checked(checked[1]), .wrong(wrong[1]));
  fabric_check #(.WeightBits(4), .ActivationBits(4), .Slots(8), .Chain(2), .Gather(1'b1)) i_gather (
    .clk, .ended, .checked(checked[2]), .wrong(wrong[2])
  );
  fabric_check #(.WeightBits(2), .ActivationBits(2), .Slots(2), .Chain(2)) i_two_bits (
    .clk, .ended, .checked(checked[3]), .wrong(wrong[3])
  );
  fabric_check #(.WeightBits(11), .Tile(4), .Slots(2), .Chain(2)) i_widest (.clk, .ended, .checked(checked[4]), .wrong(wrong[4]));
  always_ff @(posedge clk) begin
    step <= step + 1;
    if (step == Steps) begin
      for (int n = 0; n < Checks; n++) $display("fabric %0d %0d", checked[n], wrong[n]);
      $finish;
    end
  end
endmodule
