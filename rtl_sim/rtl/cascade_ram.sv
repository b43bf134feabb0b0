// Simple dual-port memory: one write port with an enable for each piece of a word, one read port.
// Cost: block RAM or LUT RAM, as the synthesiser sees fit, or UltraRAM where `Style` is "ultra" (AMD's
// `ram_style`). Latency: 1; the output keeps its value while nothing is read. Words hold nothing before they are
// written. Reading the word that is written at the same edge gives the old one where `ReadFirst`, else nothing that may
// be used (it comes inverted in simulation): some families build logic around a block RAM for the old one.
module cascade_ram
  import cascade_pkg::*;
#(
  parameter int unsigned Depth = 16,
  parameter int unsigned Pieces = 1,
  parameter int unsigned PieceBits = 8,
  parameter string Style = "auto",
  parameter bit ReadFirst = 1'b0,
  localparam int unsigned AddressBits = index_width(Depth)
) (
  input  logic                          clk,
  input  logic [Pieces-1:0]             write_enable,
  input  logic [AddressBits-1:0]        write_address,
  input  logic [Pieces*PieceBits-1:0]   write_data,
  input  logic                          read_enable,
  input  logic [AddressBits-1:0]        read_address,
  output logic [Pieces*PieceBits-1:0]   read_data
);
  (* ram_style = Style, no_rw_check = !ReadFirst *)
  logic [Pieces*PieceBits-1:0] memory[Depth];

  always_ff @(posedge clk) begin
    for (int unsigned i = 0; i < Pieces; i++) begin
      if (write_enable[i]) memory[write_address][i*PieceBits+:PieceBits] <= write_data[i*PieceBits+:PieceBits];
    end
    if (read_enable) read_data <= memory[read_address];
`ifndef SYNTHESIS
    if (read_enable && write_enable != '0 && write_address == read_address && !ReadFirst) begin
      read_data <= ~memory[read_address];
    end
`endif
  end
endmodule
