// Words for the banks out of what the drain finishes, drain_k channels a cycle: the parts of a granule before the last
// one wait here. Latency: 1 from a part to the words that hold it, of which only its granule counts.
// With two precisions a wide granule lies as two pieces beside each other in the words of both lanes of a pair, one word
// above the other; each lane keeps one of them. Cost: a granule of registers for each lane, and a word.
module cascade_granules
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned Granule = granule_channels(Engine),
  localparam int unsigned Granules = granules_per_word(Engine),
  localparam int unsigned PartBits = index_width(Granule / Engine.drain_k),
  localparam int unsigned GranuleIndexBits = index_width(Granules),
  localparam int unsigned WordBits = word_bits(Engine)
) (
  input  logic                               clk,
  input  logic                               narrow,
  input  logic                               valid,
  input  logic        [PartBits-1:0]         part,  // of the granule
  input  logic        [GranuleIndexBits-1:0] granule,  // of the word
  input  logic signed [ResultBits-1:0]       finished[Engine.drain_k][Engine.lanes_p],
  output logic        [Granules-1:0]         bank_granules[halves(Engine)],
  output logic        [WordBits-1:0]         bank_data[Engine.lanes_p]
);
  localparam int unsigned StoredBits = stored_bits(Engine);
  localparam int unsigned WideLanes = wide_lanes(Engine);
  localparam int unsigned DrainK = Engine.drain_k;
  typedef logic [Granule-1:0][StoredBits-1:0] piece_t;

  piece_t piece[Engine.lanes_p];
  piece_t piece_next[Engine.lanes_p];
  for (genvar p = 0; p < Engine.lanes_p; p++) begin : g_lane
    for (genvar n = 0; n < Granule; n++) begin : g_element
      logic written;
      logic [StoredBits-1:0] value;
      if (two_precisions(Engine)) begin : g_two
        localparam int unsigned Place = p / WideLanes * Granule + n;  // in a wide granule, in parts of elements
        localparam int unsigned Channel = Place / 2;
        assign written = 32'(part) == (narrow ? n / DrainK : Channel / DrainK);
        assign value = narrow ? finished[n%DrainK][p][StoredBits-1:0] :
            finished[Channel%DrainK][p%WideLanes][Place%2*StoredBits+:StoredBits];
      end else begin : g_one
        assign written = 32'(part) == n / DrainK;
        assign value = finished[n%DrainK][p][StoredBits-1:0];
      end
      assign piece_next[p][n] = written ? value : piece[p][n];
    end
  end

  always_ff @(posedge clk) begin
    if (valid) begin
      piece <= piece_next;
      for (int unsigned q = 0; q < Granules; q++) begin
        for (int unsigned h = 0; h < halves(Engine); h++) begin
          bank_granules[h][q] <= 32'(granule) == (two_precisions(Engine) && !narrow ? (h * Granules + q) / 2 : q);
        end
        for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
          bank_data[p][q*$bits(piece_t)+:$bits(piece_t)] <= two_precisions(Engine) && !narrow ?
              piece_next[p%WideLanes+(p/WideLanes*Granules+q)%2*WideLanes] : piece_next[p];
        end
      end
    end
  end
endmodule
