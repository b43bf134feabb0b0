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

// Whatever the sums of a chain of two precisions are, within the bounds of the one that `narrow` says,
// cascade_either_fields takes them apart. `Beyond` as above, of both precisions.
module either_fields_proof
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
#(
  parameter int Number = 0,
  parameter int Beyond = 0,
  localparam two_case_t Which = Two[Number],
  localparam int unsigned SumBits = 2 * Which.weight_bits + 1 + $clog2(Which.chain)
) (
  input logic                      narrow,
  input logic signed [SumBits-1:0] total[2][2]
);
  localparam packing_t Wide = two_packing(Which);
  localparam packing_t Narrow = two_narrow_packing(Which);
  localparam longint Products = longint'(Which.chain + Beyond);
  localparam longint WideWeight = (64'sd1 <<< (Which.weight_bits - 1)) - longint'(Wide.symmetric);
  localparam longint WideOperand = (64'sd1 <<< Which.weight_bits) - 1;
  localparam longint NarrowWeight = 64'sd1 <<< (Which.narrow_bits - 1);
  localparam longint NarrowOperand = (64'sd1 <<< Which.narrow_bits) - 1;

  logic [47:0] packed_sum;
  logic signed [SumBits-1:0] sum[2][2];
  logic carry[2][2];
  cascade_either_fields #(
    .PackK(2),
    .WideStep(32'(Wide.weight_step)),
    .NarrowWeightStep(32'(Narrow.weight_step)),
    .NarrowOperandStep(32'(Narrow.operand_step)),
    .PackedBits(48),
    .SumBits(SumBits)
  ) i_fields (.narrow, .packed_sum, .sum, .carry);

  // The greatest sum is that of the least weights and operands, or of the greatest.
  function automatic longint greatest(longint weight, longint operand, logic symmetric);
    longint of_least, of_greatest;
    of_least = weight * ((operand + 1) / 2);
    of_greatest = (symmetric ? weight : weight - 1) * operand;
    return of_least > of_greatest ? of_least : of_greatest;
  endfunction

  always_comb begin
    packed_sum = '0;
    for (int k = 0; k < 2; k++) begin
      for (int p = 0; p < 2; p++) begin
        if (narrow) begin
          assume (longint'(total[k][p]) >= -Products * NarrowWeight * NarrowOperand &&
                  longint'(total[k][p]) <= Products * greatest(NarrowWeight, NarrowOperand, 1'b0));
          packed_sum += 48'(total[k][p]) << (k * 32'(Narrow.weight_step) + p * 32'(Narrow.operand_step));
        end else if (p == 0) begin
          assume (longint'(total[k][p]) >= -Products * WideWeight * WideOperand &&
                  longint'(total[k][p]) <= Products * greatest(WideWeight, WideOperand, Wide.symmetric));
          packed_sum += 48'(total[k][p]) << (k * 32'(Wide.weight_step));
        end
      end
    end
    for (int k = 0; k < 2; k++) begin
      for (int p = 0; p < 2; p++) begin
        assert (SumBits'(sum[k][p] + $signed(SumBits'({1'b0, carry[k][p]}))) == total[k][p] || (!narrow && p == 1));
      end
    end
  end
endmodule

// A whole chain of two precisions, of narrow values, its registers taken for wires, equals the sums of its products in
// the one that `narrow` says.
module two_precisions_proof
  import cascade_pkg::*;
  import cascade_products_pkg::*;
  import chain_cases_pkg::*;
#(
  parameter int Number = 0,
  localparam two_case_t Which = NarrowTwo[Number],
  localparam int unsigned Chain = Which.chain,
  localparam int unsigned WeightBits = Which.weight_bits,
  localparam int unsigned OperandBits = WeightBits + 1,
  localparam int unsigned SumBits = WeightBits + OperandBits + $clog2(Chain)
) (
  input logic                          clk,
  input logic                          narrow,
  input logic signed [WeightBits-1:0]  weight[Chain][2],
  input logic signed [OperandBits-1:0] operand[Chain][2]
);
  localparam int Least = -(1 << (WeightBits - 1)), Greatest = (1 << WeightBits) - 1;  // operands
  localparam int NarrowGreatest = (1 << Which.narrow_bits) - 1, NarrowLeast = -(1 << (Which.narrow_bits - 1));

  logic signed [SumBits-1:0] sum[2][2];
  logic carry[2][2];
  cascade_chain #(
    .Primitive(Which.block),
    .PackK(2),
    .PackP(2),
    .Chain(Chain),
    .WeightBits(WeightBits),
    .OperandBits(OperandBits),
    .OperandLower(Least),
    .OperandUpper(Greatest),
    .NarrowBits(Which.narrow_bits)
  ) i_chain (.clk, .narrow, .weight, .operand, .sum, .carry);

  always_comb begin
    for (int n = 0; n < Chain; n++) begin
      for (int v = 0; v < 2; v++) begin
        if (narrow) begin
          assume (weight[n][v] >= NarrowLeast && weight[n][v] < -NarrowLeast);
          assume (operand[n][v] >= NarrowLeast && operand[n][v] <= NarrowGreatest);
        end else begin
          assume (operand[n][v] >= Least && operand[n][v] <= Greatest && (v == 0 || operand[n][v] == 0));
        end
      end
    end
    for (int k = 0; k < 2; k++) begin
      for (int p = 0; p < 2; p++) begin
        automatic logic signed [SumBits-1:0] total = '0;
        for (int n = 0; n < Chain; n++) total += SumBits'(weight[n][k]) * SumBits'(operand[n][p]);
        assert (SumBits'(sum[k][p] + $signed(SumBits'({1'b0, carry[k][p]}))) == total || (!narrow && p == 1));
      end
    end
  end
endmodule
