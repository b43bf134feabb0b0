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
  input  logic [17:0]           level,
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
  logic [15:0] tile;
  logic [2:0] taps;
  assign i = operation.code;
  assign four = i.tile == 8'd4;
  assign tile = four ? 16'd4 : 16'd2;
  assign taps = four ? 3'd6 : 3'd4;

  // What is left, the present one included; rows and columns of the map, from this tile on.
  logic [15:0] groups_left, rows_left, columns_left, words_left;
  logic [7:0] levels_left, steps_left;
  logic [7:0] tap_steps, next_tap_steps;  // in each sub-row of the present tap, and of the next one
  logic [5:0] next_tap;
  logic [2:0] tap_rows_left, tap_columns_left;
  logic [16:0] channels_left, row;
  logic [IndexBits-1:0] index;
  logic [SpacingBits-1:0] spacing;
  logic [SpacingBits+1:0] row_spacing;
  logic [BufferBits-1:0] tap_address, address_next;  // the tap's first word, and what follows the present step's
  logic half, new_word, new_level, new_tap, new_tile, draining, busy;

  logic last_step, last_word, last_level, last_tap, last_group, row_here, go;
  logic level_ends, tap_ends, tap_row_ends, tile_ends, line_ends, map_ends;
  assign last_step = steps_left == 8'd1;
  assign last_word = words_left == 16'd1;
  assign last_level = levels_left == 8'd1;
  assign last_tap = tap_rows_left == 3'd1 && tap_columns_left == 3'd1;
  assign last_group = groups_left == 16'd1;
  assign level_ends = last_step && last_word;
  assign tap_ends = level_ends && last_level;
  assign tap_row_ends = tap_ends && tap_columns_left == 3'd1;
  assign tile_ends = tap_ends && last_tap;
  assign line_ends = tile_ends && columns_left <= tile;
  assign map_ends = line_ends && rows_left <= tile;

  assign row_here = 18'(row) < level;
  assign go = busy && row_here && (!new_tile || tile_here) && (!tap_ends || spacing == '0) &&
      (!tap_row_ends || row_spacing == '0) && (!tile_ends || !draining);
  assign stalled = busy && !row_here;
  assign row_step = go;
  assign row_rewind = tile_ends;
  assign row_release = map_ends;
  assign buffer_read = go && new_word;
  assign tile_read = buffer_read && last_word && last_level && last_tap;
  assign address_next = buffer_address + BufferBits'(new_word);

  // Chunks of the group, and cycles between the last steps of two taps and of two rows of taps.
  logic [16:0] chunks;
  logic [SpacingBits-1:0] spacing_next;
  logic [SpacingBits+1:0] row_spacing_next;
  assign chunks = ((channels_left < 17'(LanesK) ? channels_left : 17'(LanesK)) + 17'(Engine.drain_k - 1)) >> DrainBits;
  assign last_chunk = ChunkBits'(chunks - 17'd1);
  assign spacing_next = chunks > 17'd2 ? SpacingBits'(chunks - 17'd1) : SpacingBits'(1);
  assign row_spacing_next = ((SpacingBits + 2)'(chunks) << (four ? 2 : 1)) - 1'b1;

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
      draining <= 1'b0;
    end else begin
      if (spacing != '0) spacing <= spacing - 1'b1;
      if (row_spacing != '0) row_spacing <= row_spacing - 1'b1;
      if (tile_drained) draining <= 1'b0;
      if (start) busy <= 1'b1;
      else if (go) begin
        if (tap_ends) spacing <= spacing_next;
        if (tap_row_ends) row_spacing <= row_spacing_next;
        if (tile_ends) draining <= 1'b1;
        if (map_ends && last_group) busy <= 1'b0;
      end
    end

    next_tap_steps <= steps_of(operation_taps.steps[next_tap]);  // taps end 2 cycles apart: it is there in time
    if (start) begin
      tap_steps <= steps_of(operation_taps.steps[0]);
      next_tap <= 6'd1;
      groups_left <= i.groups;
      rows_left <= i.out_height;
      columns_left <= i.out_width;
      tap_rows_left <= taps;
      tap_columns_left <= taps;
      levels_left <= i.levels;
      words_left <= i.sub_rows;
      steps_left <= steps_in(steps_of(operation_taps.steps[0]), i.sub_rows == 16'd1);
      channels_left <= 17'(i.channels);
      row <= '0;
      index <= '0;
      half <= 1'b0;
      buffer_address <= '0;
      tap_address <= '0;
      new_word <= 1'b1;
      new_level <= 1'b0;
      new_tap <= 1'b1;
      new_tile <= 1'b1;
    end else if (go) begin
      row <= tile_ends ? '0 : row + 17'd1;
      new_word <= last_step;
      new_level <= level_ends && !last_level;
      new_tap <= tap_ends;
      new_tile <= tile_ends;
      steps_left <= steps_left - 8'd1;
      index <= index + IndexBits'(Engine.slots);
      buffer_address <= address_next;
      if (last_step) begin
        index <= '0;
        words_left <= words_left - 16'd1;
        steps_left <= steps_in(tap_steps, words_left == 16'd2);
      end
      if (level_ends) begin
        words_left <= i.sub_rows;
        steps_left <= steps_in(tap_ends ? next_tap_steps : tap_steps, i.sub_rows == 16'd1);
        levels_left <= levels_left - 8'd1;
        buffer_address <= tap_address;
      end
      if (tap_ends) begin
        tap_steps <= next_tap_steps;
        next_tap <= next_tap == (four ? 6'd35 : 6'd15) ? '0 : next_tap + 6'd1;
        levels_left <= i.levels;
        buffer_address <= address_next;
        tap_address <= address_next;
        tap_columns_left <= tap_columns_left - 3'd1;
      end
      if (tap_row_ends) begin
        tap_columns_left <= taps;
        tap_rows_left <= tap_rows_left - 3'd1;
      end
      if (tile_ends) begin
        tap_rows_left <= taps;
        columns_left <= columns_left - tile;
        half <= !half;
        buffer_address <= half ? '0 : BufferBits'(Engine.transform_depth);
        tap_address <= half ? '0 : BufferBits'(Engine.transform_depth);
      end
      if (line_ends) begin
        columns_left <= i.out_width;
        rows_left <= rows_left - tile;
      end
      if (map_ends) begin
        rows_left <= i.out_height;
        groups_left <= groups_left - 16'd1;
        channels_left <= channels_left - 17'(LanesK);
      end
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
