// What cascade_lane_pair found, as signed values: of a wide element its value in the lower lane and 0 in the upper one;
// of two narrow ones the value of either. Combinational. Cost: two LUTs a bit at most.
module cascade_pair_values #(
  parameter int unsigned NarrowBits = 4,
  localparam int unsigned PairBits = 2 * NarrowBits,
  localparam int unsigned ValueBits = PairBits + 1
) (
  input  logic                        narrow,
  input  logic                        is_signed,
  input  logic        [PairBits-1:0]  element,
  output logic signed [ValueBits-1:0] value[2]  // of the lower lane, of the upper one
);
  logic signed [NarrowBits:0] lower, upper;
  assign lower = {is_signed && element[NarrowBits-1], element[NarrowBits-1:0]};
  assign upper = {is_signed && element[PairBits-1], element[PairBits-1:NarrowBits]};
  assign value[0] = narrow ? ValueBits'(lower) : {is_signed && element[PairBits-1], element};
  assign value[1] = narrow ? ValueBits'(upper) : '0;
endmodule
