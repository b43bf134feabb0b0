// The tables that an image's bytes are looked up in: one for each channel of a slice, in each word of a pixel.
// Cost: a memory of 256 bytes for each of them. Latency of a read: 1.
module cascade_tables
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned Lanes = table_lanes(Engine),
  localparam int unsigned WordIndexBits = index_width(Engine.table_words)
) (
  input  logic                     clk,
  input  logic [Lanes-1:0]         write_lanes,
  input  logic                     read_enable,
  input  logic [WordIndexBits-1:0] word,  // of the pixel
  input  logic [7:0]               value,  // whose entries are written
  input  logic [8*Lanes-1:0]       slice,  // entries, or the bytes that are looked up
  output logic [7:0]               entry[Lanes]
);
  localparam int unsigned Depth = Engine.table_words * 256;
  localparam int unsigned AddressBits = index_width(Depth);
  for (genvar j = 0; j < Lanes; j++) begin : g_table
    logic [AddressBits-1:0] write_address, read_address;
    if (Engine.table_words == 1) begin : g_one
      logic unused;
      assign unused = ^word;
      assign write_address = value;
      assign read_address = slice[8*j+:8];
    end else begin : g_many
      assign write_address = {word, value};
      assign read_address = {word, slice[8*j+:8]};
    end
    cascade_ram #(
      .Depth(Depth),
      .PieceBits(8)
    ) i_table (
      .clk,
      .write_enable(write_lanes[j]),
      .write_address,
      .write_data(slice[8*j+:8]),
      .read_enable,
      .read_address,
      .read_data(entry[j])
    );
  end
endmodule
