// From an accumulator to the next layer's integer, exactly as toolflow/numerics/requantise.py:
// clip(round_half_even(((accumulator + bias) * multiplier + (residual * residual_multiplier << residual_shift)) / 2^shift)).
// One value per cycle, latency requantise_latency(); the bounds are an instruction's and taken at the last stage.
// Cost: a DSP block for the total, two if it is wider than PortBits, one for the residual, and about 170 LUTs. Every
// product and sum is one that a DSP block registers, adds and cascades.
module cascade_requantise
  import cascade_pkg::*;
#(
  parameter int unsigned AccumulatorBits = 32,
  parameter int unsigned BiasBits = 32,
  parameter int unsigned ResidualBits = 9,
  parameter int unsigned ResidualShiftMax = 0,  // what residual_shift may be
  parameter int unsigned PortBits = 25,  // width of a DSP block's wider operand, signed
  parameter int unsigned CascadeBits = 17,  // by which a DSP block shifts what it adds from its neighbour
  parameter int unsigned MultiplierBits = 16
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
  output logic signed [ResultBits-1:0]      result
);
  localparam int unsigned TotalBits = maximum(AccumulatorBits, BiasBits) + 1;
  localparam int unsigned ScaledBits = TotalBits + MultiplierBits;
  localparam int unsigned PlacedBits = ResidualBits + ResidualShiftMax;
  localparam int unsigned AddedBits = PlacedBits + MultiplierBits;
  localparam int unsigned SumBits = maximum(ScaledBits, AddedBits) + 1;

  typedef logic signed [MultiplierBits:0] factor_t;
  typedef logic signed [SumBits-1:0] sum_t;

  logic signed [AccumulatorBits-1:0] accumulator_1;
  logic signed [BiasBits-1:0] bias_1;
  logic signed [TotalBits-1:0] total;
  factor_t multiplier_1, multiplier_2, residual_multiplier_1, residual_multiplier_2;
  logic signed [ResidualBits-1:0] residual_1;
  logic signed [PlacedBits-1:0] placed, placed_2;
  logic signed [AddedBits-1:0] added;
  sum_t sum;

  if (ResidualShiftMax == 0) begin : g_placed
    assign placed = residual_1;
    logic unused;
    assign unused = ^residual_shift;
  end else begin : g_shifted
    logic [3:0] residual_shift_1;
    always_ff @(posedge clk) residual_shift_1 <= residual_shift;
    assign placed = PlacedBits'(residual_1) <<< residual_shift_1;
  end

  always_ff @(posedge clk) begin
    accumulator_1 <= accumulator;
    bias_1 <= bias;
    multiplier_1 <= $signed({1'b0, multiplier});
    residual_1 <= residual;
    residual_multiplier_1 <= $signed({1'b0, residual_multiplier});

    total <= TotalBits'(accumulator_1) + TotalBits'(bias_1);
    multiplier_2 <= multiplier_1;
    placed_2 <= placed;
    residual_multiplier_2 <= residual_multiplier_1;

    added <= AddedBits'(placed_2) * AddedBits'(residual_multiplier_2);
  end

  if (TotalBits <= PortBits) begin : g_one
    logic signed [ScaledBits-1:0] scaled;
    always_ff @(posedge clk) begin
      scaled <= ScaledBits'(total) * ScaledBits'(multiplier_2);
      sum <= sum_t'(scaled) + sum_t'(added);
    end
  end else begin : g_two
    localparam int unsigned LowBits = maximum(CascadeBits + MultiplierBits + 1, AddedBits) + 1;
    localparam int unsigned HighBits = TotalBits - CascadeBits;
    logic signed [CascadeBits+MultiplierBits:0] low_product;
    logic signed [LowBits-1:0] low;
    logic [CascadeBits-1:0] low_5;
    logic signed [HighBits-1:0] high_3;
    logic signed [HighBits+MultiplierBits-1:0] high_product;
    logic signed [SumBits-CascadeBits-1:0] high;
    factor_t multiplier_3;
    always_ff @(posedge clk) begin
      low_product <= $signed({1'b0, total[CascadeBits-1:0]}) * multiplier_2;
      high_3 <= total[TotalBits-1:CascadeBits];
      multiplier_3 <= multiplier_2;

      low <= LowBits'(low_product) + LowBits'(added);
      high_product <= (HighBits + MultiplierBits)'(high_3) * (HighBits + MultiplierBits)'(multiplier_3);

      high <= (SumBits - CascadeBits)'(high_product) + (SumBits - CascadeBits)'(low >>> CascadeBits);
      low_5 <= low[CascadeBits-1:0];
    end
    assign sum = {high, low_5};
  end

  // The shift waits for the sum.
  localparam int unsigned Delay = requantise_latency(TotalBits, PortBits) - 3;
  logic [Delay-1:0][ShiftBits-1:0] delayed;
  always_ff @(posedge clk) delayed <= {delayed[Delay-2:0], shift};

  cascade_round #(
    .SumBits(SumBits)
  ) i_round (
    .clk,
    .sum,
    .shift(delayed[Delay-1]),
    .lower,
    .upper,
    .result
  );
endmodule
