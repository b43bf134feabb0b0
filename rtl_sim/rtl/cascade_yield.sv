// Holds a write until a cycle in which its port is free, for a writer that gives way to another one. What decides are
// registers: `port_taken` of the other writer, `write` and `in_ready` of this one. Where it need not yield, a word goes
// through in each cycle; where it must, it takes one in every second cycle and holds it, so that no word is ever waiting
// behind a held one. `yields` must not change while there are words. Latency 1 cycle; cost: the registers of one word.
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
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      in_ready <= 1'b0;
      write <= 1'b0;
    end else begin
      in_ready <= !yields || (!in_ready && !(write && port_taken));
      if (in_ready) write <= in_valid;
      else if (!port_taken) write <= 1'b0;
    end
    if (in_ready) data <= in_data;
  end
endmodule
