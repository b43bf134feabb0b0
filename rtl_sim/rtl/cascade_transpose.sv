// Transposes blocks of t × t words, t = 4 or 6: words come row by row and leave column by column, one per cycle,
// without a pause between blocks. A block's first word leaves 2 enabled cycles after its last one came. Each word
// takes the place of the one that has just left, so that one block of memory is enough.
// Cost: one memory of 16 words, or of 64 (Tile = 4).
module cascade_transpose
  import cascade_pkg::*;
#(
  parameter int unsigned Tile = 4,
  parameter int unsigned WordBits = 96
) (
  input  logic                clk,
  input  logic                rst_n,
  input  logic                enable,  // of every register
  input  logic                four,  // t = 6, not 4
  input  logic                in_valid,
  input  logic [WordBits-1:0] in_word,
  output logic                out_valid,
  output logic [WordBits-1:0] out_word
);
  localparam int unsigned PlaceBits = index_width(Tile + 2);

  typedef logic [PlaceBits-1:0] place_t;
  typedef struct packed {
    logic   swapped;  // every second block lies transposed
    place_t outer;
    place_t inner;
  } place_pair_t;

  place_t last;
  place_pair_t in, out;
  logic writing, reading, in_ends, out_ends;
  assign last = Tile == 4 && four ? place_t'(5) : place_t'(3);
  assign writing = enable && in_valid;
  assign in_ends = in.inner == last && in.outer == last;
  assign out_ends = out.inner == last && out.outer == last;

  function automatic place_pair_t after(place_pair_t place);
    place_pair_t next;
    next = place;
    next.inner = place.inner == last ? '0 : place.inner + 1'b1;
    if (place.inner == last) next.outer = place.outer == last ? '0 : place.outer + 1'b1;
    if (place.inner == last && place.outer == last) next.swapped = !place.swapped;
    return next;
  endfunction

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      in <= '0;
      out <= '0;
      reading <= 1'b0;
      out_valid <= 1'b0;
    end else if (enable) begin
      if (in_valid) in <= after(in);
      if (reading) out <= after(out);
      if (in_valid && in_ends) reading <= 1'b1;
      else if (out_ends) reading <= 1'b0;
      out_valid <= reading;
    end
  end

  cascade_ram #(
    .Depth(1 << (2 * PlaceBits)),
    .PieceBits(WordBits),
    .Style("distributed"),
    .ReadFirst(1'b1)
  ) i_ram (
    .clk,
    .write_enable(writing),
    .write_address(in.swapped ? {in.inner, in.outer} : {in.outer, in.inner}),
    .write_data(in_word),
    .read_enable(enable && reading),
    .read_address(out.swapped ? {out.outer, out.inner} : {out.inner, out.outer}),
    .read_data(out_word)
  );
endmodule
