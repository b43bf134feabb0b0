// How many steps the taps of tiles take, as TAPS and CONV say: those of the present tap and of the next one are
// registers, compared beforehand with what a loop over steps asks for. Latency: `begins` 4 cycles after `start`. Two taps
// must end at least 2 cycles apart, the first one at least 2 cycles after `begins`.
// Cost: a multiplexer of all taps' steps, and three taps' registers.
module cascade_tap_steps
  import cascade_pkg::*;
(
  input  logic            clk,
  input  logic            rst_n,
  input  logic            start,
  input  instruction_t    code,
  input  taps_t           taps,
  input  logic            step,  // or `begins`
  input  logic            tap_ends,  // with the present step; also between walks
  output logic            begins,  // one cycle: the first step comes next
  // of the tap of the step that comes next: in a sub-row, and in its last one
  output logic [1:0][7:0] steps,
  output logic [1:0]      one_step,
  output logic [1:0]      two_steps
);
  typedef struct packed {
    logic [1:0][7:0] steps;
    logic [1:0]      one;
    logic [1:0]      two;
  } tap_t;

  tap_t present, next, asked_tap, chosen;
  logic [7:0] asked;  // steps of the tap after `next`, two cycles after its number
  logic [5:0] number, last_number;
  logic [4:1] started;  // so many cycles ago
  logic load;
  assign begins = started[4];
  assign load = started[2] || (step && tap_ends);
  assign last_number = code.tile[2] ? 6'd35 : 6'd15;
  assign chosen = tap_ends ? next : present;
  assign {steps, one_step, two_steps} = chosen;
  always_comb begin
    asked_tap.steps = {code.steps_last < asked ? code.steps_last : asked, asked};
    for (int unsigned n = 0; n < 2; n++) begin
      asked_tap.one[n] = asked_tap.steps[n] == 8'd1;
      asked_tap.two[n] = asked_tap.steps[n] == 8'd2;
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) started <= '0;
    else started <= {started[3:1], start};
    if (start) number <= '0;
    else if (load) number <= number == last_number ? '0 : number + 6'd1;
    asked <= taps.steps[number] != '0 ? taps.steps[number] : code.steps;
    if (load) {present, next} <= {next, asked_tap};
  end
endmodule
