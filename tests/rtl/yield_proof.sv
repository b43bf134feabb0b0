// cascade_yield behind a writer that may ask for anything and beside one that takes the port at any time: `right` holds
// in every cycle after a reset.
module yield_proof #(
  parameter int unsigned Bits = 3
) (
  input  logic            clk,
  input  logic            rst_n,
  input  logic            yields,
  input  logic            in_valid,
  input  logic [Bits-1:0] in_data,
  input  logic            other_writes,
  output logic            right
);
  logic in_ready, port_taken, write, written, taken;
  logic [Bits-1:0] data, last;
  logic [1:0] accepted, made;  // words, modulo 4
  logic started;

  assign port_taken = other_writes && yields;  // a writer that does not yield has the port to itself
  assign written = write && !port_taken;
  assign taken = in_valid && in_ready;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      accepted <= '0;
      made <= '0;
      started <= 1'b0;
    end else begin
      started <= 1'b1;
      accepted <= accepted + 2'(taken);
      made <= made + 2'(written);
    end
    if (taken) last <= in_data;
  end

  // Every word is written once, in order and unchanged, none is taken over one that waits, and a writer that does not
  // yield never waits once it has begun.
  assign right = 2'(accepted - made) == 2'(write) && (!write || data == last) &&
      (!taken || !write || written) && (yields || in_ready || !started);

  cascade_yield #(
    .Bits(Bits)
  ) i_yield (.*);
endmodule
