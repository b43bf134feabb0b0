// A nest of loops, inner ones first: counts the passes of loops 1 to Loops down, and says which end with the present
// step. Loop 0, the innermost one, is its user's. All that is said of the present step are registers, so that the end
// of a whole nest takes no gate: what follows from it is prepared with the step before. Between two walks every loop
// has ended: a walk begins with a step like those in which all end.
// Cost: a counter, two comparisons with the total, one with the counter, and five registers for each loop.
module cascade_nest #(
  parameter int unsigned Loops = 2,
  parameter bit [Loops:1][4:0] Bits = {Loops{5'd16}}  // of each counter
) (
  input  logic                 clk,
  input  logic                 rst_n,
  input  logic                 start,  // the first step comes next
  input  logic                 step,  // or `start`
  input  logic [Loops:1][15:0] total,  // passes, at least 1; stable from the cycle before `start` on
  input  logic                 inner_next,  // the step that comes next ends loop 0
  output logic [Loops:1]       last_next,  // loops that will then be in their last pass
  output logic [Loops:1]       last,  // loops that are in their last pass
  output logic [Loops:0]       ends  // loops that end with the present step
);
  localparam int unsigned Half = (Loops + 1) / 2;
  logic inner_half;  // of the loops will be in their last pass: two short chains of gates, not a long one
  assign inner_half = &last_next[Half:1];
  logic over;  // after this step nothing is left
  assign over = ends[Loops] && !start;

  for (genvar n = 1; n <= Loops; n++) begin : g_loop
    localparam int unsigned First = n > Half ? Half + 1 : 1;
    logic [Bits[n]-1:0] left;  // passes, the present one included
    logic one, two, second;  // the total is 1, is 2; `left` is 2
    assign last_next[n] = !ends[n-1] ? last[n] : last[n] ? one : second;

    always_ff @(posedge clk) begin
      one <= total[n] == 16'd1;
      two <= total[n] == 16'd2;
      if (step && ends[n-1]) begin
        left <= last[n] ? Bits[n]'(total[n]) : left - 1'b1;
        second <= last[n] ? two : left == Bits[n]'(3);
      end
      if (!rst_n) {last[n], ends[n]} <= '1;
      else if (step && !over) begin
        last[n] <= last_next[n];
        ends[n] <= inner_next && (n <= Half || inner_half) && &last_next[n:First];
      end
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) ends[0] <= 1'b1;
    else if (step && !over) ends[0] <= inner_next;
  end
endmodule
