// Proof obligations of packed products, for Yosys' sat.

// Whatever the sums of a chain are within their bounds, cascade_fields takes them apart. `Beyond` products more than
// the chain has break it, where the fields are as narrow as the chain allows.
module fields_proof
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
#(
  parameter int Number = 0,
  parameter int Beyond = 0,
  localparam chain_case_t Which = Case[Number],
  localparam int unsigned PackK = Which.pack_k,
  localparam int unsigned PackP = Which.pack_p,
  localparam int unsigned SumBits = sum_width(Which)
) (
  input logic signed [SumBits-1:0] total[PackK][PackP]
);
  localparam packing_t Packing = case_packing(Which);
  localparam int unsigned PackedBits = sum_bits(Which.block);
  localparam int GreatestWeight = (1 << (Which.weight_bits - 1)) - 1;
  localparam int Products = Which.chain + Beyond;
  localparam longint Lowest = longint'(least_weight(Which)) * Which.upper * Products;
  localparam longint OfLeast = longint'(least_weight(Which)) * Which.lower * Products;
  localparam longint OfGreatest = longint'(GreatestWeight) * Which.upper * Products;
  localparam longint Highest = OfLeast > OfGreatest ? OfLeast : OfGreatest;

  logic [PackedBits-1:0] packed_sum;
  logic signed [SumBits-1:0] sum[PackK][PackP];
  logic carry[PackK][PackP];
  cascade_fields #(
    .PackK(PackK),
    .PackP(PackP),
    .WeightStep(32'(Packing.weight_step)),
    .OperandStep(32'(Packing.operand_step)),
    .PackedBits(PackedBits),
    .SumBits(SumBits)
  ) i_fields (.packed_sum, .sum, .carry);

  always_comb begin
    packed_sum = '0;
    for (int k = 0; k < PackK; k++) begin
      for (int p = 0; p < PackP; p++) begin
        assume (longint'(total[k][p]) >= Lowest && longint'(total[k][p]) <= Highest);
        packed_sum += PackedBits'(total[k][p]) << (k * 32'(Packing.weight_step) + p * 32'(Packing.operand_step));
      end
    end
    for (int k = 0; k < PackK; k++) begin
      for (int p = 0; p < PackP; p++) begin
        assert (SumBits'(sum[k][p] + $signed(SumBits'({1'b0, carry[k][p]}))) == total[k][p]);
      end
    end
  end
endmodule

// A whole chain of narrow values, its registers taken for wires, equals the sums of its products.
module chain_proof
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
#(
  parameter int Number = 0,
  localparam chain_case_t Which = Narrow[Number],
  localparam int unsigned PackK = Which.pack_k,
  localparam int unsigned PackP = Which.pack_p,
  localparam int unsigned Chain = Which.chain,
  localparam int unsigned WeightBits = Which.weight_bits,
  localparam int unsigned OperandBits = Which.operand_bits,
  localparam int unsigned SumBits = sum_width(Which)
) (
  input logic                          clk,
  input logic signed [WeightBits-1:0]  weight[Chain][PackK],
  input logic signed [OperandBits-1:0] operand[Chain][PackP]
);
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
  ) i_chain (.clk, .weight, .operand, .sum, .carry);

  always_comb begin
    for (int n = 0; n < Chain; n++) begin
      for (int p = 0; p < PackP; p++) assume (operand[n][p] >= Which.lower && operand[n][p] <= Which.upper);
    end
    for (int k = 0; k < PackK; k++) begin
      for (int p = 0; p < PackP; p++) begin
        automatic logic signed [SumBits-1:0] total = '0;
        for (int n = 0; n < Chain; n++) total += SumBits'(weight[n][k]) * SumBits'(operand[n][p]);
        assert (SumBits'(sum[k][p] + $signed(SumBits'({1'b0, carry[k][p]}))) == total);
      end
    end
  end
endmodule
