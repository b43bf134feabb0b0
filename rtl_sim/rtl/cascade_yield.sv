// Holds a write until a cycle in which its port is free, for a writer that gives way to another one. What decides are
// registers: `port_taken` of the other writer, `write` of this one. Where it need not yield, a word goes through in each
// cycle; where it must, in every second one that is free, so that no word is ever waiting behind a held one.
// Latency 1 cycle; cost: the registers of one word.
module cascade_yield #(
  parameter int unsigned Bits = 8
) (
  input  logic            clk,
  input  logic            rst_n,
  input  logic            yields,
  input  logic            in_valid,
  output logic            in_ready,
  input  logic [Bits-1:0] in_data,
  input  logic            port_taken,  // by the other writer, in this cycle
  output logic            write,  // made in this cycle if the port is free
  output logic [Bits-1:0] data
);
  assign in_ready = !(yields && write);

  always_ff @(posedge clk) begin
    if (!rst_n) write <= 1'b0;
    else if (in_ready) write <= in_valid;
    else if (!port_taken) write <= 1'b0;
    if (in_ready) data <= in_data;
  end
endmodule
