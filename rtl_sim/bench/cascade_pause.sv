// Seeded random pauses of one channel, for back-pressure.
//
// With a chance of `per_mille` a cycle a pause begins; it lasts one cycle, every sixteenth 1 to 32 cycles.
// per_mille = 0 never pauses. The sequence depends on seed and Channel only.
module cascade_pause #(
    parameter int unsigned Channel = 0
) (
    input  logic        clk,
    input  logic        load,
    input  logic [31:0] seed,
    input  logic [ 9:0] per_mille,
    output logic        pause
);
  logic [31:0] state;
  logic [ 4:0] left;

  function automatic logic [31:0] next(input logic [31:0] value);
    logic [31:0] x;
    x = value ^ (value << 13);
    x = x ^ (x >> 17);
    return x ^ (x << 5);
  endfunction

  wire [31:0] mixed = (seed ^ (32'h9e3779b9 * (Channel + 1))) * 32'h85ebca6b;
  wire        draw = 32'(state[31:12]) * 1000 < {2'b00, per_mille, 20'b0};

  always_ff @(posedge clk) begin
    if (load) begin
      state <= mixed | 32'd1;
      left  <= '0;
      pause <= 1'b0;
    end else begin
      state <= next(state);
      if (left != 0) left <= left - 5'd1;
      else begin
        pause <= draw;
        if (draw && state[3:0] == 4'd0) left <= state[8:4];
      end
    end
  end
endmodule
