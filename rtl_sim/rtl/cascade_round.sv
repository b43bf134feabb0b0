// sum / 2^shift, rounded to the nearest integer, ties to the even one, within the bounds. Latency: 3; the bounds are taken
// at the last stage.
// The shift comes first, by a multiple of 16, then of 4, then by the rest, each time down to the bits that the rest can
// still need: the quotient, and the half on its right. Of the bits that leave only two facts are kept: that one on the
// left differs from the sign (`above`), that one on the right is set (`sticky`). So no adder is wider than the result,
// and the quotient is compared with the bounds while it is rounded.
// Cost: about 145 LUTs.
module cascade_round
  import cascade_pkg::*;
#(
  parameter int unsigned SumBits = 50  // at most 80
) (
  input  logic                         clk,
  input  logic signed [SumBits-1:0]    sum,
  input  logic [ShiftBits-1:0]         shift,
  input  logic signed [ResultBits-1:0] lower,
  input  logic signed [ResultBits-1:0] upper,
  output logic signed [ResultBits-1:0] result
);
  localparam int unsigned FineBits = ResultBits + 1;
  localparam int unsigned MiddleBits = FineBits + 3;
  localparam int unsigned CoarseBits = MiddleBits + 12;
  localparam int unsigned PaddedBits = CoarseBits + 48;

  logic signed [PaddedBits-1:0] padded;
  logic [6:0] coarse_shift;
  logic [4:0] middle_shift, fine_shift;
  logic [3:0] shift_1;
  logic [CoarseBits-1:0] coarse;
  logic [MiddleBits-1:0] middle;
  logic signed [ResultBits-1:0] quotient;
  logic half;
  logic negative_1, above_1, sticky_1, negative, above, sticky;

  assign padded = PaddedBits'($signed({sum, 1'b0}));
  assign coarse_shift = {1'b0, shift[5:4], 4'd0};
  assign middle_shift = {1'b0, shift_1[3:2], 2'd0};
  assign fine_shift = {3'd0, shift_1[1:0]};
  assign middle = coarse[middle_shift+:MiddleBits];

  always_ff @(posedge clk) begin
    shift_1 <= shift[3:0];
    coarse <= padded[coarse_shift+:CoarseBits];
    negative_1 <= sum[SumBits-1];
    above_1 <= 1'b0;
    sticky_1 <= 1'b0;
    for (int unsigned n = 0; n < 48; n++) begin
      if (n < 32'(coarse_shift) && padded[n]) sticky_1 <= 1'b1;
      if (n >= 32'(coarse_shift) && padded[n+CoarseBits] != sum[SumBits-1]) above_1 <= 1'b1;
    end

    {quotient, half} <= middle[fine_shift+:FineBits];
    negative <= negative_1;
    above <= above_1;
    sticky <= sticky_1;
    for (int unsigned n = 0; n < 12; n++) begin
      if (n < 32'(middle_shift) && coarse[n]) sticky <= 1'b1;
      if (n >= 32'(middle_shift) && coarse[n+MiddleBits] != negative_1) above <= 1'b1;
    end
    for (int unsigned n = 0; n < 4; n++) begin
      if (n < 32'(fine_shift) && middle[n]) sticky <= 1'b1;
      if (n >= 32'(fine_shift) && middle[n+ResultBits] != negative_1) above <= 1'b1;
    end

    // A quotient at the upper bound stays there, whether it is rounded up or not.
    if (above ? negative : quotient < lower) result <= lower;
    else if (above || quotient >= upper) result <= upper;
    else result <= quotient + ResultBits'({1'b0, half && (sticky || quotient[0])});
  end
endmodule
