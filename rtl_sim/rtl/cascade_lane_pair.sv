// Of two lanes' words, which hold one word of a wide program or two of a narrow one, the element at `index`: in a wide
// program that of {upper, lower}, of 2 * NarrowBits bits; in a narrow one that of either, the upper one's above.
// Combinational. Cost: a multiplexer of SubRow / 2 values of 2 * NarrowBits bits for each lane, and one of four.
module cascade_lane_pair
  import cascade_pkg::*;
#(
  parameter int unsigned SubRow = 8,
  parameter int unsigned NarrowBits = 4,
  localparam int unsigned IndexBits = index_width(SubRow),
  localparam int unsigned WordBits = SubRow * NarrowBits,
  localparam int unsigned PairBits = 2 * NarrowBits
) (
  input  logic                 narrow,
  input  logic [IndexBits-1:0] index,
  input  logic [WordBits-1:0]  lower,
  input  logic [WordBits-1:0]  upper,
  output logic [PairBits-1:0]  element
);
  localparam int unsigned Places = maximum(SubRow / 2, 1);  // of wide elements in a lane's word
  localparam int unsigned PlaceBits = index_width(Places);

  if (SubRow == 1) begin : g_one
    assign element = {upper, lower};
    logic unused;
    assign unused = ^{narrow, index};
  end else begin : g_some
    typedef logic [1:0][NarrowBits-1:0] place_t;
    place_t [Places-1:0] lower_places, upper_places;
    place_t of_lower, of_upper;
    logic [PlaceBits-1:0] place;
    assign lower_places = lower;
    assign upper_places = upper;
    if (Places == 1) begin : g_first
      assign place = '0;
    end else begin : g_chosen
      assign place = narrow ? index[IndexBits-1:1] : index[PlaceBits-1:0];
    end
    assign of_lower = lower_places[place];
    assign of_upper = upper_places[place];
    assign element = narrow ? {of_upper[index[0]], of_lower[index[0]]} : index[IndexBits-1] ? of_upper : of_lower;
  end
endmodule
