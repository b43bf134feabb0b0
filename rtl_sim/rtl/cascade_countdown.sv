// One loop of a nest: counts its passes down. `last` is a register, so that the end of a whole nest takes one gate
// for each loop. The step of the last pass begins the loop again. Cost: a counter and two comparisons.
module cascade_countdown #(
  parameter int unsigned Bits = 16
) (
  input  logic            clk,
  input  logic            start,
  input  logic [Bits-1:0] total,  // passes; at least 1
  input  logic            step,  // the present pass ends
  output logic            last  // the present pass is the last one
);
  logic [Bits-1:0] left;  // the present one included

  always_ff @(posedge clk) begin
    if (start || (step && last)) begin
      left <= total;
      last <= total == Bits'(1);
    end else if (step) begin
      left <= left - 1'b1;
      last <= left == Bits'(2);
    end
  end
endmodule
