// Prepares the next instruction while the one before runs: multiplies what the units only add, and finds
// what is wrong with it. Latency from an instruction's last beat 13 cycles (15 where the engine has tiles or stripes, 17 of
// FILL and SPILL, with stripes 19, 23 with a tile, the rows of whose taps are added three by three), of which the core sees those that no
// instruction hides. A good TAPS waits beside the instruction that follows it; it takes 3 cycles.
// Cost: one DSP block, which multiplies 16 x 8 bits in every cycle; about 370 LUTs for the ranges of FILL and SPILL, where
// the engine has them.
module cascade_decode
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned TableLanes = table_lanes(Engine)
) (
  input  logic                       clk,
  input  logic                       rst_n,
  input  header_t                    header,
  input  logic                       in_valid,
  output logic                       in_ready,
  input  logic [Engine.bus_bits-1:0] in_beat,
  input  logic                       in_last,
  output logic                       out_valid,
  input  logic                       out_ready,
  output operation_t                 operation,
  output logic                       last,
  output logic                       taps_valid,  // before `operation`
  input  logic                       taps_ready,
  output taps_t                      taps
);
  // A product is added two steps after its factors were chosen; what is compared comes first.
  localparam logic [4:0] Products = Engine.tile == 0 && !Engine.stripes ? 5'd12 : 5'd14;
  localparam logic [4:0] MapProducts = Engine.stripes ? 5'd18 : 5'd16, TileProducts = 5'd22;
  localparam int unsigned Taps = Engine.tile == 2 ? 16 : MaxTaps;  // of its largest tile: no other is ever asked for
  localparam logic [31:0] BeatMask = 32'(Engine.bus_bits / 8 - 1);
  localparam int unsigned BlockBeats = BlockBits / Engine.bus_bits;
  localparam int unsigned BeatBits = index_width(BlockBeats);

  logic busy, last_beat;
  logic [BeatBits-1:0] beat;
  logic [4:0] count;
  logic [15:0] a_next, a;
  logic [7:0] b_next, b;
  logic [23:0] product;
  logic [31:0] level_rows;  // of all taps in one level, where there is a tile
  logic [15:0] tap_steps;  // of all taps in one sub-row
  logic [15:0] sub_rows_before;  // the last one
  logic prepared;
  instruction_t i;
  error_e found;
  logic is_taps, taps_here, take_taps;
  taps_t values;

  assign in_ready = !busy;
  assign last_beat = beat == BeatBits'(BlockBeats - 1);
  assign take_taps = taps_here && !taps_valid;
  assign out_valid = busy && prepared;
  assign i = operation.code;
  assign sub_rows_before = i.sub_rows - 16'd1;

  // FILL and SPILL: a row's words, its beats, those of all rows, and how far the last lane's part of the map reaches.
  localparam logic [31:0] BeatWords = Engine.bus_bits / 8 / Engine.sub_row;
  localparam int unsigned ByteBits = $clog2(Engine.bus_bits / 8), WordBits = $clog2(BeatWords);
  logic moves_map, is_spill, map_here;  // the last: where the engine has them at all
  logic map_row;  // of a FILL, a row's words in the bank come after all else
  logic [15:0] map_height, map_width;
  logic [16:0] row_beats;
  logic [31:0] pitch_beats;  // from lane to lane
  logic [31:0] pass_lanes;
  logic [7:0] last_lane;
  logic lanes_beyond, map_beyond;  // the rows of the last lane lie outside the maps, or beyond the pitch, or one is too long
  logic striped;  // each lane's rows are compared with the maps when it moves them
  assign striped = Engine.stripes && i.flags.striped;
  assign map_here = Engine.external_maps && moves_map;
  assign map_row = Engine.stripes && map_here;
  assign pitch_beats = i.residual_base >> ByteBits;
  assign last_lane = 8'(pass_lanes - 32'd1);
  assign pass_lanes = pass_images(Engine, header.narrow, header.striped);
  if (Engine.external_maps) begin : g_map
    always_ff @(posedge clk) begin
      is_spill <= i.opcode == OpSpill;
      moves_map <= i.opcode == OpFill || i.opcode == OpSpill;
      {map_height, map_width} <= is_spill ? {i.in_height, i.in_width} : {i.out_height, i.out_width};
      row_beats <= 17'(16'(operation.map_words >> WordBits)) + 17'((operation.map_words & (BeatWords - 32'd1)) != '0);
      if (count == 5'd13) lanes_beyond <= product[23:16] != '0;
      map_beyond <= row_beats[16] || operation.map_words >> WordBits >> 16 != '0 ||
          (!striped && (lanes_beyond || operation.origin > WalkBits'(header.map_bytes >> ByteBits))) ||
          (!(striped && !is_spill) && operation.map_beats > pitch_beats);
    end
  end else begin : g_no_map
    assign {is_spill, moves_map, map_height, map_width, row_beats, lanes_beyond, map_beyond} = '0;
    logic unused;
    assign unused = ^{map_height, map_width, row_beats, pitch_beats, last_lane, is_spill, lanes_beyond};
  end

  always_comb begin
    case (count)
      5'd0: {a_next, b_next} = {i.out_width, i.out_height[7:0]};
      5'd1: {a_next, b_next} = {i.out_width, i.out_height[15:8]};
      5'd2: {a_next, b_next} = map_here ? {map_width, i.sub_rows[7:0]} : {i.in_row_words, i.in_height[7:0]};
      5'd3: {a_next, b_next} = map_here ? {map_width, i.sub_rows[15:8]} : {i.in_row_words, i.in_height[15:8]};
      5'd4: {a_next, b_next} = {i.in_row_words, i.stride_h};
      5'd5: {a_next, b_next} = {i.in_words, i.stride_w};
      5'd6: {a_next, b_next} = {i.in_row_words, i.dilation_h};
      5'd7: {a_next, b_next} = {i.in_words, i.dilation_w};
      5'd8: {a_next, b_next} = map_here ? {row_beats[15:0], map_height[7:0]} : {i.in_row_words, i.pad_top};
      5'd9: {a_next, b_next} = map_here ? {row_beats[15:0], map_height[15:8]} : {i.in_words, i.pad_left};
      5'd10: {a_next, b_next} = map_here ? {pitch_beats[15:0], last_lane} : {i.out_width, i.out_words[7:0]};
      5'd11: {a_next, b_next} = map_here ? {pitch_beats[31:16], last_lane} : {i.out_width, i.out_words[15:8]};
      5'd14: {a_next, b_next} = map_row ? {i.out_width, i.out_words[7:0]} : {tap_steps, sub_rows_before[7:0]};
      5'd15: {a_next, b_next} = map_row ? {i.out_width, i.out_words[15:8]} : {tap_steps, sub_rows_before[15:8]};
      5'd18: {a_next, b_next} = {level_rows[15:0], i.levels};
      default: {a_next, b_next} = 'x;
    endcase
  end
  always_ff @(posedge clk) begin
    a <= a_next;
    b <= b_next;
    product <= a * b;
  end

  // Comparisons, which are settled some cycles before they are asked for. Several positions in one place: no address
  // would ever leave the bank, whatever the number of positions is.
  logic unknown, no_slice, no_sub_rows, no_inputs, no_outputs, no_kernel, no_steps, no_rows, no_map, no_results;
  logic beyond_tables, odd_slice, in_outside, out_outside, residual_outside, map_outside, results_outside;
  logic in_unaligned, out_unaligned, pitch_unaligned, images_unaligned, many_pixels, stands_still;
  // Of the pass: whether TABLE, LOAD and LOAD_AHEAD were there, or what no LOAD_AHEAD may follow, and where the images lie.
  logic tabled, loaded, ahead, never_ahead, misplaced;
  logic [StoreBits-1:0] images_base;
  // STRIPED where it does not belong.
  logic striped_wrong, no_stripes, odd_shift;
  if (Engine.stripes) begin : g_stripes
    assign striped_wrong = i.flags.striped &&
        !(header.striped && i.opcode inside {OpLoad, OpConv, OpMaxPool, OpStoreMap, OpFill, OpSpill});
    always_ff @(posedge clk) begin
      no_stripes <= i.in_height == '0 || i.out_height == '0;
      odd_shift <= i.kernel_h != 8'd1 || i.kernel_w != 8'd1 || i.levels > 8'd1;
    end
  end else begin : g_images
    assign striped_wrong = i.flags.striped;
    assign {no_stripes, odd_shift} = '0;
    logic unused;
    assign unused = no_stripes ^ odd_shift;
  end
  always_ff @(posedge clk) begin
    unknown <= i.reserved0 != '0 || i.reserved15 != '0 || i.flags.reserved != '0 || striped_wrong ||
        (!Engine.gather && i.opcode == OpConv && i.flags.indexed) ||
        (i.flags.load_ahead && i.opcode != OpConv && i.opcode != OpMaxPool);
    misplaced <= i.opcode == OpTable ? tabled || loaded : i.opcode == OpLoad || moves_map ? ahead :
        i.flags.load_ahead && (!loaded || never_ahead);
    no_slice <= i.in_words == '0;
    no_sub_rows <= i.sub_rows == '0;
    no_inputs <= i.in_height == '0 || i.in_width == '0;
    no_outputs <= i.out_height == '0 || i.out_width == '0;
    no_kernel <= i.kernel_h == '0 || i.kernel_w == '0;
    no_steps <= i.steps_last == '0 || (i.tile == '0 && i.sub_rows != 16'd1 && i.steps == '0);
    no_rows <= i.channels == '0 || i.groups == '0 || i.rows == '0 ||
        (32'(i.rows) > Engine.weight_depth && (i.out_height != 16'd1 || i.out_width != 16'd1));
    no_map <= i.in_row_words == '0 || i.in_height == '0;
    no_results <= header.classes == '0 || header.confidence_m > header.confidence_n ||
        header.confidence_n > LeadingPlaces;
    beyond_tables <= 32'(i.sub_rows) > Engine.table_words || 32'(i.in_words) > TableLanes;
    odd_slice <= (i.in_words & (i.in_words - 16'd1)) != '0;
    in_outside <= i.in_base >= Engine.bank_depth;
    out_outside <= i.out_base >= (i.opcode == OpConv && i.flags.to_result ? Engine.result_depth : Engine.bank_depth);
    residual_outside <= i.flags.residual &&
        (i.residual_base >= Engine.bank_depth || 32'(i.residual_offset) % Engine.drain_k != 0);
    map_outside <= 34'(i.in_base) + 34'(operation.map_words) > 34'(operation.bank_end);
    results_outside <= header.classes > Engine.result_depth || (header.result_pitch & BeatMask) != '0;
    in_unaligned <= (i.in_base & BeatMask) != '0;
    out_unaligned <= (i.out_base & BeatMask) != '0;
    pitch_unaligned <= (i.residual_base & BeatMask) != '0;
    images_unaligned <= (header.image_pitch & BeatMask) != '0;
    many_pixels <= operation.pixels > Engine.bank_depth;
    stands_still <= i.out_words == '0 && operation.pixels != 32'd1;
  end

  // The first word of a walk or, of FILL and SPILL, the beat of the maps behind the last lane's rows: by one adder.
  logic [WalkBits-1:0] first, addend;
  logic subtracts;
  assign first = Engine.external_maps && i.opcode == OpFill ? WalkBits'(i.in_base >> ByteBits) :
      Engine.external_maps && i.opcode == OpSpill ? WalkBits'(i.out_base >> ByteBits) : WalkBits'(i.in_base);
  always_comb begin
    subtracts = !map_here && (count == 5'd10 || count == 5'd11);
    addend = '0;
    case (count)
      5'd10, 5'd12: if (map_here) addend = WalkBits'(product);
      5'd11: if (map_here) addend = WalkBits'(product) << 8;
      5'd13: if (map_here) addend = WalkBits'(product) << 16;
      default: ;
    endcase
    if (subtracts) addend = ~WalkBits'(product);
  end

  // Exponents lie in words 1 to 5, steps in words 6 to 14. What is wrong, or at the program's end, takes the way of
  // every instruction.
  always_comb begin
    logic [MaxTaps-1:0][ExponentBits-1:0] nibbles;
    logic good;
    nibbles = i[32+:MaxTaps*ExponentBits];
    good = i.reserved0 == '0 && i.reserved15 == '0 && i.flags.reserved == '0 && !i.flags.striped &&
        !i.flags.load_ahead;
    values = '0;
    for (int unsigned n = 0; n < MaxTaps; n++) begin
      if (n < Taps) begin
        values.exponents[n] = nibbles[n][ExponentBits-2:0];
        values.steps[n] = i[6*32+n*8+:8];
      end
      if (nibbles[n][ExponentBits-1]) good = 1'b0;
    end
    is_taps = i.opcode == OpTaps && good && !last;
  end

  // What a CONV with a tile may not be. Its rows: each tap's steps in every sub-row but the last are added, and those
  // in the last one beside them.
  logic tile_unknown, tile_wrong, tile_too_large;
  if (Engine.tile != 0) begin : g_tile
    logic [2:0][11:0][7:0] every;  // every third tap's steps: one of 12 is less to choose from than one of 36
    logic [2:0][7:0] own;  // steps of three taps, one cycle after they are asked for
    logic [2:0] own_here;
    logic [9:0] steps, last_steps, steps_next, last_steps_next;
    logic [15:0] tap_last_steps;
    logic [23:0] rows;
    logic none, empty, shape_wrong;
    always_comb begin
      for (int unsigned tap = 0; tap < MaxTaps; tap++) every[tap%3][tap/3] = taps.steps[tap];
    end
    always_ff @(posedge clk) begin
      for (int unsigned j = 0; j < 3; j++) begin
        automatic logic [7:0] asked = every[j][count[3:0]];
        own[j] <= asked != '0 ? asked : i.steps;
        own_here[j] <= busy && count < (i.tile == 8'd4 ? 5'd12 : 5'((18 - j) / 3));  // taps below 36 or 16
      end
    end
    always_comb begin
      {steps_next, last_steps_next, none} = '0;
      for (int unsigned j = 0; j < 3; j++) begin
        if (own_here[j]) begin
          steps_next += 10'(own[j]);
          last_steps_next += 10'(own[j] < i.steps_last ? own[j] : i.steps_last);
          none |= own[j] == '0;
        end
      end
    end
    always_ff @(posedge clk) begin
      steps <= steps_next;
      last_steps <= last_steps_next;
      if (!busy) begin
        {steps, last_steps} <= '0;
        tap_steps <= '0;
        tap_last_steps <= '0;
        empty <= 1'b0;
      end else begin
        tap_steps <= tap_steps + 16'(steps);
        tap_last_steps <= tap_last_steps + 16'(last_steps);
        empty <= empty || none;
      end
      if (count == 5'd16) level_rows <= 32'(product) + 32'(tap_last_steps);
      if (count == 5'd17) level_rows <= level_rows + {product, 8'd0};
      if (count == 5'd20) rows <= product;
    end
    assign tile_unknown = i.tile != '0 && i.tile != 8'd2 && (i.tile != 8'd4 || Engine.tile != 4);
    // What the instruction alone says is settled long before it is asked for.
    always_ff @(posedge clk) begin
      shape_wrong <= i.kernel_h != 8'd3 || i.kernel_w != 8'd3 || i.stride_h != 8'd1 || i.stride_w != 8'd1 ||
          i.dilation_h != 8'd1 || i.dilation_w != 8'd1 || i.channel_step != '0 || i.flags.to_result ||
          32'(i.sub_rows) > Engine.transform_depth / (i.tile == 8'd4 ? 36 : 16);
    end
    assign tile_wrong = shape_wrong || empty || level_rows[31:16] != '0 || rows != 24'(i.rows);
    assign tile_too_large = many_pixels ||
        (operation.out_row_words >= Engine.bank_depth && i.out_height != 16'd1);
  end else begin : g_no_tile
    assign tile_unknown = i.tile != '0;
    assign {tile_wrong, tile_too_large, level_rows, tap_steps} = '0;
    logic unused;
    assign unused = ^{level_rows, tap_steps, sub_rows_before};
  end

  always_comb begin
    found = ErrorNone;
    case (i.opcode)
      OpTable: begin
        if (no_slice || no_sub_rows) found = ErrorCount;
        else if (beyond_tables) found = ErrorAddress;
        else if (odd_slice) found = ErrorCount;
        else if (in_unaligned) found = ErrorAddress;
      end
      OpLoad: begin
        if (no_slice || no_sub_rows || i.levels == '0 || no_outputs) found = ErrorCount;
        else if (beyond_tables || out_outside || many_pixels) found = ErrorAddress;
        else if (odd_slice || stands_still) found = ErrorCount;
        else if (images_unaligned || in_unaligned || (striped && pitch_unaligned)) found = ErrorAddress;
      end
      OpConv: begin
        if (no_outputs || no_kernel || i.levels == '0 || no_sub_rows || no_steps || no_rows ||
            (!i.flags.to_result && stands_still))
          found = ErrorCount;
        else if (tile_unknown) found = ErrorOpcode;
        else if (i.tile != '0 && tile_wrong) found = ErrorCount;
        else if (i.tile != '0 && tile_too_large) found = ErrorAddress;
        else if (in_outside || out_outside || residual_outside) found = ErrorAddress;
      end
      OpMaxPool: begin
        if (no_outputs || no_kernel || no_sub_rows || stands_still) found = ErrorCount;
        else if (in_outside || out_outside) found = ErrorAddress;
      end
      OpStoreResult: begin
        if (no_results) found = ErrorCount;
        else if (results_outside) found = ErrorAddress;
      end
      OpStoreMap: begin
        if (no_map) found = ErrorCount;
        else if (map_outside || out_unaligned) found = ErrorAddress;
      end
      OpFill: begin
        if (!Engine.external_maps) found = ErrorOpcode;
        else if (no_sub_rows || no_outputs || stands_still) found = ErrorCount;
        else if (out_outside || many_pixels || in_unaligned || pitch_unaligned || map_beyond) found = ErrorAddress;
      end
      OpSpill: begin
        if (!Engine.external_maps) found = ErrorOpcode;
        else if (no_sub_rows || no_inputs) found = ErrorCount;
        else if (in_outside || out_unaligned || pitch_unaligned || map_beyond) found = ErrorAddress;
      end
      OpStripes: begin
        if (!Engine.stripes || !header.striped) found = ErrorOpcode;
        else if (no_stripes) found = ErrorCount;
      end
      OpShift: begin
        if (!Engine.stripes || !header.striped) found = ErrorOpcode;
        else if (no_outputs || odd_shift || no_sub_rows || stands_still) found = ErrorCount;
        else if (in_outside || out_outside) found = ErrorAddress;
      end
      OpEnd: ;
      default: found = ErrorOpcode;
    endcase
    if (misplaced) found = ErrorCount;
    if (unknown) found = ErrorOpcode;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      busy <= 1'b0;
      taps_valid <= 1'b0;
      taps_here <= 1'b0;
      beat <= '0;
    end else begin
      if (!busy) busy <= in_valid && last_beat;
      else if (taps_here ? !taps_valid : prepared && out_ready) busy <= 1'b0;
      taps_here <= busy && is_taps && !take_taps;
      if (in_valid && in_ready) beat <= last_beat ? '0 : beat + 1'b1;
      if (take_taps) taps_valid <= 1'b1;
      else if (taps_ready) taps_valid <= 1'b0;
    end
    if (!rst_n || (out_valid && out_ready && last)) taps <= '0;  // a pass begins without
    else if (take_taps) taps <= values;
    if (!rst_n || (out_valid && out_ready && last)) {tabled, loaded, ahead, never_ahead} <= '0;
    else if (out_valid && out_ready) begin
      if (i.opcode == OpTable) tabled <= 1'b1;
      if (i.opcode == OpLoad) loaded <= 1'b1;
      if (i.opcode == OpLoad ? loaded : moves_map && !loaded) never_ahead <= 1'b1;
      if (i.flags.load_ahead) ahead <= 1'b1;
    end
    if (i.opcode == OpLoad) images_base <= StoreBits'(i.out_base);  // later instructions find it settled

    if (!busy) begin
      count <= '0;
      prepared <= 1'b0;
      last <= in_last;
      operation.pixels <= '0;
      operation.map_words <= '0;
      operation.map_beats <= '0;
      operation.out_row_words <= '0;
      for (int unsigned n = 0; n < BlockBeats; n++) begin
        if (32'(beat) == n) operation.code[n*Engine.bus_bits+:Engine.bus_bits] <= in_beat;
      end
    end else if (!prepared && !taps_here) begin
      count <= count + 5'd1;
      prepared <= count + 5'd1 == (map_here ? MapProducts : Engine.tile != 0 && i.tile != '0 ? TileProducts : Products);
      operation.problem <= found;
      operation.bank_end <= ahead || i.flags.load_ahead ? images_base : StoreBits'(Engine.bank_depth);
      operation.origin <= count == '0 ? first : operation.origin + addend + WalkBits'(subtracts);
      case (count)
        5'd2: operation.pixels <= operation.pixels + 32'(product);
        5'd3: operation.pixels <= operation.pixels + {product, 8'd0};
        5'd4: operation.map_words <= operation.map_words + 32'(product);
        5'd5: operation.map_words <= operation.map_words + {product, 8'd0};
        5'd6: operation.row_step <= product;
        5'd7: operation.column_step <= product;
        5'd8: operation.tap_row_step <= product;
        5'd9: operation.tap_column_step <= product;
        5'd12: if (!map_row) operation.out_row_words <= operation.out_row_words + 32'(product);
        5'd13: if (!map_row) operation.out_row_words <= operation.out_row_words + {product, 8'd0};
        5'd16: if (map_row) operation.out_row_words <= operation.out_row_words + 32'(product);
        5'd17: if (map_row) operation.out_row_words <= operation.out_row_words + {product, 8'd0};
        default: ;
      endcase
      operation.row_beats <= row_beats[15:0];
      if (Engine.external_maps && count == 5'd10) operation.map_beats <= 32'(product);
      if (Engine.external_maps && count == 5'd11) operation.map_beats <= operation.map_beats + {product, 8'd0};
    end
  end
endmodule
