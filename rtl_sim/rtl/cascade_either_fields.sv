// Takes a sum of packed products of either precision apart (cascade_fields). Of wide products a block holds PackK,
// sum[k][0]; of narrow ones, where `narrow` is set, two for each weight. sum[k][1] means nothing where it is not.
// Cost: the LUTs that choose sum[k][0].
module cascade_either_fields #(
  parameter int unsigned PackK = 2,
  parameter int unsigned WideStep = 19,  // from one weight to the next
  parameter int unsigned NarrowWeightStep = 22,
  parameter int unsigned NarrowOperandStep = 11,
  parameter int unsigned PackedBits = 48,
  parameter int unsigned SumBits = 20
) (
  input  logic                         narrow,
  input  logic        [PackedBits-1:0] packed_sum,
  output logic signed [SumBits-1:0]    sum[PackK][2],
  output logic                         carry[PackK][2]
);
  logic signed [SumBits-1:0] wide_sum[PackK][1];
  logic signed [SumBits-1:0] narrow_sum[PackK][2];
  logic wide_carry[PackK][1];
  logic narrow_carry[PackK][2];

  cascade_fields #(
    .PackK(PackK),
    .PackP(1),
    .WeightStep(WideStep),
    .OperandStep(0),
    .PackedBits(PackedBits),
    .SumBits(SumBits)
  ) i_wide (
    .packed_sum,
    .sum(wide_sum),
    .carry(wide_carry)
  );
  cascade_fields #(
    .PackK(PackK),
    .PackP(2),
    .WeightStep(NarrowWeightStep),
    .OperandStep(NarrowOperandStep),
    .PackedBits(PackedBits),
    .SumBits(SumBits)
  ) i_narrow (
    .packed_sum,
    .sum(narrow_sum),
    .carry(narrow_carry)
  );

  always_comb begin
    for (int unsigned k = 0; k < PackK; k++) begin
      sum[k][0] = narrow ? narrow_sum[k][0] : wide_sum[k][0];
      carry[k][0] = narrow ? narrow_carry[k][0] : wide_carry[k][0];
      sum[k][1] = narrow_sum[k][1];
      carry[k][1] = narrow_carry[k][1];
    end
  end
endmodule
