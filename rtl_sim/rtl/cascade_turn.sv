// Which chunk the drain takes next, where its residual comes from and where its outputs go, in the order of PROGRAM.md.
// All outputs but `output_outside` are registers, prepared while the turn before is waited for: the drain's decisions
// start from them.
// Latency: the first turn is there 2 cycles after `start`, the next one in the cycle after `take`.
// Cost: counters and additions of the place, the channels and the residual's channels, and the registers of one turn.
module cascade_turn
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned ResultAddressBits = result_address_bits(Engine),
  localparam int unsigned ChunkBits = chunk_bits(Engine),
  localparam int unsigned OutputBits = output_bits(Engine),
  localparam int unsigned ElementBits = index_bits(Engine),
  localparam int unsigned PartBits = index_width(granule_channels(Engine) / Engine.drain_k),
  localparam int unsigned GranuleBits = index_width(granules_per_word(Engine))
) (
  input  logic                         clk,
  input  logic                         rst_n,
  input  logic                         start,
  input  operation_t                   operation,
  input  logic                         take,  // the turn is taken; also with `start` and in the next cycle
  // the chunk, and what ends with it
  output logic [ChunkBits-1:0]         chunk,
  output logic [OutputBits-1:0]        tile_row,
  output logic [OutputBits-1:0]        tile_column,
  output logic                         position_ends,
  output logic                         tile_ends,
  output logic                         group_ends,
  output logic                         instruction_ends,
  // its residual
  output logic                         needs_word,
  output logic                         later_word,  // a later chunk of the position needs one
  output logic [BankBits-1:0]          word_address,
  output logic [ElementBits-1:0]       residual_element,  // of the chunk's first channel
  output logic [Engine.drain_k-1:0]    residual_wanted,  // channels that have a residual
  // its outputs
  output logic [Engine.drain_k-1:0]    wanted,  // channels below K
  output logic                         granule_ends,
  output logic [PartBits-1:0]          part,  // of the granule
  output logic [GranuleBits-1:0]       granule,  // of the word
  output logic [BankBits-1:0]          bank_address,
  output logic [ResultAddressBits-1:0] result_address,
  output logic                         output_outside,  // of the banks, or of the results
  output logic                         word_outside  // of the banks
);
  localparam int unsigned SubRowBits = $clog2(Engine.sub_row);
  localparam int unsigned Granule = granule_channels(Engine);
  localparam int unsigned Parts = Granule / Engine.drain_k;  // chunks in a granule
  localparam int unsigned GroupBits = $clog2(Engine.lanes_k + 2);

  typedef logic [StoreBits-1:0] store_t;
  typedef logic [StoreBits:0] store_sum_t;
  typedef logic [GroupBits-1:0] group_t;
  typedef logic signed [17:0] residual_channel_t;

  instruction_t i;
  assign i = operation.code;

  // What the turn after the present one is made of.
  logic [16:0] channels_left;  // of the map, from the next group on; negative if there are none
  group_t group_left, group_channels;  // of the group, from this chunk on, and all
  logic [ChunkBits-1:0] next_chunk;
  store_t out_position, residual_position, result_position, out_word_address, residual_address;
  logic [15:0] group_word, out_word;
  logic [ElementBits-1:0] group_element, out_element;
  logic [15:0] channel, group_channel;
  residual_channel_t residual_channel, group_residual, residual_channels;
  logic [OutputBits-1:0] next_tile_row, next_tile_column;
  logic last_chunk, one_chunk;  // of the group: the present chunk, all
  logic last_of_tile, last_of_map, last_of_groups, map_ends;
  logic has_residual, residual_ahead, word_starts, reaches, continues;

  assign map_ends = last_chunk && last_of_map;

  function automatic group_t group_of(logic [16:0] channels);
    return channels < 17'(Engine.lanes_k) ? group_t'(channels) : group_t'(Engine.lanes_k);
  endfunction

  function automatic logic is_chunk(group_t channels);
    return channels <= group_t'(Engine.drain_k);
  endfunction

  cascade_place #(
    .Engine(Engine)
  ) i_place (
    .clk,
    .rst_n,
    .start,
    .operation,
    .step(take && last_chunk),
    .out_position,
    .result_position,
    .residual_position,
    .tile_row(next_tile_row),
    .tile_column(next_tile_column),
    .tile_ends(last_of_tile),
    .map_ends(last_of_map),
    .walk_ends(last_of_groups)
  );

  // The next group lies Engine.lanes_k channels further, the first one at the map's first channel.
  logic [16:0] next_channels_left, group_step;
  logic [15:0] next_group_channel, next_group_word;
  logic [ElementBits-1:0] next_group_element;
  group_t next_group_channels;
  residual_channel_t next_group_residual;
  logic group_begins;
  assign group_begins = last_chunk && last_of_map;  // with the next turn
  assign group_step = 17'(group_element) + 17'(Engine.lanes_k);
  assign next_channels_left = (start ? 17'(i.channels) : channels_left) - 17'(Engine.lanes_k);
  assign next_group_channels = group_of(start ? 17'(i.channels) : channels_left);
  assign next_group_channel = start ? '0 : group_channel + 16'(Engine.lanes_k);
  assign next_group_residual = start ? -residual_channel_t'({1'b0, i.residual_offset}) :
      group_residual + residual_channel_t'(Engine.lanes_k);
  assign next_group_element = start ? '0 : ElementBits'(32'(group_step) % Engine.sub_row);
  assign next_group_word = start ? '0 : group_word + 16'(group_step >> SubRowBits);

  logic word_ends;
  assign word_ends = 32'(out_element) + Engine.drain_k == Engine.sub_row;

  always_ff @(posedge clk) begin
    if (take && group_begins) begin
      channels_left <= next_channels_left;
      group_channels <= next_group_channels;
      one_chunk <= is_chunk(next_group_channels);
      group_channel <= next_group_channel;
      group_residual <= next_group_residual;
      group_element <= next_group_element;
      group_word <= next_group_word;
    end
    if (take) begin
      if (group_begins) begin
        next_chunk <= '0;
        channel <= next_group_channel;
        group_left <= next_group_channels;
        residual_channel <= next_group_residual;
        out_element <= next_group_element;
        out_word <= next_group_word;
      end else if (last_chunk) begin
        next_chunk <= '0;
        channel <= group_channel;
        group_left <= group_channels;
        residual_channel <= group_residual;
        out_element <= group_element;
        out_word <= group_word;
      end else begin
        next_chunk <= next_chunk + 1'b1;
        channel <= channel + 16'(Engine.drain_k);
        group_left <= group_left - group_t'(Engine.drain_k);
        residual_channel <= residual_channel + residual_channel_t'(Engine.drain_k);
        out_element <= word_ends ? '0 : out_element + ElementBits'(Engine.drain_k);
        out_word <= word_ends ? out_word + 16'd1 : out_word;
      end
    end
    // Between two walks the last chunk has ended.
    if (!rst_n) last_chunk <= 1'b1;
    else if (take) begin
      last_chunk <= !last_chunk ? 32'(group_left) <= 2 * Engine.drain_k : !last_of_map ? one_chunk :
          is_chunk(next_group_channels) || (last_of_groups && !start);
    end
  end

  // The residual: a word is read with the first channel of the group that lies in it. Another follows if the next
  // word, or the first one, begins within the group and within the residual.
  localparam int unsigned ReachBits = GroupBits + SubRowBits + 1;
  typedef logic [ReachBits-1:0] reach_t;
  logic any_residual;
  residual_channel_t last_word;  // of the residual
  assign residual_channels = residual_channel_t'({1'b0, i.residual_channels});
  assign residual_ahead = residual_channel < 0;
  assign has_residual = i.flags.residual && !residual_ahead && residual_channel < residual_channels;
  assign word_starts = next_chunk == '0 || (residual_channel & residual_channel_t'(Engine.sub_row - 1)) == '0;
  assign reaches = residual_ahead ? residual_channel + residual_channel_t'({1'b0, group_left}) > 0 :
      reach_t'(Engine.sub_row) <
      (reach_t'(residual_channel) & reach_t'(Engine.sub_row - 1)) + reach_t'(group_left);
  assign continues = any_residual && (residual_ahead || (residual_channel >>> SubRowBits) < last_word);
  always_ff @(posedge clk) begin
    any_residual <= i.flags.residual && i.residual_channels != '0;
    last_word <= (residual_channels - residual_channel_t'(1)) >>> SubRowBits;
  end
  assign residual_address = residual_position + (store_t'(residual_channel) >> SubRowBits);

  assign out_word_address = out_position + store_t'(out_word);

  // A result's range is checked at its turn: the sum would come too late before it.
  store_t result_index;
  store_sum_t result_last;
  group_t more_results;  // of the chunk, beside its first
  logic word_address_outside;
  assign result_address = ResultAddressBits'(result_index);
  assign result_last = store_sum_t'(result_index) + store_sum_t'(more_results);
  assign output_outside = i.flags.to_result ? result_last >= store_sum_t'(Engine.result_depth) : word_address_outside;

  always_ff @(posedge clk) begin
    if (take) begin
      chunk <= next_chunk;
      tile_row <= next_tile_row;
      tile_column <= next_tile_column;
      position_ends <= last_chunk;
      tile_ends <= last_chunk && last_of_tile;
      group_ends <= map_ends;
      instruction_ends <= last_chunk && last_of_groups;
      needs_word <= has_residual && word_starts;
      later_word <= reaches && continues;
      word_address <= BankBits'(residual_address);
      word_outside <= has_residual && word_starts && residual_address >= operation.bank_end;
      residual_element <= ElementBits'(residual_channel);
      for (int unsigned d = 0; d < Engine.drain_k; d++) begin  // chunks of the residual begin at multiples of drain_k
        residual_wanted[d] <= has_residual && (residual_channel | residual_channel_t'(d)) < residual_channels;
        wanted[d] <= d < 32'(group_left);
      end
      part <= PartBits'((16'(out_element) % 16'(Granule)) / 16'(Engine.drain_k));
      granule <= GranuleBits'(16'(out_element) / 16'(Granule));
      granule_ends <= last_chunk || (32'(out_element) % Granule) / Engine.drain_k == Parts - 1;
      bank_address <= BankBits'(out_word_address);
      result_index <= result_position + store_t'(channel);
      more_results <= last_chunk ? group_left - 1'b1 : group_t'(Engine.drain_k - 1);
      word_address_outside <= out_word_address >= operation.bank_end;
    end
  end
endmodule
