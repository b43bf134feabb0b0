// Reads the program: once to check it (magic, version, signature, CRC), then the instructions again in
// each pass, for the core and (what matters of them) for the weight loader, which runs ahead.
// Cost: two small FIFOs and a CRC of one word per cycle: 16 cycles per instruction before the first pass.
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
  output instruction_t               core_instruction,
  output logic                       core_last,  // the program ends with this one
  // to the weight loader
  output logic                       packet_valid,
  input  logic                       packet_ready,
  output packet_t                    packet
);
  localparam int unsigned BlockBeats = BlockBits / Engine.bus_bits;
  localparam int unsigned BeatBits = index_width(BlockBeats);
  localparam int unsigned CreditBits = $clog2(Depth + 1);
  localparam logic [AxiAddressBits-1:0] BlockBytes = AxiAddressBits'(BlockBits / 8);

  typedef enum logic [2:0] {Idle, AskHeader, Header, AskCheck, Check, Stream} state_e;
  state_e state;

  // Assembly of blocks of 64 bytes from beats.
  logic [BlockBeats-1:0][Engine.bus_bits-1:0] assembly;
  logic [BlockBits-1:0] block;
  logic [BeatBits-1:0] beat;
  logic block_valid, block_take;
  assign block = assembly;
  assign data_ready = !block_valid || block_take;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      beat <= '0;
      block_valid <= 1'b0;
    end else begin
      if (block_take) block_valid <= 1'b0;
      if (data_valid && data_ready) begin
        beat <= beat == BeatBits'(BlockBeats - 1) ? '0 : beat + 1'b1;
        block_valid <= beat == BeatBits'(BlockBeats - 1);
      end
    end
    if (data_valid && data_ready) assembly[beat] <= data;
  end

  logic [31:0] crc, crc_next, crc_expected, blocks_left;
  logic [3:0] word;
  logic [15:0][31:0] words;
  logic [31:0] index;  // next instruction to ask for
  logic [31:0] images_left;  // of the passes not yet asked for
  logic [31:0] arrived;  // instructions of this pass that have arrived
  logic [CreditBits-1:0] credits;  // free places in the core's FIFO, less those asked for
  logic streaming, core_in_valid, core_in_ready, packet_in_valid, packet_in_ready, last;
  instruction_t instruction;
  packet_t packet_in;

  assign words = block;
  assign crc_next = crc32_word(crc, words[word]);
  assign instruction = instruction_t'(block);
  assign streaming = state == Stream;
  assign last = arrived + 32'd1 == header.instructions;
  assign packet_in.is_conv = instruction.opcode == OpConv;
  assign packet_in.is_end = instruction.opcode == OpEnd;
  assign packet_in.last = last;
  assign packet_in.indexed = instruction.flags.indexed;
  assign packet_in.channels = instruction.channels;
  assign packet_in.groups = instruction.groups;
  assign packet_in.rows = instruction.rows;
  // The core's FIFO has room for what was asked for. The loader is never behind the core, so twice the
  // places always hold what it has not taken: no block waits here and blocks the image behind it.
  assign packet_in_valid = streaming && block_valid && core_in_ready;
  assign core_in_valid = streaming && block_valid && packet_in_ready;

  always_comb begin
    block_take = 1'b0;
    case (state)
      Header, Check: block_take = block_valid && word == 4'd15;
      Stream: block_take = block_valid && core_in_ready && packet_in_ready;
      default: ;
    endcase
  end

  always_comb begin
    request_valid = 1'b0;
    request_address = program_address;
    request_beats = 32'(BlockBeats);
    case (state)
      AskHeader: request_valid = 1'b1;
      AskCheck: begin
        request_valid = 1'b1;
        request_address = program_address + BlockBytes;
        request_beats = header.instructions << $clog2(BlockBeats);
      end
      Stream: begin
        request_valid = credits != '0 && images_left != '0;
        request_address = program_address + BlockBytes + (AxiAddressBits'(index) << $clog2(BlockBits / 8));
      end
      default: ;
    endcase
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= Idle;
      header <= '0;
      problem <= ErrorNone;
      checked <= 1'b0;
      crc <= '1;
      crc_expected <= '0;
      word <= '0;
      blocks_left <= '0;
      index <= '0;
      images_left <= '0;
      arrived <= '0;
      credits <= CreditBits'(Depth);
    end else begin
      checked <= 1'b0;
      problem <= ErrorNone;
      case (state)
        Idle:
        if (start) begin
          crc <= '1;
          word <= '0;
          images_left <= image_count;
          state <= AskHeader;
        end
        AskHeader: if (request_ready) state <= Header;
        Header:
        if (block_valid) begin
          header.instructions <= words[4];
          header.image_pitch <= words[5];
          header.result_pitch <= words[6];
          header.classes <= words[7];
          header.confidence_k <= words[8][15:0];
          header.confidence_m <= words[8][19:16];
          header.confidence_n <= words[8][23:20];
          header.threshold <= words[9];
          header.weight_beats <= words[10];
          crc_expected <= words[15];
          blocks_left <= words[4];
          word <= word + 4'd1;
          if (word != 4'd15) crc <= crc_next;
          else if (words[0] != ProgramMagic || words[1] != ProgramVersion) problem <= ErrorMagic;
          else if ({words[3], words[2]} != Signature) problem <= ErrorSignature;
          else if (words[4] > MaxInstructions) problem <= ErrorCrc;
          else if (words[4] == '0) problem <= ~crc == words[15] ? ErrorCount : ErrorCrc;
          if (word == 4'd15) begin
            // Any problem stops the engine, which resets this module; it waits where it is.
            state <= (words[0] == ProgramMagic && words[1] == ProgramVersion && words[4] != '0 &&
                      {words[3], words[2]} == Signature && words[4] <= MaxInstructions) ? AskCheck : Idle;
          end
        end
        AskCheck: if (request_ready) state <= Check;
        Check:
        if (block_valid) begin
          crc <= crc_next;
          word <= word + 4'd1;
          if (word == 4'd15) begin
            blocks_left <= blocks_left - 32'd1;
            if (blocks_left == 32'd1) begin
              if (~crc_next == crc_expected) begin
                checked <= 1'b1;
                state <= Stream;
              end else begin
                problem <= ErrorCrc;
                state <= Idle;
              end
            end
          end
        end
        Stream: begin
          if (request_valid && request_ready) begin
            index <= index + 32'd1;
            if (index + 32'd1 == header.instructions) begin
              index <= '0;
              images_left <= images_left > Engine.lanes_p ? images_left - Engine.lanes_p : '0;
            end
          end
          if (block_take) arrived <= last ? '0 : arrived + 32'd1;
          credits <= credits - CreditBits'(request_valid && request_ready) + CreditBits'(core_valid && core_ready);
        end
        default: state <= Idle;
      endcase
    end
  end

  cascade_fifo #(
    .Width(BlockBits + 1),
    .Depth(Depth)
  ) i_core (
    .clk,
    .rst_n,
    .in_valid(core_in_valid),
    .in_ready(core_in_ready),
    .in_data({last, instruction}),
    .out_valid(core_valid),
    .out_ready(core_ready),
    .out_data({core_last, core_instruction})
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
