// The rows that a LOAD, FILL or SPILL with STRIPED moves of one lane after the other: those inside the lane's window. They
// lie behind each other in external memory and in the bank; the mover asks for all of them at once.
// A lane is settled 4 cycles after `start` or `next`, and one more for each of its rows up to the last one that it moves;
// it stays until `next`. A lane whose rows lie outside of the image or the maps is `outside`, early if it is large.
// Cost: additions of a row's bytes, words, beats and pixels, and two comparisons; one instance serves all movers.
module cascade_lane_rows
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine
) (
  input  logic                      clk,
  input  logic                      rst_n,
  input  logic                      start,  // with lane 0
  input  logic                      next,
  input  stripes_t                  stripes,
  input  operation_t                operation,  // stable while lanes follow each other
  input  logic [15:0]               row_beats,
  input  logic [AxiAddressBits-1:0] origin,  // of the image or the maps
  input  logic [31:0]               limit,  // bytes of the image or the maps
  output lane_rows_t                lane
);
  localparam int unsigned ByteBits = $clog2(Engine.bus_bits / 8);
  localparam int unsigned EndBits = 33 + ByteBits;  // 65,535 rows of 65,535 beats behind 2^32 - 1 bytes

  instruction_t i;
  logic spills;
  logic [15:0] height;
  logic [31:0] base, lane_base, lane_base_next;
  logic [StoreBits-1:0] first_word, row_words;
  assign i = operation.code;
  assign spills = i.opcode == OpSpill;
  assign height = spills ? i.in_height : i.out_height;
  assign base = spills ? i.out_base : i.in_base;
  assign first_word = StoreBits'(spills ? i.in_base : i.out_base);
  assign row_words = spills ? StoreBits'(i.in_row_words) : StoreBits'(operation.out_row_words);
  assign lane_base_next = start ? base : lane_base + i.residual_base;

  window_t window;
  cascade_window i_window (
    .clk,
    .start,
    .stripes,
    .step(next),
    .window
  );

  logic [15:0] row;
  logic walks, ends, skips, walked, summed;
  logic [31:0] offset;  // of the first row, in the image or the maps
  logic [EndBits-1:0] rows_end;
  assign ends = row == height || row >= window.past;
  assign skips = row < 16'(window.first);

  always_ff @(posedge clk) begin
    if (!rst_n) {walks, walked, summed, lane.settled} <= '0;
    else if (start || next) begin
      walks <= 1'b1;
      {walked, summed, lane.settled} <= '0;
    end else begin
      if (ends) walks <= 1'b0;
      walked <= walked || (walks && ends);
      summed <= walked;
      lane.settled <= summed;
    end
    if (start || next) begin
      row <= '0;
      lane_base <= lane_base_next;
      offset <= lane_base_next;
      lane.word <= first_word;
      lane.beats <= '0;
      lane.pixels <= '0;
    end else if (walks && !ends) begin
      row <= row + 16'd1;
      if (skips) begin
        offset <= offset + (32'(row_beats) << ByteBits);
        lane.word <= lane.word + row_words;
      end else begin
        lane.beats <= lane.beats + 32'(row_beats);
        lane.pixels <= lane.pixels + 32'(i.out_width);
      end
    end
    lane.address <= origin + AxiAddressBits'(offset);
    rows_end <= EndBits'(offset) + (EndBits'(lane.beats) << ByteBits);
    // Nothing of the lane before, whose limit may have been another one.
    lane.empty <= start || next || lane.beats == '0;
    lane.outside <= !start && !next && !lane.empty && rows_end > EndBits'(limit);
  end
endmodule
