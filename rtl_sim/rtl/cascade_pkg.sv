// What every module of the engine shares: instruction layout, error codes, small functions.
// The layout is that of toolflow/engine/PROGRAM.md; toolflow/engine/isa.py encodes it.
package cascade_pkg;

  localparam logic [31:0] ProgramMagic = 32'h3146_5443;
  localparam logic [31:0] ProgramVersion = 32'd3;
  // A damaged count must not make the engine read gigabytes before the CRC can tell.
  localparam logic [31:0] MaxInstructions = 32'd4096;
  localparam logic [3:0] LeadingPlaces = 4'd8;  // of the order of values, that the confidence unit keeps

  localparam int unsigned AxiAddressBits = 64;
  localparam int unsigned BlockBits = 512;  // header, or one instruction
  localparam int unsigned WalkBits = 34;  // a bank address before its range is checked
  localparam int unsigned StoreBits = 24;  // the same where the address only ever grows
  localparam int unsigned ResultBits = 16;
  localparam int unsigned RecordBits = 128;  // one channel's parameters
  localparam int unsigned MaxTaps = 36;  // of a tile
  localparam int unsigned ExponentBits = 4;  // of a tap in TAPS; the highest must be 0

  typedef enum logic [7:0] {
    OpTable = 8'd1,
    OpLoad = 8'd2,
    OpConv = 8'd3,
    OpMaxPool = 8'd4,
    OpStoreResult = 8'd5,
    OpStoreMap = 8'd6,
    OpEnd = 8'd7,
    OpTaps = 8'd8
  } opcode_e;

  typedef enum logic [3:0] {
    ErrorNone = 4'd0,
    ErrorMagic = 4'd1,
    ErrorSignature = 4'd2,
    ErrorCrc = 4'd3,
    ErrorOpcode = 4'd4,
    ErrorAddress = 4'd5,
    ErrorAxiRead = 4'd6,
    ErrorAxiWrite = 4'd7,
    ErrorCount = 4'd8,
    ErrorNoImages = 4'd9
  } error_e;

  typedef struct packed {
    logic [2:0] reserved;
    logic indexed;
    logic to_result;
    logic residual_signed;
    logic residual;
    logic input_signed;
  } flags_t;

  // Word 15 first: the first field of a packed struct holds the highest bits.
  typedef struct packed {
    logic [7:0]  reserved15;
    logic [7:0]  tile;
    logic [15:0] residual_channels;
    logic [31:0] residual_base;
    logic [15:0] residual_row_words;
    logic [15:0] rows;
    logic [15:0] upper;
    logic [15:0] lower;
    logic [15:0] residual_offset;
    logic [15:0] channel_step;
    logic [7:0]  steps_last;
    logic [7:0]  steps;
    logic [15:0] sub_rows;
    logic [7:0]  dilation_w;
    logic [7:0]  dilation_h;
    logic [7:0]  pad_left;
    logic [7:0]  pad_top;
    logic [7:0]  stride_w;
    logic [7:0]  stride_h;
    logic [7:0]  kernel_w;
    logic [7:0]  kernel_h;
    logic [15:0] groups;
    logic [15:0] channels;
    logic [15:0] residual_pixel_words;
    logic [15:0] out_words;
    logic [15:0] out_width;
    logic [15:0] out_height;
    logic [31:0] out_base;
    logic [15:0] in_row_words;
    logic [15:0] in_words;
    logic [15:0] in_width;
    logic [15:0] in_height;
    logic [31:0] in_base;
    logic [7:0]  reserved0;
    logic [7:0]  levels;
    flags_t      flags;
    opcode_e     opcode;
  } instruction_t;

  // Of each tap: the left shift of its sum, and its steps in each sub-row, 0 where those of the CONV hold.
  typedef logic [MaxTaps-1:0][ExponentBits-2:0] exponents_t;
  typedef struct packed {
    exponents_t              exponents;
    logic [MaxTaps-1:0][7:0] steps;
  } taps_t;

  // An instruction with what the units would otherwise have to multiply for themselves.
  typedef struct packed {
    logic [23:0]         row_step;         // stride_h * in_row_words
    logic [23:0]         column_step;      // stride_w * in_words
    logic [23:0]         tap_row_step;     // dilation_h * in_row_words
    logic [23:0]         tap_column_step;  // dilation_w * in_words
    logic [WalkBits-1:0] origin;           // word of the first position's first tap, modulo 2^WalkBits
    logic [31:0]         pixels;           // out_height * out_width
    logic [31:0]         map_words;        // in_height * in_row_words
    logic [31:0]         out_row_words;    // out_width * out_words, where the engine has tiles
    error_e              problem;          // what is wrong with it, found before it runs
    instruction_t        code;
  } operation_t;

  typedef struct packed {
    logic [31:0] image_pitch;
    logic [31:0] result_pitch;
    logic [31:0] classes;
    logic [15:0] confidence_k;
    logic [3:0]  confidence_m;
    logic [3:0]  confidence_n;
    logic [31:0] threshold;
    logic [31:0] weight_beats;
    logic [31:0] instructions;
  } header_t;

  // What the weight loader needs of an instruction.
  typedef struct packed {
    logic        is_conv;
    logic        is_end;
    logic        last;
    logic        indexed;
    logic [15:0] channels;
    logic [15:0] groups;
    logic [15:0] rows;
  } packet_t;

  // One channel's record in the weight stream, and what the drain keeps of it.
  typedef struct packed {
    logic [39:0] reserved;
    logic [7:0]  residual_shift;
    logic [7:0]  bias_high;
    logic [7:0]  shift;
    logic [15:0] residual_multiplier;
    logic [15:0] multiplier;
    logic [31:0] bias_low;
  } record_t;

  // The first two are those of engines with tiles, whose sums are finer.
  typedef struct packed {
    logic [3:0]  residual_shift;
    logic [7:0]  bias_high;
    logic [5:0]  shift;
    logic [15:0] residual_multiplier;
    logic [15:0] multiplier;
    logic [31:0] bias_low;
  } parameters_t;
  localparam int unsigned TileParametersBits = 12;

  // Bits that index `count` things; at least 1.
  function automatic int unsigned index_width(int unsigned count);
    return count > 1 ? $clog2(count) : 1;
  endfunction

  function automatic int unsigned maximum(int unsigned a, int unsigned b);
    return a > b ? a : b;
  endfunction

  function automatic int unsigned greatest_common_divisor(int unsigned a, int unsigned b);
    int unsigned x, y, rest;
    x = a;
    y = b;
    for (int unsigned i = 0; i < 32; i++) begin
      if (y != 0) begin
        rest = x % y;
        x = y;
        y = rest;
      end
    end
    return x;
  endfunction

  // Width of the multipliers' second operand, signed: an activation of either sign, or one of a tile of at most
  // `tile` outputs in each direction, where 4, or 68, is the sum of a tap's positive coefficients.
  function automatic int unsigned operand_width(int unsigned tile, int unsigned activation_bits);
    int unsigned largest;
    largest = (tile == 4 ? 68 : tile == 2 ? 4 : 1) * ((1 << activation_bits) - 1);
    return $clog2(largest + 1) + 1;
  endfunction

  // CRC-32 of zlib (reflected 0x04C11DB7) after one more little-endian word.
  function automatic logic [31:0] crc32_word(logic [31:0] crc, logic [31:0] word);
    logic [31:0] value;
    value = crc ^ word;
    for (int unsigned i = 0; i < 32; i++) value = (value >> 1) ^ (value[0] ? 32'hEDB8_8320 : 32'd0);
    return value;
  endfunction

endpackage
