// Prepares the next instruction while the one before runs: multiplies what the units only add, and finds
// what is wrong with it. Latency 12 cycles (16 where there are tiles), of which the core sees those that no
// instruction hides. A good TAPS waits beside the instruction that follows it, so that it hides none of them.
// Cost: one 16 x 8 multiplier in LUTs.
module cascade_decode
  import cascade_pkg::*;
#(
  parameter int unsigned DrainK = 1,
  parameter int unsigned BusBits = 128,
  parameter int unsigned BankDepth = 4096,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned ResultDepth = 16,
  parameter int unsigned TableWords = 1,
  parameter int unsigned TableLanes = 4,
  parameter int unsigned Tile = 0,
  parameter int unsigned TransformDepth = 1
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
  output exponents_t   taps
);
  localparam logic [3:0] Products = Tile == 0 ? 4'd11 : 4'd15;  // the last step sees the finished sums

  localparam logic [31:0] BeatMask = 32'(BusBits / 8 - 1);

  logic busy;
  logic [3:0] count;
  logic [15:0] a;
  logic [7:0] b;
  logic [23:0] product;
  logic [24:0] level_rows;  // of a tap in one level, where there is a tile
  logic stands_still;
  instruction_t i;
  error_e found;
  logic in_taps;
  exponents_t exponents;

  assign in_ready = !busy && !(in_taps && taps_valid);
  assign out_valid = busy && count == Products;
  assign i = operation.code;

  always_comb begin
    logic [23:0] partial[8];
    a = i.in_row_words;
    b = i.stride_h;
    case (count)
      4'd0: {a, b} = {i.in_row_words, i.stride_h};
      4'd1: {a, b} = {i.in_words, i.stride_w};
      4'd2: {a, b} = {i.in_row_words, i.dilation_h};
      4'd3: {a, b} = {i.in_words, i.dilation_w};
      4'd4: {a, b} = {i.in_row_words, i.pad_top};
      4'd5: {a, b} = {i.in_words, i.pad_left};
      4'd6: {a, b} = {i.out_width, i.out_height[7:0]};
      4'd7: {a, b} = {i.out_width, i.out_height[15:8]};
      4'd8: {a, b} = {i.in_row_words, i.in_height[7:0]};
      4'd9: {a, b} = {i.in_row_words, i.in_height[15:8]};
      4'd10: {a, b} = {i.out_width, i.out_words[7:0]};
      4'd11: {a, b} = {i.out_width, i.out_words[15:8]};
      4'd12: {a, b} = {i.sub_rows - 16'd1, i.steps};
      4'd13: {a, b} = {level_rows[15:0], i.levels};
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

  // Exponents lie in words 1 to 5. What is wrong, or at the program's end, takes the way of every instruction.
  always_comb begin
    logic [MaxTaps-1:0][ExponentBits-1:0] nibbles;
    logic good;
    nibbles = in_instruction[32+:MaxTaps*ExponentBits];
    good = in_instruction.reserved0 == '0 && in_instruction.reserved15 == '0 && in_instruction.flags.reserved == '0;
    for (int unsigned n = 0; n < MaxTaps; n++) begin
      exponents[n] = nibbles[n][ExponentBits-2:0];
      if (nibbles[n][ExponentBits-1]) good = 1'b0;
    end
    in_taps = in_instruction.opcode == OpTaps && good && !in_last;
  end

  // What a CONV with a tile may not be.
  logic tile_unknown, tile_wrong, tile_too_large;
  if (Tile != 0) begin : g_tile
    logic [23:0] tap_rows;
    logic [31:0] rows, words;
    always_ff @(posedge clk) begin
      if (count == 4'd12) level_rows <= 25'(product) + 25'(i.steps_last);
      if (count == 4'd13) tap_rows <= product;
    end
    assign rows = (32'(tap_rows) << (i.tile == 8'd4 ? 5 : 4)) + (i.tile == 8'd4 ? 32'(tap_rows) << 2 : '0);
    assign words = (32'(i.sub_rows) << (i.tile == 8'd4 ? 5 : 4)) + (i.tile == 8'd4 ? 32'(i.sub_rows) << 2 : '0);
    assign tile_unknown = i.tile != '0 && i.tile != 8'd2 && (i.tile != 8'd4 || Tile != 4);
    assign tile_wrong = i.kernel_h != 8'd3 || i.kernel_w != 8'd3 || i.stride_h != 8'd1 || i.stride_w != 8'd1 ||
        i.dilation_h != 8'd1 || i.dilation_w != 8'd1 || i.channel_step != '0 || i.flags.to_result ||
        words > TransformDepth || level_rows[24:16] != '0 || rows != 32'(i.rows);
    assign tile_too_large = operation.pixels > BankDepth ||
        (operation.out_row_words >= BankDepth && i.out_height != 16'd1);
  end else begin : g_no_tile
    assign tile_unknown = i.tile != '0;
    assign {tile_wrong, tile_too_large, level_rows} = '0;
    logic unused;
    assign unused = ^level_rows;
  end

  always_comb begin
    found = ErrorNone;
    case (i.opcode)
      OpTable: begin
        if (i.in_words == '0 || i.sub_rows == '0) found = ErrorCount;
        else if (32'(i.sub_rows) > TableWords || 32'(i.in_words) > TableLanes) found = ErrorAddress;
        else if ((i.in_words & (i.in_words - 16'd1)) != '0) found = ErrorCount;
        else if ((i.in_base & BeatMask) != '0) found = ErrorAddress;
      end
      OpLoad: begin
        if (i.in_words == '0 || i.sub_rows == '0 || i.levels == '0 || i.out_height == '0 || i.out_width == '0)
          found = ErrorCount;
        else if (32'(i.sub_rows) > TableWords || 32'(i.in_words) > TableLanes || i.out_base >= BankDepth ||
                 operation.pixels > BankDepth)
          found = ErrorAddress;
        else if ((i.in_words & (i.in_words - 16'd1)) != '0 || stands_still) found = ErrorCount;
        else if ((header.image_pitch & BeatMask) != '0) found = ErrorAddress;
      end
      OpConv: begin
        if (i.out_height == '0 || i.out_width == '0 || i.kernel_h == '0 || i.kernel_w == '0 || i.levels == '0 ||
            i.sub_rows == '0 || i.steps_last == '0 || (i.sub_rows != 16'd1 && i.steps == '0) ||
            i.channels == '0 || i.groups == '0 || i.rows == '0 || 32'(i.rows) > WeightDepth ||
            (!i.flags.to_result && stands_still))
          found = ErrorCount;
        else if (tile_unknown) found = ErrorOpcode;
        else if (i.tile != '0 && tile_wrong) found = ErrorCount;
        else if (i.tile != '0 && tile_too_large) found = ErrorAddress;
        else if (i.in_base >= BankDepth || (!i.flags.to_result && i.out_base >= BankDepth) ||
                 (i.flags.residual && (i.residual_base >= BankDepth || 32'(i.residual_offset) % DrainK != 0)))
          found = ErrorAddress;
      end
      OpMaxPool: begin
        if (i.out_height == '0 || i.out_width == '0 || i.kernel_h == '0 || i.kernel_w == '0 || i.sub_rows == '0 ||
            stands_still)
          found = ErrorCount;
        else if (i.in_base >= BankDepth || i.out_base >= BankDepth) found = ErrorAddress;
      end
      OpStoreResult: begin
        if (header.classes == '0) found = ErrorCount;
        else if (header.classes > ResultDepth || (header.result_pitch & BeatMask) != '0) found = ErrorAddress;
      end
      OpStoreMap: begin
        if (i.in_row_words == '0 || i.in_height == '0) found = ErrorCount;
        else if (34'(i.in_base) + 34'(operation.map_words) > 34'(BankDepth) || (i.out_base & BeatMask) != '0)
          found = ErrorAddress;
      end
      OpEnd: ;
      default: found = ErrorOpcode;
    endcase
    if (i.reserved0 != '0 || i.reserved15 != '0 || i.flags.reserved != '0) found = ErrorOpcode;
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
    end else if (count != Products) begin
      count <= count + 4'd1;
      operation.problem <= found;
      case (count)
        4'd0: operation.row_step <= product;
        4'd1: operation.column_step <= product;
        4'd2: operation.tap_row_step <= product;
        4'd3: operation.tap_column_step <= product;
        4'd4, 4'd5: operation.origin <= operation.origin - WalkBits'(product);
        4'd6: operation.pixels <= 32'(product);
        4'd7: operation.pixels <= operation.pixels + {product, 8'd0};
        4'd8: operation.map_words <= 32'(product);
        4'd9: operation.map_words <= operation.map_words + {product, 8'd0};
        4'd10: operation.out_row_words <= 32'(product);
        4'd11: operation.out_row_words <= operation.out_row_words + {product, 8'd0};
        default: ;
      endcase
    end else if (out_ready) busy <= 1'b0;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) taps_valid <= 1'b0;
    else if (in_valid && in_ready && in_taps) taps_valid <= 1'b1;
    else if (taps_ready) taps_valid <= 1'b0;
    if (in_valid && in_ready && in_taps) taps <= exponents;
  end
endmodule
