// From an accumulator to the next layer's integer, exactly as toolflow/numerics/requantise.py:
// clip(round_half_even(((accumulator + bias) * multiplier + (residual * residual_multiplier << residual_shift)) / 2^shift)).
// One value per cycle, latency 6; the bounds are an instruction's and taken at the last stage.
// Cost: two multipliers.
module cascade_requantise #(
  parameter int unsigned AccumulatorBits = 32,
  parameter int unsigned BiasBits = 32,
  parameter int unsigned ResidualBits = 9,
  parameter int unsigned ResidualShiftMax = 0,  // what residual_shift may be
  parameter int unsigned ShiftBits = 6
) (
  input  logic                              clk,
  input  logic signed [AccumulatorBits-1:0] accumulator,
  input  logic signed [BiasBits-1:0]        bias,
  input  logic signed [ResidualBits-1:0]    residual,
  input  logic [15:0]                       multiplier,
  input  logic [15:0]                       residual_multiplier,
  input  logic [3:0]                        residual_shift,
  input  logic [ShiftBits-1:0]              shift,
  input  logic signed [15:0]                lower,
  input  logic signed [15:0]                upper,
  output logic signed [15:0]                result
);
  localparam int unsigned TotalBits = (AccumulatorBits > BiasBits ? AccumulatorBits : BiasBits) + 1;
  localparam int unsigned ScaledBits = TotalBits + 16;
  localparam int unsigned AddedBits = ResidualBits + 16;
  localparam int unsigned ShiftedBits = AddedBits + ResidualShiftMax;
  localparam int unsigned SumBits = (ScaledBits > ShiftedBits ? ScaledBits : ShiftedBits) + 1;

  // A sum is less than half of this power of two: from here on everything rounds to 0.
  localparam logic [ShiftBits-1:0] LargestShift = ShiftBits'(SumBits - 1);

  typedef logic signed [SumBits-1:0] sum_t;

  logic signed [TotalBits-1:0] total;
  logic signed [ResidualBits-1:0] residual_1;
  logic [15:0] multiplier_1, residual_multiplier_1;
  logic signed [ScaledBits-1:0] scaled;
  logic signed [AddedBits-1:0] added;
  logic [ShiftBits-1:0] shift_1, shift_2, shift_3, shift_4;
  sum_t sum, rounded, shifted, half;
  logic [3:0] residual_shift_1, residual_shift_2;
  logic odd;

  // The quotient's lowest bit, and half a unit less one: adding both before the shift rounds half to even.
  assign odd = 1'(sum >> shift_3);
  assign half = shift_3 == '0 ? '0 : (sum_t'(1) << (shift_3 - 1'b1)) - sum_t'(1) + sum_t'({1'b0, odd});

  always_ff @(posedge clk) begin
    total <= TotalBits'(accumulator) + TotalBits'(bias);
    residual_1 <= residual;
    multiplier_1 <= multiplier;
    residual_multiplier_1 <= residual_multiplier;
    residual_shift_1 <= residual_shift;
    shift_1 <= shift < LargestShift ? shift : LargestShift;

    scaled <= ScaledBits'(total) * ScaledBits'($signed({1'b0, multiplier_1}));
    added <= AddedBits'(residual_1) * AddedBits'($signed({1'b0, residual_multiplier_1}));
    residual_shift_2 <= residual_shift_1;
    shift_2 <= shift_1;

    sum <= sum_t'(scaled) + (sum_t'(added) <<< residual_shift_2);
    shift_3 <= shift_2;

    rounded <= sum + half;
    shift_4 <= shift_3;

    shifted <= rounded >>> shift_4;

    if (shifted < sum_t'(lower)) result <= lower;
    else if (shifted > sum_t'(upper)) result <= upper;
    else result <= 16'(shifted);
  end
endmodule
