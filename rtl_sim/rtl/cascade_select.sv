// One chunk of the array's finished sums, for all lanes: DrainK output channels. Latency: 1.
// Cost: one multiplexer of LanesK / DrainK values for each channel of a chunk and lane.
module cascade_select
  import cascade_pkg::*;
#(
  parameter int unsigned LanesK = 16,
  parameter int unsigned LanesP = 8,
  parameter int unsigned DrainK = 1,
  parameter int unsigned AccumulatorBits = 32,
  localparam int unsigned ChunkBits = index_width(LanesK / DrainK)
) (
  input  logic                              clk,
  input  logic                              enable,
  input  logic [ChunkBits-1:0]              chunk,
  input  logic signed [AccumulatorBits-1:0] drained[LanesK][LanesP],
  output logic signed [AccumulatorBits-1:0] chosen[DrainK][LanesP]
);
  always_ff @(posedge clk) begin
    if (enable) begin
      for (int unsigned d = 0; d < DrainK; d++) begin
        for (int unsigned p = 0; p < LanesP; p++) chosen[d][p] <= drained[32'(chunk)*DrainK+d][p];
      end
    end
  end
endmodule
