// Reads the program: once to check it (magic, version, signature, CRC), then the instructions again in
// each pass, for the core (beat by beat) and, what matters of them, for the weight loader, which runs ahead.
// Cost: two FIFOs, small ones if `Depth` is 8, and a CRC of one word per cycle: 16 cycles per instruction before the first pass.
module cascade_fetch
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  parameter int unsigned Depth = 8,
  parameter logic [63:0] Signature = 64'd0
) (
  input  logic                       clk,
  input  logic                       rst_n,
  input  logic                       start,
  input  logic [AxiAddressBits-1:0]  program_address,
  input  logic [31:0]                image_count,
  output logic                       checked,  // one cycle: `header` is good, passes begin
  output header_t                    header,
  output error_e                     problem,
  // AXI read requests and what they return
  output logic                       request_valid,
  input  logic                       request_ready,
  output logic [AxiAddressBits-1:0]  request_address,
  output logic [31:0]                request_beats,
  input  logic                       data_valid,
  output logic                       data_ready,
  input  logic [Engine.bus_bits-1:0] data,
  // to the core
  output logic                       core_valid,
  input  logic                       core_ready,
  output logic [Engine.bus_bits-1:0] core_beat,
  output logic                       core_last,  // of the program's last instruction
  // to the weight loader
  output logic                       packet_valid,
  input  logic                       packet_ready,
  output packet_t                    packet
);
  localparam int unsigned BlockBeats = BlockBits / Engine.bus_bits;
  localparam int unsigned BeatBits = index_width(BlockBeats);
  localparam int unsigned BeatWords = Engine.bus_bits / 32;
  localparam int unsigned WordBits = $clog2(BeatWords);
  localparam int unsigned CountBits = $clog2(MaxInstructions + 1);
  localparam int unsigned CreditBits = $clog2(Depth + 1);
  localparam logic [AxiAddressBits-1:0] BlockBytes = AxiAddressBits'(BlockBits / 8);

  typedef logic [CountBits-1:0] count_t;

  typedef enum logic [2:0] {Idle, AskHeader, Header, AskCheck, Check, Compare, Stream} state_e;
  state_e state;
  logic checking, streaming, stream_ready;
  assign checking = state == Header || state == Check;
  assign streaming = state == Stream;

  // What is checked: a word of 32 bits in each cycle, and its place in its block of 16.
  logic [BeatWords-1:0][31:0] held;
  logic held_valid, beat_ends, word_valid, block_ends;
  logic [3:0] place, word_place;
  logic [31:0] word;
  assign beat_ends = held_valid && place[WordBits-1:0] == '1;
  assign block_ends = word_valid && word_place == '1;
  assign data_ready = checking ? !held_valid || beat_ends : streaming && stream_ready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      held_valid <= 1'b0;
      word_valid <= 1'b0;
      place <= '0;
    end else begin
      if (checking && data_valid && data_ready) held_valid <= 1'b1;
      else if (beat_ends) held_valid <= 1'b0;
      if (held_valid) place <= place + 4'd1;
      word_valid <= held_valid;
    end
    if (checking && data_ready) held <= data;
    word <= held[place[WordBits-1:0]];
    word_place <= place;
  end

  logic [31:0] crc, crc_expected;
  logic wrong_magic, wrong_signature, too_many, crc_equal;
  count_t instructions, blocks_left;
  assign instructions = count_t'(header.instructions);
  assign crc_equal = ~crc == crc_expected;

  always_ff @(posedge clk) begin
    if (state == Idle) crc <= '1;
    else if (word_valid && (state == Check || word_place != '1)) crc <= crc32_word(crc, word);
    if (state == Header && word_valid) begin
      case (word_place)
        4'd0: wrong_magic <= word != ProgramMagic;
        4'd1: wrong_magic <= wrong_magic || word != ProgramVersion;
        4'd2: wrong_signature <= word != Signature[31:0];
        4'd3: wrong_signature <= wrong_signature || word != Signature[63:32];
        4'd4: begin
          header.instructions <= 32'(count_t'(word));
          blocks_left <= count_t'(word);
          too_many <= word > MaxInstructions;
        end
        4'd5: header.image_pitch <= word;
        4'd6: header.result_pitch <= word;
        4'd7: header.classes <= word;
        4'd8: begin
          header.confidence_k <= word[15:0];
          header.confidence_m <= word[19:16];
          header.confidence_n <= word[23:20];
        end
        4'd9: header.threshold <= word;
        4'd10: header.weight_beats <= word;
        4'd11: begin
          header.narrow <= word[0:0];
          header.striped <= word[1:1];
        end
        4'd12: header.map_bytes <= word;
        4'd15: crc_expected <= word;
        default: ;
      endcase
    end
    if (state == Check && block_ends) blocks_left <= blocks_left - 1'b1;
  end

  // Requests. In a pass, one for each instruction for which the core's FIFO has a place.
  logic [AxiAddressBits-1:0] address;
  count_t asks_left;  // instructions of the pass to ask for
  logic [31:0] images_left;  // of the passes not yet asked for
  logic [CreditBits-1:0] credits;  // free places in the core's FIFO, less those asked for
  logic pass_open, asked, moving, moved, last_ask, instruction_taken;
  assign request_valid = state == AskHeader || state == AskCheck ||
      (streaming && credits != '0 && pass_open && !moving && !moved);
  assign request_address = address;
  assign request_beats = state == AskCheck ? 32'(instructions) << $clog2(BlockBeats) : 32'(BlockBeats);
  assign asked = streaming && request_valid && request_ready;  // two cycles for the counters, which are long

  always_ff @(posedge clk) begin
    if (!rst_n) credits <= CreditBits'(Depth);
    else credits <= credits - CreditBits'(streaming && moving) + CreditBits'(instruction_taken);
    if (state == Idle) address <= program_address;
    else if (moving) begin
      address <= (streaming && last_ask ? program_address : address) + BlockBytes;
    end
    moving <= rst_n && (asked || (state == AskHeader && request_ready));
    moved <= rst_n && moving;
    last_ask <= asks_left == count_t'(1);
    if (!streaming || (moving && last_ask)) asks_left <= instructions;
    else if (moving) asks_left <= asks_left - 1'b1;
    if (state == Idle) begin
      images_left <= image_count;
      pass_open <= 1'b1;
    end else if (streaming && moving && last_ask) begin
      images_left <= images_left - pass_images(Engine, header.narrow, header.striped);
      pass_open <= images_left > pass_images(Engine, header.narrow, header.striped);
    end
  end

  always_ff @(posedge clk) begin
    checked <= 1'b0;
    problem <= ErrorNone;
    if (!rst_n) begin
      state <= Idle;
    end else begin
      // Any problem stops the engine, which resets this module; it waits where it is.
      case (state)
        Idle: if (start) state <= AskHeader;
        AskHeader: if (request_ready) state <= Header;
        Header:
        if (block_ends) begin
          state <= wrong_magic || wrong_signature || too_many ? Idle : instructions == '0 ? Compare : AskCheck;
          problem <= wrong_magic ? ErrorMagic : wrong_signature ? ErrorSignature : too_many ? ErrorCrc : ErrorNone;
        end
        AskCheck: if (request_ready) state <= Check;
        Check: if (block_ends && blocks_left == count_t'(1)) state <= Compare;
        Compare:
        if (crc_equal && instructions != '0 && (two_precisions(Engine) || !header.narrow) &&
            (Engine.stripes || !header.striped)) begin
          checked <= 1'b1;
          state <= Stream;
        end else begin
          problem <= !crc_equal ? ErrorCrc : instructions == '0 ? ErrorCount : ErrorOpcode;
          state <= Idle;
        end
        default: ;
      endcase
    end
  end

  // The beats of a pass go to the core as they come; of each instruction a packet follows them to the loader.
  // The core's FIFO has room for what was asked for. The loader is never behind the core, so twice the
  // places always hold what it has not taken: no beat waits here and blocks the image behind it.
  logic [BlockBeats-1:0][Engine.bus_bits-1:0] assembly;
  instruction_t instruction;
  packet_t packet_in;
  logic [BeatBits-1:0] beat, core_place;
  count_t arrivals_left;  // instructions of the pass
  logic core_in_valid, core_in_ready, packet_in_valid, packet_in_ready, packet_last, last, arrived;
  assign stream_ready = core_in_ready && (!packet_in_valid || packet_in_ready);
  assign core_in_valid = streaming && data_valid && (!packet_in_valid || packet_in_ready);
  assign arrived = streaming && data_valid && stream_ready;
  assign last = arrivals_left == count_t'(1);
  assign instruction = instruction_t'(assembly);
  assign packet_in.is_conv = instruction.opcode == OpConv;
  assign packet_in.last = packet_last;
  assign packet_in.is_end = instruction.opcode == OpEnd;
  assign packet_in.indexed = instruction.flags.indexed;
  assign packet_in.channels = instruction.channels;
  assign packet_in.groups = instruction.groups;
  assign packet_in.rows = instruction.rows;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      beat <= '0;
      core_place <= '0;
      packet_in_valid <= 1'b0;
    end else begin
      if (arrived) beat <= beat == BeatBits'(BlockBeats - 1) ? '0 : beat + 1'b1;
      if (core_valid && core_ready) core_place <= instruction_taken ? '0 : core_place + 1'b1;
      if (arrived && beat == BeatBits'(BlockBeats - 1)) packet_in_valid <= 1'b1;
      else if (packet_in_ready) packet_in_valid <= 1'b0;
    end
    if (!streaming) arrivals_left <= instructions;
    else if (arrived && beat == BeatBits'(BlockBeats - 1)) begin
      arrivals_left <= last ? instructions : arrivals_left - 1'b1;
      packet_last <= last;
    end
    if (arrived) assembly[beat] <= data;
  end
  assign instruction_taken = core_valid && core_ready && core_place == BeatBits'(BlockBeats - 1);

  cascade_fifo #(
    .Width(Engine.bus_bits + 1),
    .Depth(Depth * BlockBeats),
    .Block(Depth > 8)
  ) i_core (
    .clk,
    .rst_n,
    .in_valid(core_in_valid),
    .in_ready(core_in_ready),
    .in_data({last, data}),
    .out_valid(core_valid),
    .out_ready(core_ready),
    .out_data({core_last, core_beat})
  );

  cascade_fifo #(
    .Width($bits(packet_t)),
    .Depth(2 * Depth)
  ) i_packets (
    .clk,
    .rst_n,
    .in_valid(packet_in_valid),
    .in_ready(packet_in_ready),
    .in_data(packet_in),
    .out_valid(packet_valid),
    .out_ready(packet_ready),
    .out_data(packet)
  );
endmodule
