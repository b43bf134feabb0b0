// Takes a sum of packed products apart: sum[k][p] + carry[k][p] is the field at k * WeightStep + p * OperandStep.
// A field is signed, so a negative one has borrowed 1 from all that lies above it: its sign is the carry that gives it
// back. Cost: wires.
module cascade_fields #(
  parameter int unsigned PackK = 1,
  parameter int unsigned PackP = 2,
  parameter int unsigned WeightStep = 0,
  parameter int unsigned OperandStep = 18,
  parameter int unsigned PackedBits = 48,
  parameter int unsigned SumBits = 19
) (
  input  logic        [PackedBits-1:0] packed_sum,
  output logic signed [SumBits-1:0]    sum[PackK][PackP],
  output logic                         carry[PackK][PackP]
);
  localparam int unsigned Spacing = PackK == 1 || (PackP == 2 && OperandStep < WeightStep) ? OperandStep : WeightStep;

  for (genvar k = 0; k < PackK; k++) begin : g_weight
    for (genvar p = 0; p < PackP; p++) begin : g_operand
      localparam int unsigned Place = k * WeightStep + p * OperandStep;
      localparam bit Highest = k == PackK - 1 && p == PackP - 1;
      localparam int unsigned Room = Highest ? PackedBits - Place : Spacing;
      localparam int unsigned FieldBits = Room > SumBits ? SumBits : Room;
      assign sum[k][p] = SumBits'($signed(packed_sum[Place+:FieldBits]));
      if (Place == 0) begin : g_lowest
        assign carry[k][p] = 1'b0;
      end else begin : g_above
        assign carry[k][p] = packed_sum[Place-1];
      end
    end
  end
endmodule
