// Feature maps: one memory per lane, all read and written at the same address, so that a lane's image is
// never seen by another. Writes come by granules (the channels that the drain finishes together).
module cascade_bank
  import cascade_pkg::*;
#(
  parameter int unsigned LanesP = 8,
  parameter int unsigned BankDepth = 4096,
  parameter int unsigned Granules = 1,
  parameter int unsigned GranuleBits = 64,
  parameter bit Ultra = 1'b0,
  localparam int unsigned BankBits = index_width(BankDepth)
) (
  input  logic                            clk,
  input  logic [LanesP-1:0]               write_lanes,
  input  logic [Granules-1:0]             write_granules[LanesP],  // of each lane
  input  logic [BankBits-1:0]             write_address,
  input  logic [Granules*GranuleBits-1:0] write_data[LanesP],
  input  logic                            read_enable,
  input  logic [BankBits-1:0]             read_address,
  output logic [Granules*GranuleBits-1:0] read_data[LanesP]
);
  for (genvar p = 0; p < LanesP; p++) begin : g_lane
    cascade_ram #(
      .Depth(BankDepth),
      .Pieces(Granules),
      .PieceBits(GranuleBits),
      .Style(Ultra ? "ultra" : "auto")
    ) i_ram (
      .clk,
      .write_enable(write_granules[p] & {Granules{write_lanes[p]}}),
      .write_address,
      .write_data(write_data[p]),
      .read_enable,
      .read_address,
      .read_data(read_data[p])
    );
  end
endmodule
