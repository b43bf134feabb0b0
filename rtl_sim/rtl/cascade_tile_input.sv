// The input transform: reads tiles from the banks, makes V = B·d·Bᵀ of each word and holds two transformed tiles for
// every lane, one that is filled while the other is read. Word q of tap ξ lies at address ξ·sub_rows + q of its half.
// One word (or one slice of it, `TransformCycles` > 1) of t × t inputs in t × t cycles, without a pause between
// words, tiles and groups. Where both halves are full, the reader and all that follows it stand still.
// Cost: two transforms of SubRow / TransformCycles channels a lane, and the memories.
module cascade_tile_input
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine),
  localparam int unsigned OperandBits = operand_bits(Engine),
  localparam int unsigned BufferBits = buffer_bits(Engine)
) (
  input  logic                                  clk,
  input  logic                                  rst_n,
  input  logic                                  start,
  input  operation_t                            operation,
  input  window_t                               windows[Engine.lanes_p],
  output error_e                                problem,
  // the bank's read port
  output logic                                  read_near,
  input  logic                                  read_allowed,
  output logic [BankBits-1:0]                   read_address,
  input  logic [WordBits-1:0]                   bank_word[Engine.lanes_p],
  // transformed tiles
  output logic                                  tile_here,
  input  logic                                  tile_read,  // its last word is read in this cycle
  input  logic                                  buffer_read,
  input  logic [BufferBits-1:0]                 buffer_address,
  output logic [Engine.sub_row*OperandBits-1:0] buffer_word[Engine.lanes_p]
);
  localparam int unsigned ActivationBits = Engine.activation_bits;
  localparam int unsigned Channels = Engine.sub_row / Engine.transform_cycles;  // of a slice
  localparam int unsigned Elements = Engine.lanes_p * Channels;
  localparam int unsigned SliceBits = index_width(Engine.transform_cycles);
  localparam int unsigned InBits = Engine.activation_bits + 1;
  localparam int unsigned MiddleBits = InBits + Engine.tile / 2 + (Engine.tile == 4 ? 1 : 0);  // after one dimension

  typedef logic signed [InBits-1:0] in_t;
  typedef logic signed [MiddleBits-1:0] middle_t;
  typedef logic signed [OperandBits-1:0] out_t;

  instruction_t i;
  logic four;
  assign i = operation.code;
  assign four = Engine.tile == 4 && i.tile[2];

  // Reading stops one cycle before what follows it, so that every word that was asked for finds its place.
  logic enable, stopped, move;
  logic word_valid;
  logic [Engine.lanes_p-1:0] word_inside;
  logic [SliceBits-1:0] word_slice;
  cascade_tile_reader #(
    .Engine(Engine)
  ) i_reader (
    .clk,
    .rst_n,
    .start,
    .operation,
    .windows,
    .enable,
    .stopped,
    .problem,
    .read_near,
    .read_allowed,
    .read_address,
    .word_valid,
    .word_inside,
    .word_slice
  );

  logic taken_valid;
  in_t taken[Elements];
  always_ff @(posedge clk) begin
    if (!rst_n) taken_valid <= 1'b0;
    else taken_valid <= word_valid || (taken_valid && !move);
    if (word_valid) begin
      for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
        for (int unsigned c = 0; c < Channels; c++) begin
          automatic logic [ActivationBits-1:0] element = '0;
          for (int unsigned s = 0; s < Engine.transform_cycles; s++) begin
            if (32'(word_slice) == s) element = bank_word[p][(s*Channels+c)*ActivationBits+:ActivationBits];
          end
          taken[p*Channels+c] <= word_inside[p] ? {i.flags.input_signed && element[ActivationBits-1], element} : '0;
        end
      end
    end
  end

  // Columns of the tile, then rows.
  logic middle_soon, middle_valid, turned_valid, out_soon, out_valid;
  middle_t middle[Elements];
  middle_t turned[Elements];
  out_t out[Elements];
  logic [Elements*MiddleBits-1:0] middle_bits, turned_bits;
  always_comb begin
    for (int unsigned e = 0; e < Elements; e++) begin
      middle_bits[e*MiddleBits+:MiddleBits] = middle[e];
      turned[e] = turned_bits[e*MiddleBits+:MiddleBits];
    end
  end

  cascade_transform #(
    .Tile(Engine.tile),
    .Elements(Elements),
    .InBits(InBits),
    .OutBits(MiddleBits)
  ) i_columns (
    .clk,
    .rst_n,
    .enable(move),
    .four,
    .in_valid(taken_valid),
    .in_word(taken),
    .out_soon(middle_soon),
    .out_valid(middle_valid),
    .out_word(middle)
  );

  logic unused;
  assign unused = middle_soon;

  cascade_transpose #(
    .Tile(Engine.tile),
    .WordBits(Elements * MiddleBits)
  ) i_transpose (
    .clk,
    .rst_n,
    .enable(move),
    .four,
    .in_valid(middle_valid),
    .in_word(middle_bits),
    .out_valid(turned_valid),
    .out_word(turned_bits)
  );

  cascade_transform #(
    .Tile(Engine.tile),
    .Elements(Elements),
    .InBits(MiddleBits),
    .OutBits(OperandBits)
  ) i_rows (
    .clk,
    .rst_n,
    .enable(move),
    .four,
    .in_valid(turned_valid),
    .in_word(turned),
    .out_soon,
    .out_valid,
    .out_word(out)
  );

  // Where the word that comes next belongs.
  logic half, first, last_word, block_ends, word_ends, tile_ends, out_last;
  logic [5:0] tap;
  logic [SliceBits-1:0] slice, out_slice;
  logic [BufferBits-1:0] word, address, out_address;
  assign block_ends = tap == (four ? 6'd35 : 6'd15);
  assign word_ends = block_ends && 32'(slice) == Engine.transform_cycles - 1;
  assign tile_ends = word_ends && last_word;
  cascade_countdown i_words (
    .clk, .start, .total(i.sub_rows), .step(out_soon && move && word_ends), .last(last_word)
  );

  // Full halves; a tile's first word waits for a free one.
  logic [1:0] full;
  logic filled, free, blocked, held_back;
  assign filled = out_valid && out_last && move;
  assign tile_here = full != '0;
  assign free = full == '0 || (full == 2'd1 && !filled);
  assign held_back = (blocked || (out_soon && first && move)) && !free;
  assign enable = !held_back;
  assign stopped = blocked && full == 2'd2;

  function automatic logic [BufferBits-1:0] base(logic of_half);
    return of_half ? BufferBits'(Engine.transform_depth) : '0;
  endfunction

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      full <= '0;
      blocked <= 1'b0;
      move <= 1'b0;
    end else begin
      full <= full + 2'(filled) - 2'(tile_read);
      blocked <= held_back;
      move <= enable;
    end
    if (start) begin
      half <= 1'b0;
      tap <= '0;
      slice <= '0;
      first <= 1'b1;
      word <= '0;
      address <= '0;
    end else if (out_soon && move) begin
      out_address <= address;
      out_slice <= slice;
      out_last <= tile_ends;
      first <= tile_ends;
      tap <= tap + 6'd1;
      address <= address + BufferBits'(i.sub_rows);
      if (block_ends) begin
        tap <= '0;
        slice <= slice + 1'b1;
        address <= word;
      end
      if (word_ends) begin
        slice <= '0;
        word <= word + 1'b1;
        address <= word + 1'b1;
      end
      if (tile_ends) begin
        half <= !half;
        word <= base(!half);
        address <= base(!half);
      end
    end
  end

  logic [Engine.sub_row*OperandBits-1:0] out_word[Engine.lanes_p];
  logic [Engine.transform_cycles-1:0] out_slices;
  always_comb begin
    for (int unsigned s = 0; s < Engine.transform_cycles; s++) out_slices[s] = 32'(out_slice) == s;
    for (int unsigned p = 0; p < Engine.lanes_p; p++) begin
      for (int unsigned n = 0; n < Engine.sub_row; n++) begin
        out_word[p][n*OperandBits+:OperandBits] = out[p*Channels+n%Channels];
      end
    end
  end

  cascade_bank #(
    .LanesP(Engine.lanes_p),
    .BankDepth(2 * Engine.transform_depth),
    .Granules(Engine.transform_cycles),
    .GranuleBits(Channels * OperandBits)
  ) i_buffer (
    .clk,
    .write_lanes({Engine.lanes_p{out_valid && move}}),
    .write_granules('{default: out_slices}),
    .write_address(out_address),
    .write_data(out_word),
    .read_enable(buffer_read),
    .read_address(buffer_address),
    .read_data(buffer_word)
  );
endmodule
