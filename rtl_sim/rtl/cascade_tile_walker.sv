// The array's steps of a CONV with a tile: for every output-channel group and tile, every tap, level, word and
// step, one per cycle. A tap ends in the array as a position of a direct CONV does, and goes to the fold instead of the drain.
// A step waits for its weight row and, where it is a tile's first, for the transformed tile; a tap's last step for
// the fold, a tile's last for the drain, which must have left the tile before. Two taps end at least 2 cycles apart,
// two rows of taps m cycles for each chunk of the first (less than they take, but where a smaller group follows).
// Latency: buffer address in the cycle of the step, the step's flags (`step_*`) one cycle later.
module cascade_tile_walker
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned IndexBits = index_bits(Engine),
  localparam int unsigned ChunkBits = chunk_bits(Engine),
  localparam int unsigned BufferBits = buffer_bits(Engine)
) (
  input  logic                  clk,
  input  logic                  rst_n,
  input  logic                  start,
  input  operation_t            operation,
  input  taps_t                 operation_taps,
  output error_e                problem,
  output logic                  stalled,  // waiting for weights
  // weight rows
  input  logic                  row_here,
  output logic                  row_step,
  output logic                  row_rewind,
  output logic                  row_final,
  output logic                  row_release,
  // transformed tiles
  input  logic                  tile_here,
  output logic                  tile_read,
  output logic                  buffer_read,
  output logic [BufferBits-1:0] buffer_address,
  // fold and drain
  output logic [ChunkBits-1:0]  last_chunk,  // of the group
  input  logic                  tile_drained,  // one cycle
  // one cycle after the step
  output logic                  step_valid,
  output logic                  step_word,
  output logic [IndexBits-1:0]  step_index,
  output logic                  step_first,  // of its tap
  output logic                  step_shift,  // first of a further level
  output logic                  step_last  // of its tap
);
  localparam int unsigned LanesK = Engine.lanes_k;
  localparam int unsigned DrainBits = $clog2(Engine.drain_k);
  localparam int unsigned SpacingBits = $clog2(Engine.lanes_k + 2);

  instruction_t i;
  logic four;
  logic [1:0] tile_bits;
  logic [2:0] taps;
  assign i = operation.code;
  assign four = i.tile[2];  // 4, not 2
  assign tile_bits = four ? 2'd2 : 2'd1;
  assign taps = four ? 3'd6 : 3'd4;

  // The loops, inner ones last, and what they still have to do.
  logic [7:0] steps_left;
  logic [16:0] channels_left;
  logic [IndexBits-1:0] index;
  logic [SpacingBits-1:0] spacing;
  logic [SpacingBits+1:0] row_spacing;
  // The tap's first word, what follows the present step's, and the next tile's first.
  logic [BufferBits-1:0] tap_address, address_next, half_start;
  logic half, next_half, new_word, new_level, new_tap, new_tile, tap_free, tap_row_free, draining, busy;

  logic last_step, level_ends, tap_ends, tap_row_ends, tile_ends, line_ends, map_ends, walk_ends;
  logic begins, next_word_last, go, step;
  logic [1:0][7:0] steps;  // of the next step's tap: in a sub-row, and in its last one
  logic [1:0] one_step, two_steps;
  logic second_step;  // of two that are left
  logic [7:1] last, last_next;

  cascade_nest #(
    .Loops(7),
    .Bits({5'd16, 5'd16, 5'd16, 5'd3, 5'd3, 5'd8, 5'd16})
  ) i_nest (
    .clk,
    .rst_n,
    .start(begins),
    .step,
    .total({
      i.groups, tiles_in(i.out_height, tile_bits), tiles_in(i.out_width, tile_bits), 16'(taps), 16'(taps),
      16'(i.levels), i.sub_rows
    }),
    .inner_next(last_step ? one_step[next_word_last] : second_step),
    .last_next,
    .last,
    .ends({walk_ends, map_ends, line_ends, tile_ends, tap_row_ends, tap_ends, level_ends, last_step})
  );
  logic unused;
  assign unused = line_ends;
  assign next_word_last = last_next[1];

  cascade_tap_steps i_tap_steps (
    .clk,
    .rst_n,
    .start,
    .code(i),
    .taps(operation_taps),
    .step,
    .tap_ends,
    .begins,
    .steps,
    .one_step,
    .two_steps
  );

  assign go = busy && row_here && (!new_tile || tile_here) && (!tap_ends || tap_free) &&
      (!tap_row_ends || tap_row_free) && (!tile_ends || !draining);
  assign step = begins || go;  // a walk begins like a step with which everything ends
  assign next_half = !begins && !half;
  assign half_start = next_half ? BufferBits'(Engine.transform_depth) : '0;
  assign stalled = busy && !row_here;
  assign row_step = go;
  assign row_rewind = tile_ends;
  assign row_final = last[6] && last[5];
  assign row_release = map_ends;
  assign buffer_read = go && new_word;
  assign tile_read = buffer_read && &last[4:1];
  assign address_next = buffer_address + BufferBits'(new_word);

  // Chunks of the group, and cycles between the last steps of two taps and of two rows of taps.
  // One cycle late at a new group, whose channels are never more than those of the group before.
  logic [ChunkBits:0] chunks;
  logic [SpacingBits-1:0] spacing_next;
  logic [SpacingBits+1:0] row_spacing_next;
  assign last_chunk = ChunkBits'(chunks - 1'b1);
  assign spacing_next = chunks > (ChunkBits + 1)'(2) ? SpacingBits'(chunks) - 1'b1 : SpacingBits'(1);
  assign row_spacing_next = ((SpacingBits + 2)'(chunks) << tile_bits) - 1'b1;

  function automatic logic [ChunkBits:0] chunks_of(logic [16:0] channels);
    return (ChunkBits + 1)'(((channels < 17'(LanesK) ? channels : 17'(LanesK)) + 17'(Engine.drain_k - 1)) >> DrainBits);
  endfunction

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      busy <= 1'b0;
      spacing <= '0;
      row_spacing <= '0;
      tap_free <= 1'b1;
      tap_row_free <= 1'b1;
      draining <= 1'b0;
    end else begin
      if (begins) busy <= 1'b1;
      else if (go && walk_ends) busy <= 1'b0;
      if (go && tap_ends) begin
        spacing <= spacing_next;
        tap_free <= 1'b0;
      end else begin
        if (spacing != '0) spacing <= spacing - 1'b1;
        tap_free <= spacing <= SpacingBits'(1);
      end
      if (go && tap_row_ends) begin
        row_spacing <= row_spacing_next;
        tap_row_free <= 1'b0;
      end else begin
        if (row_spacing != '0) row_spacing <= row_spacing - 1'b1;
        tap_row_free <= row_spacing <= (SpacingBits + 2)'(1);
      end
      draining <= (draining && !tile_drained) || (go && tile_ends);
    end

    chunks <= chunks_of(channels_left);
    if (step) begin
      steps_left <= last_step ? steps[next_word_last] : steps_left - 8'd1;
      second_step <= last_step ? two_steps[next_word_last] : steps_left == 8'd3;
      new_word <= last_step;
      new_level <= level_ends && !tap_ends;
      new_tap <= tap_ends;
      new_tile <= tile_ends;
      index <= last_step ? '0 : index + IndexBits'(Engine.slots);
      buffer_address <= tile_ends ? half_start : level_ends && !tap_ends ? tap_address : address_next;
    end
    if (step && tap_ends) tap_address <= tile_ends ? half_start : address_next;
    if (step && tile_ends) half <= next_half;
    if (step && map_ends) channels_left <= begins ? 17'(i.channels) : channels_left - 17'(LanesK);
  end

  // The decoder has compared the rows; the groups must be those of the channels.
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      step_valid <= 1'b0;
      problem <= ErrorNone;
    end else begin
      step_valid <= go;
      problem <= busy && (channels_left == '0 || channels_left[16] || (last[7] && channels_left > 17'(LanesK))) ?
          ErrorCount : ErrorNone;
    end
    if (go) begin
      step_word <= new_word;
      step_index <= index;
      step_first <= new_tap;
      step_shift <= new_level;
      step_last <= tap_ends;
    end
  end
endmodule
