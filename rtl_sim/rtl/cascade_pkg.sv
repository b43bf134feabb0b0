// What every module of the engine shares: instruction layout, error codes, small functions.
// The layout is that of toolflow/engine/PROGRAM.md; toolflow/engine/isa.py encodes it.
package cascade_pkg;

  localparam logic [31:0] ProgramMagic = 32'h3146_5443;
  localparam logic [31:0] ProgramVersion = 32'd7;
  // A damaged count must not make the engine read gigabytes before the CRC can tell.
  localparam logic [31:0] MaxInstructions = 32'd65536;
  localparam logic [3:0] LeadingPlaces = 4'd8;  // of the order of values, that the confidence unit keeps

  localparam int unsigned AxiAddressBits = 64;
  localparam int unsigned BlockBits = 512;  // header, or one instruction
  localparam int unsigned WalkBits = 34;  // a bank address before its range is checked
  localparam int unsigned StoreBits = 24;  // the same where the address only ever grows
  localparam int unsigned ResultBits = 16;
  localparam int unsigned ShiftBits = 6;  // of a requantisation
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
    OpTaps = 8'd8,
    OpFill = 8'd9,
    OpSpill = 8'd10,
    OpStripes = 8'd11,
    OpShift = 8'd12
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
    ErrorNoImages = 4'd9,
    ErrorWeight = 4'd10
  } error_e;

  typedef struct packed {
    logic reserved;
    logic striped;
    logic load_ahead;
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
    logic [31:0]         map_words;        // in_height * in_row_words; of FILL and SPILL, of a row
    logic [31:0]         map_beats;        // of FILL and SPILL, of a lane's rows in external memory
    logic [31:0]         out_row_words;    // out_width * out_words, where the engine has tiles or stripes
    logic [15:0]         row_beats;        // of FILL and SPILL, of a row
    logic [StoreBits-1:0] bank_end;        // first bank word that it must not touch
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
    logic        narrow;  // a program of the narrow precision
    logic        striped;  // one image fills the array
    logic [31:0] map_bytes;
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

  // What the last STRIPES of a pass said: rows of the map, rows from a lane to the next, rows above the map in lane 0.
  // Before the first one all rows lie inside.
  typedef struct packed {
    logic [15:0] height;
    logic [15:0] rows;
    logic [7:0]  top;
  } stripes_t;
  localparam stripes_t AllInside = '{height: '1, default: '0};

  // Rows of one lane that lie inside the map: the first one, and the one behind the last.
  typedef struct packed {
    logic [7:0]  first;
    logic [15:0] past;
  } window_t;
  localparam window_t EveryRow = '{first: '0, past: '1};
  function automatic logic is_inside(logic [15:0] row, window_t window);
    return row >= 16'(window.first) && row < window.past;
  endfunction

  // What a mover takes of one lane, where all lanes hold rows of one image.
  typedef struct packed {
    logic                      settled;
    logic                      outside;  // of the image or the maps
    logic                      empty;
    logic [AxiAddressBits-1:0] address;  // of the first row in external memory
    logic [31:0]               beats;    // of all rows
    logic [31:0]               pixels;   // of all rows
    logic [StoreBits-1:0]      word;     // of the first row in the bank
  } lane_rows_t;

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

  // The residual's shift is that of engines with tiles, whose sums are finer.
  typedef struct packed {
    logic [3:0]  residual_shift;
    logic [7:0]  bias_high;
    logic [5:0]  shift;
    logic [15:0] residual_multiplier;
    logic [15:0] multiplier;
    logic [31:0] bias_low;
  } parameters_t;

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

  // Cycles of cascade_requantise: one more where two DSP blocks multiply the total.
  function automatic int unsigned requantise_latency(int unsigned total_bits, int unsigned port_bits);
    return total_bits > port_bits ? 8 : 7;
  endfunction

  // Tiles of 2^shift outputs that cover so many rows or columns of outputs.
  function automatic logic [15:0] tiles_in(logic [15:0] outputs, logic [1:0] shift);
    return 16'((17'(outputs) + (17'd1 << shift) - 17'd1) >> shift);
  endfunction

  // CRC-32 of zlib (reflected 0x04C11DB7): 32 steps of its register are linear. Row n names the bits whose parity is
  // bit n, so that synthesis sees trees of parities and not the 32 steps one behind the other.
  typedef logic [31:0][31:0] parities_t;
  function automatic parities_t crc32_parities();
    logic [31:0] value;
    crc32_parities = '0;
    for (int unsigned bit_in = 0; bit_in < 32; bit_in++) begin
      value = 32'd1 << bit_in;
      for (int unsigned i = 0; i < 32; i++) value = (value >> 1) ^ (value[0] ? 32'hEDB8_8320 : 32'd0);
      for (int unsigned n = 0; n < 32; n++) crc32_parities[n][bit_in] = value[n];
    end
  endfunction
  localparam parities_t Crc32Parities = crc32_parities();

  // The CRC after one more little-endian word.
  function automatic logic [31:0] crc32_word(logic [31:0] crc, logic [31:0] word);
    for (int unsigned n = 0; n < 32; n++) crc32_word[n] = ^((crc ^ word) & Crc32Parities[n]);
  endfunction

  // What is fixed when an engine is built: the fields of toolflow.engine.config.EngineConfig, in its order.
  typedef enum logic {
    MultiplierDsp = 1'b0,
    MultiplierLut = 1'b1
  } multiplier_e;
  typedef enum logic [1:0] {
    DspPrimitiveNone = 2'd0,
    DspPrimitiveDsp48e1 = 2'd1,
    DspPrimitiveDsp48e2 = 2'd2,
    DspPrimitiveMult18x18d = 2'd3
  } dsp_primitive_e;
  typedef enum logic {
    BankMemoryBlock = 1'b0,
    BankMemoryUltra = 1'b1
  } bank_memory_e;
  typedef enum logic {
    WeightMemoryBlock = 1'b0,
    WeightMemoryUltra = 1'b1
  } weight_memory_e;
  typedef struct packed {
    int unsigned    lanes_k;
    int unsigned    lanes_p;
    int unsigned    slots;
    int unsigned    drain_k;
    int unsigned    sub_row;
    int unsigned    weight_bits;
    int unsigned    activation_bits;
    int unsigned    narrow_bits;
    int unsigned    accumulator_bits;
    int unsigned    bias_bits;
    int unsigned    bus_bits;
    int unsigned    bank_depth;
    int unsigned    weight_depth;
    int unsigned    result_depth;
    int unsigned    input_lanes;
    int unsigned    table_words;
    int unsigned    tile;
    int unsigned    transform_cycles;
    int unsigned    transform_depth;
    multiplier_e    multiplier;
    dsp_primitive_e dsp_primitive;
    int unsigned    pack_k;
    int unsigned    pack_p;
    int unsigned    chain;
    int unsigned    fabric_lanes;
    bit             gather;
    int unsigned    index_k;
    bank_memory_e   bank_memory;
    weight_memory_e weight_memory;
    int unsigned    rows_ahead;
    int unsigned    parameter_sets;
    bit             confidence;
    bit             external_maps;
    bit             stripes;
  } engine_t;

  // Of a module that is elaborated alone, as lint does: every unit is built.
  localparam engine_t DefaultEngine = '{
    lanes_k: 16,
    lanes_p: 8,
    slots: 1,
    drain_k: 1,
    sub_row: 8,
    weight_bits: 8,
    activation_bits: 8,
    narrow_bits: 0,
    accumulator_bits: 32,
    bias_bits: 40,
    bus_bits: 128,
    bank_depth: 4096,
    weight_depth: 1024,
    result_depth: 16,
    input_lanes: 4,
    table_words: 1,
    tile: 4,
    transform_cycles: 1,
    transform_depth: 1024,
    multiplier: MultiplierDsp,
    dsp_primitive: DspPrimitiveNone,
    pack_k: 1,
    pack_p: 1,
    chain: 1,
    fabric_lanes: 0,
    gather: 1'b1,
    index_k: 1,
    bank_memory: BankMemoryBlock,
    weight_memory: WeightMemoryBlock,
    rows_ahead: 0,
    parameter_sets: 2,
    confidence: 1'b1,
    external_maps: 1'b1,
    stripes: 1'b1
  };

  // Bits of the address of a word in the banks.
  function automatic int unsigned bank_bits(engine_t engine);
    return index_width(engine.bank_depth);
  endfunction

  // Bits of the address of a result.
  function automatic int unsigned result_address_bits(engine_t engine);
    return index_width(engine.result_depth);
  endfunction

  // Bits of the address of a word of the two transformed tiles.
  function automatic int unsigned buffer_bits(engine_t engine);
    return index_width(2 * engine.transform_depth);
  endfunction

  // Bits of the number of a lane.
  function automatic int unsigned lane_bits(engine_t engine);
    return index_width(engine.lanes_p);
  endfunction

  // Bits of the number of a chunk: what the drain takes of a group in one cycle.
  function automatic int unsigned chunk_bits(engine_t engine);
    return index_width(engine.lanes_k / engine.drain_k);
  endfunction

  // Bits of a row or a column of a tile's outputs.
  function automatic int unsigned output_bits(engine_t engine);
    return index_width(maximum(engine.tile, 1));
  endfunction

  // Bits of a channel's place in its word, which are those of a weight's index.
  function automatic int unsigned index_bits(engine_t engine);
    return index_width(engine.sub_row);
  endfunction

  // Whether the engine runs programs of two precisions. Wide ones have half of its lanes, or all if there is one
  // precision: lane p of a wide program lies in the banks p and p + wide_lanes, of the two halves.
  function automatic bit two_precisions(engine_t engine);
    return engine.narrow_bits != 0;
  endfunction
  function automatic int unsigned halves(engine_t engine);
    return two_precisions(engine) ? 2 : 1;
  endfunction
  function automatic int unsigned wide_lanes(engine_t engine);
    return engine.lanes_p / halves(engine);
  endfunction
  // Lanes of a program, and images of its passes.
  function automatic int unsigned lanes_of(engine_t engine, logic narrow);
    return two_precisions(engine) && !narrow ? wide_lanes(engine) : engine.lanes_p;
  endfunction

  function automatic int unsigned pass_images(engine_t engine, logic narrow, logic striped);
    return engine.stripes && striped ? 1 : lanes_of(engine, narrow);
  endfunction

  // Bits of an element of the banks' words, and of a word.
  function automatic int unsigned stored_bits(engine_t engine);
    return two_precisions(engine) ? engine.narrow_bits : engine.activation_bits;
  endfunction
  function automatic int unsigned word_bits(engine_t engine);
    return engine.sub_row * stored_bits(engine);
  endfunction

  // Weight rows that the ring holds: two groups with several positions, as many as rows that go through need, and those
  // ahead.
  function automatic int unsigned ring_rows(engine_t engine);
    return maximum(2 * engine.weight_depth, 32) + engine.rows_ahead;
  endfunction

  // Instructions that are read before they run. The loader of weights sees no further: where it may run far ahead, many.
  function automatic int unsigned instructions_ahead(engine_t engine);
    return engine.parameter_sets > 2 ? 64 : 8;
  endfunction

  // Channels that are written to a bank together, and how many times a word holds them.
  function automatic int unsigned granule_channels(engine_t engine);
    return greatest_common_divisor(engine.lanes_k, engine.sub_row);
  endfunction
  function automatic int unsigned granules_per_word(engine_t engine);
    return engine.sub_row / granule_channels(engine);
  endfunction

  // Channels of a pixel word that the tables cover: the whole word where a pixel has several.
  function automatic int unsigned table_lanes(engine_t engine);
    return engine.table_words > 1 ? engine.sub_row : engine.input_lanes;
  endfunction

  // Bits of one digit of a weight or an input that is wider than the array.
  function automatic int unsigned digit_bits(engine_t engine);
    return engine.weight_bits < engine.activation_bits ? engine.weight_bits : engine.activation_bits;
  endfunction

  // Bits of an entry of the input tables and, between its digits, of one more than its range.
  localparam int unsigned EntryValueBits = 10;

  // Bits of the digits into which LOAD cuts an entry.
  function automatic int unsigned entry_digit_bits(engine_t engine);
    return two_precisions(engine) ? engine.narrow_bits : digit_bits(engine);
  endfunction

  // Balanced digits that hold every signed entry.
  function automatic int unsigned digits_of_entry(engine_t engine);
    int unsigned largest;
    largest = 0;
    for (int unsigned n = 1; n <= 8; n++) begin
      largest = (largest << entry_digit_bits(engine)) + (1 << (entry_digit_bits(engine) - 1)) - 1;
      if (largest >= 127) return n;
    end
    return 8;
  endfunction

  // Bits of a weight row, with or without its indices (an engine without gather takes none), and of the widest item of
  // the weight stream.
  function automatic int unsigned row_bits(engine_t engine, bit indexed);
    return engine.lanes_k * engine.slots * engine.weight_bits +
        (indexed && engine.gather ? engine.lanes_k / engine.index_k * engine.slots * index_bits(engine) : 0);
  endfunction
  function automatic int unsigned item_bits(engine_t engine);
    return maximum(row_bits(engine, 1'b1), RecordBits);
  endfunction

  // Bits of the multipliers' second operand, signed, and of an element of the words that it is taken from: an
  // activation as it lies in the banks or, where the engine has tiles, the operand itself.
  function automatic int unsigned operand_bits(engine_t engine);
    return operand_width(engine.tile, engine.activation_bits);
  endfunction
  function automatic int unsigned element_bits(engine_t engine);
    return engine.tile == 0 ? stored_bits(engine) : operand_bits(engine);
  endfunction

  // Width of the wider operand of the device's DSP blocks, signed.
  function automatic int unsigned port_bits(engine_t engine);
    case (engine.dsp_primitive)
      DspPrimitiveDsp48e2: return 27;
      DspPrimitiveMult18x18d: return 18;
      default: return 25;
    endcase
  endfunction

endpackage
