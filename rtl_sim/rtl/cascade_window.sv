// The row window of one lane after the other, where the rows of one image lie in all lanes: rows 0 to height - 1 of the
// map are those from `top` on in lane 0, and from lane to lane `rows` less. Of the rows of a lane, `first` is the first one
// inside the map, `past` the one behind the last.
// Latency: lane 0's one cycle after `start`, each other one a cycle after `step`. Cost: two saturating subtractions.
module cascade_window
  import cascade_pkg::*;
(
  input  logic     clk,
  input  logic     start,
  input  stripes_t stripes,
  input  logic     step,  // to the next lane
  output window_t  window
);
  logic [7:0] first;
  logic [16:0] past;
  assign window = '{first: first, past: past[16] ? '1 : past[15:0]};  // no map has a row 65535

  always_ff @(posedge clk) begin
    if (start) begin
      first <= stripes.top;
      past <= 17'(stripes.height) + 17'(stripes.top);
    end else if (step) begin
      first <= 16'(first) < stripes.rows ? '0 : 8'(16'(first) - stripes.rows);
      past <= past < 17'(stripes.rows) ? '0 : past - 17'(stripes.rows);
    end
  end
endmodule
