// Watches one AXI channel that the design drives: valid must stay, with the same payload, until ready.
// `broken` is high in the cycle in which the rule is seen broken.
module cascade_stable #(
    parameter int unsigned Width = 1
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic             valid,
    input  logic             ready,
    input  logic [Width-1:0] payload,
    output logic             broken
);
  logic             waiting;
  logic [Width-1:0] held;

  always_ff @(posedge clk) begin
    waiting <= rst_n && valid && !ready;
    held    <= payload;
  end

  assign broken = rst_n && waiting && (!valid || payload != held);
endmodule
