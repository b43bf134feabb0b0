// The channels' parameters of `parameter_sets` groups: the loader fills sets while the drain reads the oldest.
// Cost: one memory of LanesK records a set, without what the engine does not use. Latency of a read: 1.
module cascade_parameters
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned ChunkBits = chunk_bits(Engine)
) (
  input  logic                             clk,
  input  logic                             rst_n,
  input  logic                             record_valid,
  output logic                             record_ready,
  input  record_t                          record_in,
  input  logic                             record_last,  // of its group
  input  logic                             read_enable,
  input  logic [ChunkBits-1:0]             read_chunk,
  input  logic                             release_group,  // with read_enable: the group's last chunk was read
  output parameters_t [Engine.drain_k-1:0] parameters
);
  localparam int unsigned PartBits = index_width(Engine.drain_k);
  localparam int unsigned FactorsBits = 6 + 2 * 16;  // a shift, two multipliers
  localparam int unsigned ResidualShiftBits = Engine.tile == 0 ? 0 : 4;
  localparam int unsigned KeptBits = Engine.bias_bits + FactorsBits + ResidualShiftBits;

  localparam int unsigned SetBits = index_width(Engine.parameter_sets);
  logic [SetBits:0] sets;
  logic [SetBits-1:0] write_set, read_set;
  logic push, freed;
  logic [ChunkBits-1:0] chunk;
  logic [PartBits-1:0] part;
  logic [Engine.drain_k-1:0] part_enable;
  logic [KeptBits-1:0] kept;
  logic [Engine.drain_k-1:0][KeptBits-1:0] read;

  assign record_ready = !sets[SetBits];
  assign push = record_valid && record_ready;
  assign freed = read_enable && release_group;
  assign kept = KeptBits'({
    record_in.residual_shift[3:0],
    record_in.shift[5:0],
    record_in.residual_multiplier,
    record_in.multiplier,
    Engine.bias_bits'({record_in.bias_high, record_in.bias_low})
  });
  always_comb begin
    part_enable = '0;
    part_enable[part] = push;
  end
  always_comb begin
    for (int unsigned d = 0; d < Engine.drain_k; d++) begin
      {parameters[d].bias_high, parameters[d].bias_low} = 40'($signed(read[d][Engine.bias_bits-1:0]));
      {parameters[d].residual_shift, parameters[d].shift, parameters[d].residual_multiplier, parameters[d].multiplier} =
          (4 + FactorsBits)'(read[d] >> Engine.bias_bits);
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      sets <= '0;
      write_set <= '0;
      read_set <= '0;
      chunk <= '0;
      part <= '0;
    end else begin
      sets <= sets + (SetBits + 1)'(push && record_last) - (SetBits + 1)'(freed);
      if (freed) read_set <= read_set + 1'b1;
      if (push) begin
        part <= 32'(part) == Engine.drain_k - 1 ? '0 : part + 1'b1;
        if (32'(part) == Engine.drain_k - 1) chunk <= chunk + 1'b1;
        if (record_last) begin
          part <= '0;
          chunk <= '0;
          write_set <= write_set + 1'b1;
        end
      end
    end
  end

  // Sets are a power of two apart, whatever Engine.lanes_k / Engine.drain_k is.
  cascade_ram #(
    .Depth(Engine.parameter_sets << ChunkBits),
    .Pieces(Engine.drain_k),
    .PieceBits(KeptBits)
  ) i_ram (
    .clk,
    .write_enable(part_enable),
    .write_address({write_set, chunk}),
    .write_data({Engine.drain_k{kept}}),
    .read_enable,
    .read_address({read_set, read_chunk}),
    .read_data(read)
  );
endmodule
