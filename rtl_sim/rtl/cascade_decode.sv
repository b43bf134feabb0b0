// Prepares the next instruction while the one before runs: multiplies what the units only add, and finds
// what is wrong with it. Latency 12 cycles (13 where there are tiles, 18 with a tile, the rows of whose taps are added three
// by three), of which the core sees those that no instruction hides. A good TAPS waits beside the instruction that follows
// it, so that it hides none of them.
// Cost: one 16 x 8 multiplier in LUTs.
module cascade_decode
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned TableLanes = table_lanes(Engine)
) (
  input  logic         clk,
  input  logic         rst_n,
  input  header_t      header,
  input  logic         in_valid,
  output logic         in_ready,
  input  instruction_t in_instruction,
  input  logic         in_last,
  output logic         out_valid,
  input  logic         out_ready,
  output operation_t   operation,
  output logic         last,
  output logic         taps_valid,  // before `operation`
  input  logic         taps_ready,
  output taps_t        taps
);
  // The last step sees the finished sums.
  localparam logic [4:0] Products = Engine.tile == 0 ? 5'd11 : 5'd12, TileProducts = 5'd17;
  localparam int unsigned Taps = Engine.tile == 2 ? 16 : MaxTaps;  // of its largest tile: no other is ever asked for
  localparam logic [31:0] BeatMask = 32'(Engine.bus_bits / 8 - 1);

  logic busy;
  logic [4:0] count;
  logic [15:0] a;
  logic [7:0] b;
  logic [23:0] product;
  logic [31:0] level_rows;  // of all taps in one level, where there is a tile
  logic [15:0] tap_steps;  // of all taps in one sub-row
  logic [15:0] sub_rows_before;  // the last one
  logic stands_still, prepared;
  instruction_t i;
  error_e found;
  logic in_taps;
  taps_t in_values;

  assign in_ready = !busy && !(in_taps && taps_valid);
  assign prepared = count == (Engine.tile != 0 && i.tile != '0 ? TileProducts : Products);
  assign out_valid = busy && prepared;
  assign i = operation.code;
  assign sub_rows_before = i.sub_rows - 16'd1;

  always_comb begin
    logic [23:0] partial[8];
    a = i.in_row_words;
    b = i.stride_h;
    case (count)
      5'd0: {a, b} = {i.in_row_words, i.stride_h};
      5'd1: {a, b} = {i.in_words, i.stride_w};
      5'd2: {a, b} = {i.in_row_words, i.dilation_h};
      5'd3: {a, b} = {i.in_words, i.dilation_w};
      5'd4: {a, b} = {i.in_row_words, i.pad_top};
      5'd5: {a, b} = {i.in_words, i.pad_left};
      5'd6: {a, b} = {i.out_width, i.out_height[7:0]};
      5'd7: {a, b} = {i.out_width, i.out_height[15:8]};
      5'd8: {a, b} = {i.in_row_words, i.in_height[7:0]};
      5'd9: {a, b} = {i.in_row_words, i.in_height[15:8]};
      5'd10: {a, b} = {i.out_width, i.out_words[7:0]};
      5'd11: {a, b} = {i.out_width, i.out_words[15:8]};
      5'd13: {a, b} = {tap_steps, sub_rows_before[7:0]};
      5'd14: {a, b} = {tap_steps, sub_rows_before[15:8]};
      5'd15: {a, b} = {level_rows[15:0], i.levels};
      default: ;
    endcase
    // Partial products, added pair by pair, so that no DSP block is spent on it.
    for (int unsigned n = 0; n < 8; n++) partial[n] = b[n] ? 24'(a) << n : '0;
    for (int unsigned half = 4; half != 0; half /= 2) begin
      for (int unsigned n = 0; n < half; n++) partial[n] = partial[n] + partial[n+half];
    end
    product = partial[0];
  end

  // All positions in one place: no address would ever leave the bank, whatever the number of positions is.
  assign stands_still = i.out_words == '0 && operation.pixels != 32'd1;

  // Exponents lie in words 1 to 5, steps in words 6 to 14. What is wrong, or at the program's end, takes the way of every
  // instruction.
  always_comb begin
    logic [MaxTaps-1:0][ExponentBits-1:0] nibbles;
    logic good;
    nibbles = in_instruction[32+:MaxTaps*ExponentBits];
    good = in_instruction.reserved0 == '0 && in_instruction.reserved15 == '0 && in_instruction.flags.reserved == '0;
    in_values = '0;
    for (int unsigned n = 0; n < MaxTaps; n++) begin
      if (n < Taps) begin
        in_values.exponents[n] = nibbles[n][ExponentBits-2:0];
        in_values.steps[n] = in_instruction[6*32+n*8+:8];
      end
      if (nibbles[n][ExponentBits-1]) good = 1'b0;
    end
    in_taps = in_instruction.opcode == OpTaps && good && !in_last;
  end

  // What a CONV with a tile may not be. Its rows: each tap's steps in every sub-row but the last are added, and those in
  // the last one beside them.
  logic tile_unknown, tile_wrong, tile_too_large;
  if (Engine.tile != 0) begin : g_tile
    logic [2:0][11:0][7:0] every;  // every third tap's steps: one of 12 is less to choose from than one of 36
    logic [2:0][7:0] own;  // steps of three taps, one cycle after they are asked for
    logic [2:0] own_here;
    logic [9:0] steps, last_steps;
    logic [15:0] tap_last_steps;
    logic [23:0] rows;
    logic none, empty;
    logic [31:0] words;
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
      {steps, last_steps, none} = '0;
      for (int unsigned j = 0; j < 3; j++) begin
        if (own_here[j]) begin
          steps += 10'(own[j]);
          last_steps += 10'(own[j] < i.steps_last ? own[j] : i.steps_last);
          none |= own[j] == '0;
        end
      end
    end
    always_ff @(posedge clk) begin
      if (!busy) begin
        tap_steps <= '0;
        tap_last_steps <= '0;
        empty <= 1'b0;
      end else begin
        tap_steps <= tap_steps + 16'(steps);
        tap_last_steps <= tap_last_steps + 16'(last_steps);
        empty <= empty || none;
      end
      if (count == 5'd13) level_rows <= 32'(product) + 32'(tap_last_steps);
      if (count == 5'd14) level_rows <= level_rows + {product, 8'd0};
      if (count == 5'd15) rows <= product;
    end
    assign words = (32'(i.sub_rows) << (i.tile == 8'd4 ? 5 : 4)) + (i.tile == 8'd4 ? 32'(i.sub_rows) << 2 : '0);
    assign tile_unknown = i.tile != '0 && i.tile != 8'd2 && (i.tile != 8'd4 || Engine.tile != 4);
    assign tile_wrong = i.kernel_h != 8'd3 || i.kernel_w != 8'd3 || i.stride_h != 8'd1 || i.stride_w != 8'd1 ||
        i.dilation_h != 8'd1 || i.dilation_w != 8'd1 || i.channel_step != '0 || i.flags.to_result ||
        words > Engine.transform_depth || empty || level_rows[31:16] != '0 || rows != 24'(i.rows);
    assign tile_too_large = operation.pixels > Engine.bank_depth ||
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
        if (i.in_words == '0 || i.sub_rows == '0) found = ErrorCount;
        else if (32'(i.sub_rows) > Engine.table_words || 32'(i.in_words) > TableLanes) found = ErrorAddress;
        else if ((i.in_words & (i.in_words - 16'd1)) != '0) found = ErrorCount;
        else if ((i.in_base & BeatMask) != '0) found = ErrorAddress;
      end
      OpLoad: begin
        if (i.in_words == '0 || i.sub_rows == '0 || i.levels == '0 || i.out_height == '0 || i.out_width == '0)
          found = ErrorCount;
        else if (32'(i.sub_rows) > Engine.table_words || 32'(i.in_words) > TableLanes ||
                 i.out_base >= Engine.bank_depth || operation.pixels > Engine.bank_depth)
          found = ErrorAddress;
        else if ((i.in_words & (i.in_words - 16'd1)) != '0 || stands_still) found = ErrorCount;
        else if ((header.image_pitch & BeatMask) != '0) found = ErrorAddress;
      end
      OpConv: begin
        if (i.out_height == '0 || i.out_width == '0 || i.kernel_h == '0 || i.kernel_w == '0 || i.levels == '0 ||
            i.sub_rows == '0 || i.steps_last == '0 || (i.tile == '0 && i.sub_rows != 16'd1 && i.steps == '0) ||
            i.channels == '0 || i.groups == '0 || i.rows == '0 || 32'(i.rows) > Engine.weight_depth ||
            (!i.flags.to_result && stands_still))
          found = ErrorCount;
        else if (tile_unknown) found = ErrorOpcode;
        else if (i.tile != '0 && tile_wrong) found = ErrorCount;
        else if (i.tile != '0 && tile_too_large) found = ErrorAddress;
        else if (i.in_base >= Engine.bank_depth || (!i.flags.to_result && i.out_base >= Engine.bank_depth) ||
                 (i.flags.residual && (i.residual_base >= Engine.bank_depth ||
                                       32'(i.residual_offset) % Engine.drain_k != 0)))
          found = ErrorAddress;
      end
      OpMaxPool: begin
        if (i.out_height == '0 || i.out_width == '0 || i.kernel_h == '0 || i.kernel_w == '0 || i.sub_rows == '0 ||
            stands_still)
          found = ErrorCount;
        else if (i.in_base >= Engine.bank_depth || i.out_base >= Engine.bank_depth) found = ErrorAddress;
      end
      OpStoreResult: begin
        if (header.classes == '0) found = ErrorCount;
        else if (header.confidence_m > header.confidence_n || header.confidence_n > LeadingPlaces) found = ErrorCount;
        else if (header.classes > Engine.result_depth || (header.result_pitch & BeatMask) != '0) found = ErrorAddress;
      end
      OpStoreMap: begin
        if (i.in_row_words == '0 || i.in_height == '0) found = ErrorCount;
        else if (34'(i.in_base) + 34'(operation.map_words) > 34'(Engine.bank_depth) || (i.out_base & BeatMask) != '0)
          found = ErrorAddress;
      end
      OpEnd: ;
      default: found = ErrorOpcode;
    endcase
    if (i.reserved0 != '0 || i.reserved15 != '0 || i.flags.reserved != '0 ||
        (!Engine.gather && i.opcode == OpConv && i.flags.indexed))
      found = ErrorOpcode;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      busy <= 1'b0;
      count <= '0;
      last <= 1'b0;
      operation <= '0;
    end else if (!busy) begin
      if (in_valid && !in_taps) begin
        busy <= 1'b1;
        count <= '0;
        last <= in_last;
        operation.code <= in_instruction;
        operation.origin <= WalkBits'(in_instruction.in_base);
        operation.pixels <= '0;
        operation.map_words <= '0;
      end
    end else if (!prepared) begin
      count <= count + 5'd1;
      operation.problem <= found;
      case (count)
        5'd0: operation.row_step <= product;
        5'd1: operation.column_step <= product;
        5'd2: operation.tap_row_step <= product;
        5'd3: operation.tap_column_step <= product;
        5'd4, 5'd5: operation.origin <= operation.origin - WalkBits'(product);
        5'd6: operation.pixels <= 32'(product);
        5'd7: operation.pixels <= operation.pixels + {product, 8'd0};
        5'd8: operation.map_words <= 32'(product);
        5'd9: operation.map_words <= operation.map_words + {product, 8'd0};
        5'd10: operation.out_row_words <= 32'(product);
        5'd11: operation.out_row_words <= operation.out_row_words + {product, 8'd0};
        default: ;
      endcase
    end else if (out_ready) busy <= 1'b0;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) taps_valid <= 1'b0;
    else if (in_valid && in_ready && in_taps) taps_valid <= 1'b1;
    else if (taps_ready) taps_valid <= 1'b0;
    if (!rst_n || (out_valid && out_ready && last)) taps <= '0;  // a pass begins without
    else if (in_valid && in_ready && in_taps) taps <= in_values;
  end
endmodule
