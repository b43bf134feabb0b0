// cascade_round and cascade_requantise beside the plain formulas of toolflow/numerics/requantise.py. `equal` holds from
// any state on, once the pipelines are full.

// sum / 2^shift, half to even, clipped: from the remainder.
module round_formula #(
  parameter int unsigned Bits = 50
) (
  input  logic signed [Bits-1:0] sum,
  input  logic [5:0]             shift,
  input  logic signed [15:0]     lower,
  input  logic signed [15:0]     upper,
  output logic signed [15:0]     result
);
  localparam int unsigned WideBits = Bits + 64;
  typedef logic signed [WideBits-1:0] wide_t;
  wide_t quotient, remainder, rounded, unit;
  always_comb begin
    unit = wide_t'(1) << shift;
    quotient = wide_t'(sum) >>> shift;
    remainder = wide_t'(sum) - (quotient <<< shift);
    rounded = quotient;
    if (2 * remainder > unit || (2 * remainder == unit && quotient[0])) rounded = quotient + 1;
    result = rounded < wide_t'(lower) ? lower : rounded > wide_t'(upper) ? upper : 16'(rounded);
  end
endmodule

// The bounds are those of the last stage.
module round_proof #(
  parameter int unsigned SumBits = 50
) (
  input  logic                      clk,
  input  logic signed [SumBits-1:0] sum,
  input  logic [5:0]                shift,
  input  logic signed [15:0]        lower,
  input  logic signed [15:0]        upper,
  output logic                      equal
);
  logic signed [15:0] result, expected, expected_1;
  logic signed [SumBits-1:0] sum_1, sum_2;
  logic [5:0] shift_1, shift_2;
  logic legal;
  always_ff @(posedge clk) begin
    {sum_2, sum_1} <= {sum_1, sum};
    {shift_2, shift_1} <= {shift_1, shift};
    expected_1 <= expected;
    legal <= lower <= upper;
  end
  cascade_round #(.SumBits(SumBits)) i_round (.*);
  round_formula #(.Bits(SumBits)) i_formula (.sum(sum_2), .shift(shift_2), .lower, .upper, .result(expected));
  assign equal = !legal || result == expected_1;
endmodule

// What cascade_requantise gives cascade_round.
module requantise_proof
  import cascade_pkg::*;
#(
  parameter int unsigned AccumulatorBits = 6,
  parameter int unsigned BiasBits = 7,
  parameter int unsigned ResidualBits = 3,
  parameter int unsigned ResidualShiftMax = 3,
  parameter int unsigned PortBits = 25,
  parameter int unsigned CascadeBits = 3,
  parameter int unsigned MultiplierBits = 4
) (
  input  logic                              clk,
  input  logic signed [AccumulatorBits-1:0] accumulator,
  input  logic signed [BiasBits-1:0]        bias,
  input  logic signed [ResidualBits-1:0]    residual,
  input  logic [MultiplierBits-1:0]         multiplier,
  input  logic [MultiplierBits-1:0]         residual_multiplier,
  input  logic [3:0]                        residual_shift,
  input  logic [ShiftBits-1:0]              shift,
  input  logic signed [ResultBits-1:0]      lower,
  input  logic signed [ResultBits-1:0]      upper,
  output logic                              equal
);
  typedef struct packed {
    logic signed [AccumulatorBits-1:0] accumulator;
    logic signed [BiasBits-1:0] bias;
    logic signed [ResidualBits-1:0] residual;
    logic [MultiplierBits-1:0] multiplier;
    logic [MultiplierBits-1:0] residual_multiplier;
    logic [3:0] residual_shift;
    logic [ShiftBits-1:0] shift;
  } value_t;
  localparam int unsigned Bits = 32;
  localparam int unsigned Latency = requantise_latency(maximum(AccumulatorBits, BiasBits) + 1, PortBits) - 2;
  typedef logic signed [Bits-1:0] sum_t;

  value_t [Latency-1:0] waiting;
  value_t now;
  sum_t factor, residual_factor, sum;
  logic signed [ResultBits-1:0] result;
  assign waiting[0] = '{accumulator, bias, residual, multiplier, residual_multiplier, residual_shift, shift};
  always_ff @(posedge clk) waiting[Latency-1:1] <= waiting[Latency-2:0];
  assign now = waiting[Latency-1];
  assign factor = sum_t'({1'b0, now.multiplier});
  assign residual_factor = sum_t'({1'b0, now.residual_multiplier}) << now.residual_shift;
  assign sum = (sum_t'($signed(now.accumulator)) + sum_t'($signed(now.bias))) * factor
      + sum_t'($signed(now.residual)) * residual_factor;

  cascade_requantise #(
    .AccumulatorBits(AccumulatorBits),
    .BiasBits(BiasBits),
    .ResidualBits(ResidualBits),
    .ResidualShiftMax(ResidualShiftMax),
    .PortBits(PortBits),
    .CascadeBits(CascadeBits),
    .MultiplierBits(MultiplierBits)
  ) i_requantise (.*);
  assign equal = 32'(now.residual_shift) > ResidualShiftMax ||
      (sum_t'(i_requantise.i_round.sum) == sum && i_requantise.i_round.shift == now.shift);
endmodule
