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
  logic [15:0] words_left;
  logic [7:0] steps_left;
  logic [7:0] tap_steps, next_tap_steps;  // in each sub-row of the present tap, and of the next one
  logic [5:0] next_tap;
  logic [16:0] channels_left;
  logic [IndexBits-1:0] index;
  logic [SpacingBits-1:0] spacing;
  logic [SpacingBits+1:0] row_spacing;
  logic [BufferBits-1:0] tap_address, address_next;  // the tap's first word, and what follows the present step's
  logic half, new_word, new_level, new_tap, new_tile, tap_free, tap_row_free, draining, busy;

  logic last_step, last_word, last_level, last_tap_column, last_tap_row, last_column, last_row, last_group, go;
  logic level_ends, tap_ends, tap_row_ends, tile_ends, line_ends, map_ends, next_word_last;
  assign level_ends = last_step && last_word;
  assign tap_ends = level_ends && last_level;
  assign tap_row_ends = tap_ends && last_tap_column;
  assign tile_ends = tap_row_ends && last_tap_row;
  assign line_ends = tile_ends && last_column;
  assign map_ends = line_ends && last_row;
  assign next_word_last = last_word ? i.sub_rows == 16'd1 : words_left == 16'd2;

  cascade_countdown #(.Bits(8)) i_levels (
    .clk, .start, .total(i.levels), .step(go && level_ends), .last(last_level)
  );
  cascade_countdown #(.Bits(3)) i_tap_columns (
    .clk, .start, .total(taps), .step(go && tap_ends), .last(last_tap_column)
  );
  cascade_countdown #(.Bits(3)) i_tap_rows (
    .clk, .start, .total(taps), .step(go && tap_row_ends), .last(last_tap_row)
  );
  cascade_countdown i_columns (
    .clk, .start, .total(tiles_in(i.out_width, tile_bits)), .step(go && tile_ends), .last(last_column)
  );
  cascade_countdown i_rows (
    .clk, .start, .total(tiles_in(i.out_height, tile_bits)), .step(go && line_ends), .last(last_row)
  );
  cascade_countdown i_groups (
    .clk, .start, .total(i.groups), .step(go && map_ends), .last(last_group)
  );

  assign go = busy && row_here && (!new_tile || tile_here) && (!tap_ends || tap_free) &&
      (!tap_row_ends || tap_row_free) && (!tile_ends || !draining);
  assign stalled = busy && !row_here;
  assign row_step = go;
  assign row_rewind = tile_ends;
  assign row_release = map_ends;
  assign buffer_read = go && new_word;
  assign tile_read = buffer_read && last_word && last_level && last_tap_column && last_tap_row;
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

  function automatic logic [7:0] steps_of(logic [7:0] own);
    return own != '0 ? own : i.steps;
  endfunction

  function automatic logic [7:0] steps_in(logic [7:0] steps, logic is_last);
    return is_last && i.steps_last < steps ? i.steps_last : steps;
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
      if (start) busy <= 1'b1;
      else if (go && map_ends && last_group) busy <= 1'b0;
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

    next_tap_steps <= steps_of(operation_taps.steps[next_tap]);  // taps end 2 cycles apart: it is there in time
    chunks <= chunks_of(start ? 17'(i.channels) : channels_left);
    if (start) begin
      tap_steps <= steps_of(operation_taps.steps[0]);
      next_tap <= 6'd1;
      words_left <= i.sub_rows;
      last_word <= i.sub_rows == 16'd1;
      steps_left <= steps_in(steps_of(operation_taps.steps[0]), i.sub_rows == 16'd1);
      last_step <= steps_in(steps_of(operation_taps.steps[0]), i.sub_rows == 16'd1) == 8'd1;
      channels_left <= 17'(i.channels);
      index <= '0;
      half <= 1'b0;
      buffer_address <= '0;
      tap_address <= '0;
      new_word <= 1'b1;
      new_level <= 1'b0;
      new_tap <= 1'b1;
      new_tile <= 1'b1;
    end else if (go) begin
      new_word <= last_step;
      new_level <= level_ends && !last_level;
      new_tap <= tap_ends;
      new_tile <= tile_ends;
      steps_left <= steps_left - 8'd1;
      last_step <= steps_left == 8'd2;
      index <= index + IndexBits'(Engine.slots);
      buffer_address <= address_next;
      if (last_step) begin
        index <= '0;
        words_left <= last_word ? i.sub_rows : words_left - 16'd1;
        last_word <= next_word_last;
        steps_left <= steps_in(tap_ends ? next_tap_steps : tap_steps, next_word_last);
        last_step <= steps_in(tap_ends ? next_tap_steps : tap_steps, next_word_last) == 8'd1;
      end
      if (level_ends) buffer_address <= tap_address;
      if (tap_ends) begin
        tap_steps <= next_tap_steps;
        next_tap <= next_tap == (four ? 6'd35 : 6'd15) ? '0 : next_tap + 6'd1;
        buffer_address <= address_next;
        tap_address <= address_next;
      end
      if (tile_ends) begin
        half <= !half;
        buffer_address <= half ? '0 : BufferBits'(Engine.transform_depth);
        tap_address <= half ? '0 : BufferBits'(Engine.transform_depth);
      end
      if (map_ends) channels_left <= channels_left - 17'(LanesK);
    end
  end

  // The decoder has compared the rows; the groups must be those of the channels.
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      step_valid <= 1'b0;
      problem <= ErrorNone;
    end else begin
      step_valid <= go;
      problem <= busy && (channels_left == '0 || channels_left[16] || (last_group && channels_left > 17'(LanesK))) ?
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
