// TABLE, LOAD and FILL: cuts beats into slices of bytes (one pixel word each), one per cycle. TABLE writes them
// into the input tables; LOAD looks every byte up there and writes the words into the lanes' banks, image
// by image. FILL does the same with rows of a map, whose bytes are elements and whose rows begin at beats. An input wider
// than the array is cut into balanced digits: side by side in one word if it holds all digits of a pixel, else in several
// words, one per cycle.
// The addresses of all images are asked for at once, so only the first waits for the memory. Before that, the bytes of
// an image are counted by an adder: a cycle for each of its words, one for each doubling of a slice's size, and two more.
// With STRIPED it serves every lane: the rows of up to `LanesAhead` lanes, as `lane_rows` tells them, are asked for while
// those of the lane before come. A lane's first slice is cut when the last word of the lane before has been written.
// With `ahead` it runs the last LOAD again, for the images of the next pass, beside other units: it writes a word in every
// second cycle in which they leave the banks' port free, and asks for `PieceBeats` beats at a time, behind which the
// program's instructions do not wait long. `lane_rows` then serve `last_load`.
module cascade_load
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  parameter int unsigned PieceBeats = 32,
  parameter int unsigned LanesAhead = 4,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned LaneBits = lane_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine),
  localparam int unsigned TableLanes = table_lanes(Engine)
) (
  input  logic                       clk,
  input  logic                       rst_n,
  input  logic                       narrow,  // the program's precision
  input  logic                       start,
  input  logic                       start_ahead,
  input  operation_t                 operation,  // with `start`
  input  logic [AxiAddressBits-1:0]  program_address,
  input  logic [AxiAddressBits-1:0]  maps_address,
  input  logic [AxiAddressBits-1:0]  image_address,  // of the first image, in the cycle after either start
  input  logic [31:0]                image_pitch,
  input  logic [LaneBits:0]          images,  // how many, with either start
  output logic                       lanes_ahead,  // `lane_rows` are those of `last_load`, not of `operation`
  output operation_t                 last_load,
  output logic                       lanes_start,  // with STRIPED: the rows of lane 0, and of the next one, are wanted
  output logic                       lanes_next,
  output logic [15:0]                row_beats,
  input  lane_rows_t                 lane_rows,
  output logic                       done,
  output logic                       done_ahead,
  output error_e                     problem,
  output logic                       request_valid,
  input  logic                       request_ready,
  output logic [AxiAddressBits-1:0]  request_address,
  output logic [31:0]                request_beats,
  input  logic                       data_valid,
  output logic                       data_ready,
  input  logic [Engine.bus_bits-1:0] data,
  input  logic                       bank_taken,  // by another unit's write
  output logic                       bank_yields,  // it waits for a free cycle
  output logic                       bank_write,
  output logic [Engine.lanes_p-1:0]  bank_lanes,
  output logic [BankBits-1:0]        bank_address,
  output logic [WordBits-1:0]        bank_data[halves(Engine)]  // for the lanes of each half
);
  localparam int unsigned StoredBits = stored_bits(Engine);
  localparam int unsigned BeatBytes = Engine.bus_bits / 8;
  localparam int unsigned ByteBits = $clog2(BeatBytes);
  localparam int unsigned SliceBits = index_width($clog2(Engine.sub_row) + 1);  // log2 of a slice's bytes
  localparam int unsigned PixelBits = $clog2(maximum(Engine.bank_depth, 256) + 1);
  localparam int unsigned SizeBits = PixelBits + $clog2(Engine.table_words + 1) + $clog2(Engine.sub_row) + 1;
  localparam int unsigned WordIndexBits = index_width(Engine.table_words);
  localparam int unsigned WriteWordBits = Engine.external_maps ? 16 : WordIndexBits;  // of a pixel
  localparam int unsigned BeatsBits = Engine.external_maps ? 32 : SizeBits - ByteBits;  // of an image
  localparam int unsigned ValueBits = EntryValueBits;
  localparam int unsigned EntryDigits = digits_of_entry(Engine);

  typedef logic [StoreBits-1:0] store_t;
  typedef logic signed [ValueBits-1:0] value_t;
  typedef logic [WordIndexBits-1:0] word_index_t;

  operation_t asked, kept;  // the last TABLE, LOAD or FILL
  logic ahead;
  instruction_t i;
  logic is_table, is_fill, striped;
  logic [SliceBits-1:0] slice_log;
  logic [PixelBits-1:0] pixels;  // the decoder has compared them with the bank
  logic together;  // digits side by side in one word
  // What follows from the instruction is settled before the first slice comes.
  logic one_pixel, table_here, fill_here;
  logic uncut;  // entries are elements
  logic wide;  // of two precisions: a digit holds every entry
  assign wide = two_precisions(Engine) && !narrow;
  logic [7:0] digits;  // written one after the other
  logic one_digit;
  logic [EntryDigits-1:0][TableLanes-1:0] used;  // digits and lanes of a slice that a word holds
  // A FILL may come between a LOAD and the load of the next images.
  if (Engine.external_maps) begin : g_last_load
    always_ff @(posedge clk) if (start && operation.code.opcode == OpLoad) last_load <= operation;
  end else begin : g_kept
    assign last_load = kept;
  end
  assign asked = start_ahead ? last_load : operation;
  assign lanes_ahead = ahead;
  assign i = kept.code;
  assign is_table = i.opcode == OpTable;
  assign is_fill = Engine.external_maps && i.opcode == OpFill;
  assign striped = Engine.stripes && i.flags.striped;
  assign pixels = is_table ? PixelBits'(256) : PixelBits'(kept.pixels);
  assign together = i.sub_rows == 16'd1 && 32'(i.levels) <= Engine.sub_row >> slice_log;
  always_comb begin
    slice_log = '0;
    for (int unsigned n = 0; n <= $clog2(Engine.sub_row); n++) if (i.in_words[n]) slice_log = SliceBits'(n);
    if (is_fill) slice_log = SliceBits'($clog2(Engine.sub_row));
  end

  // Requests: first the number of beats of an image, then one request per image, or per piece of one.
  localparam int unsigned PieceBits = $clog2(PieceBeats + 1);
  typedef enum logic [3:0] {Idle, Begin, Count, Double, Round, Image, Place, Ask, Piece} state_e;
  state_e state;
  logic [AxiAddressBits-1:0] base, base_sum;  // of the image
  logic [31:0] base_step;
  logic [32:0] room;  // bytes of an image from the first row that is loaded on
  logic [SizeBits-1:0] offset;  // of the piece
  logic [BeatsBits-1:0] beats_left, piece;  // of the image, of what is asked for
  logic [PieceBits-1:0] piece_left;  // beats of it that have not come yet
  logic longer, cut;  // the image goes on behind the piece
  logic [15:0] words_left;
  logic [SizeBits-1:0] bytes, more_bytes;  // of an image, rounded up in the end
  logic [SliceBits-1:0] doubles_left;
  logic [LaneBits:0] requests_left;
  logic image_too_long, too_long, out_of_range;
  // With STRIPED: lanes that were asked for wait for the one whose slices are cut and whose words are written.
  logic lane_settled, lanes_ready, lane_waits, lane_empty, lane_begins, lane_slices, lane_writes, slices_open;
  logic [PixelBits-1:0] lane_pixels;
  store_t lane_word;
  localparam int unsigned RowBytesBits = maximum(SizeBits, 16 + ByteBits);

  assign more_bytes = state == Count ? (striped ? SizeBits'(i.out_width) : SizeBits'(pixels)) : state == Double ? bytes : SizeBits'(BeatBytes - 1);
  // Of a LOAD with STRIPED these are the bytes of a row, which ends with a beat.
  assign image_too_long = i.opcode == OpLoad && (striped ?
      bytes[ByteBits-1:0] != '0 || RowBytesBits'(bytes) >> ByteBits >> 16 != '0 : room[32] || 40'(bytes) > 40'(room));
  assign row_beats = is_fill ? kept.row_beats : 16'(RowBytesBits'(bytes) >> ByteBits);
  assign lanes_start = striped && state == Round;
  assign lanes_next = lane_settled;
  assign lane_settled = state == Image && striped && lane_rows.settled && !lane_rows.outside && lanes_ready;
  assign lane_begins = lane_waits && !lane_slices && !lane_writes;
  assign slices_open = !striped || lane_slices;
  assign request_beats = 32'(piece);
  assign longer = ahead && 32'(beats_left) > PieceBeats;
  assign base_step = state == Place ? 32'(offset) : state == Round ? i.in_base : is_fill ? i.residual_base : image_pitch;
  assign base_sum = base + AxiAddressBits'(base_step);
  assign problem = too_long || out_of_range ? ErrorAddress : ErrorNone;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= Idle;
      request_valid <= 1'b0;
      too_long <= 1'b0;
    end else begin
      request_valid <= state == Place || (state == Ask && !request_ready);
      // An image never reaches into the next one, nor the last one past its buffer.
      too_long <= (state == Round && image_too_long) || (state == Image && striped && lane_rows.outside);
      case (state)
        Idle: if (start || start_ahead) state <= Begin;
        Begin: state <= Count;
        Count: if (is_fill) state <= Round;
        else if (words_left == 16'd1) state <= slice_log == '0 ? Round : Double;
        Double: if (doubles_left == SliceBits'(1)) state <= Round;
        Round: state <= image_too_long ? Idle : Image;
        Image:
        if (!striped) state <= Place;
        else if (lane_rows.outside) state <= Idle;
        else if (lane_settled) begin
          if (!lane_rows.empty) state <= Place;
          else if (requests_left == (LaneBits + 1)'(1)) state <= Idle;
        end
        Place: state <= Ask;
        Ask:
        if (request_ready) begin
          if (requests_left == (LaneBits + 1)'(1) && !cut) state <= Idle;
          else state <= ahead ? Piece : Image;
        end
        Piece: if (piece_left == '0) state <= cut ? Place : Image;
        default: state <= Idle;
      endcase
    end
    if (!rst_n || done_ahead) ahead <= 1'b0;
    if (start || start_ahead) begin
      kept <= asked;
      ahead <= start_ahead;
      requests_left <= asked.code.opcode == OpTable ? (LaneBits + 1)'(1) :
          Engine.stripes && asked.code.flags.striped ? (LaneBits + 1)'(Engine.lanes_p) : images;
    end
    room <= 33'(image_pitch) - 33'(i.in_base);
    case (state)
      Begin: begin
        base <= is_table ? program_address : is_fill ? maps_address : image_address;
        words_left <= i.sub_rows;
        bytes <= '0;
        doubles_left <= slice_log;
        piece_left <= '0;
      end
      Count: words_left <= words_left - 16'd1;
      Double: doubles_left <= doubles_left - 1'b1;
      Round: if (!striped) base <= base_sum;
      Image: begin
        offset <= '0;
        beats_left <= is_fill ? BeatsBits'(kept.map_beats) : BeatsBits'(bytes[SizeBits-1:ByteBits]);
        if (striped) begin
          base <= lane_rows.address;
          beats_left <= BeatsBits'(lane_rows.beats);
        end
        if (lane_settled && lane_rows.empty) requests_left <= requests_left - 1'b1;
      end
      Place: begin
        request_address <= base_sum;
        cut <= longer;
        piece <= longer ? BeatsBits'(PieceBeats) : beats_left;
      end
      Ask:
      if (request_ready) begin
        piece_left <= PieceBits'(piece);
        offset <= offset + SizeBits'(PieceBeats * BeatBytes);
        beats_left <= beats_left - BeatsBits'(PieceBeats);
        if (!cut) begin
          requests_left <= requests_left - 1'b1;
          if (!striped) base <= base_sum;
        end
      end
      Piece: if (data_valid && data_ready) piece_left <= piece_left - 1'b1;
      default: ;
    endcase
    if (state == Count || state == Double || state == Round) bytes <= bytes + more_bytes;
    one_pixel <= pixels == PixelBits'(1);
    uncut <= i.levels == 8'd1;
    digits <= together ? 8'd1 : i.levels;
    one_digit <= together || i.levels == 8'd1;
    table_here <= is_table;
    fill_here <= is_fill;
    for (int unsigned d = 0; d < EntryDigits; d++) begin
      for (int unsigned j = 0; j < TableLanes; j++)
        used[d][j] <= j < 32'(i.in_words) && (d == 0 || (together && 8'(d) < i.levels));
    end
  end

  if (Engine.stripes) begin : g_lanes
    cascade_fifo #(
      .Width(1 + PixelBits + StoreBits),
      .Depth(LanesAhead)
    ) i_lanes (
      .clk,
      .rst_n,
      .in_valid(lane_settled),
      .in_ready(lanes_ready),
      .in_data({lane_rows.empty, PixelBits'(lane_rows.pixels), lane_rows.word}),
      .out_valid(lane_waits),
      .out_ready(lane_begins),
      .out_data({lane_empty, lane_pixels, lane_word})
    );
  end else begin : g_images
    assign {lanes_ready, lane_waits, lane_empty, lane_pixels, lane_word} = '0;
  end

  // A pixel has no more words than the tables cover.
  function automatic logic is_last_word(word_index_t word);
    return Engine.table_words == 1 || (WordIndexBits + 1)'(word) + 1'b1 == (WordIndexBits + 1)'(i.sub_rows);
  endfunction

  // Slices.
  logic [Engine.bus_bits-1:0] beat, beat_shifted;
  logic [ByteBits:0] slices_left;
  logic have, take_slice, last_slice;
  logic [PixelBits-1:0] pixels_left;
  word_index_t slice_word;
  logic [7:0] slice_value;
  logic last_word, last_pixel, table_ready, beat_ends;
  logic map_word_ends, row_ends;  // of a FILL: the last word of a pixel, of a row

  assign take_slice = have && slices_open && (table_here || fill_here || table_ready);  // nobody makes a FILL wait
  assign last_word = fill_here ? map_word_ends : is_last_word(slice_word);
  assign last_slice = last_pixel && last_word;
  assign beat_ends = take_slice && (slices_left == (ByteBits + 1)'(1) || row_ends);
  assign data_ready = !have || (beat_ends && !last_slice);
  always_comb begin
    beat_shifted = beat;
    for (int unsigned n = 0; n <= $clog2(Engine.sub_row); n++) begin
      if (slice_log == SliceBits'(n) && (8 << n) < Engine.bus_bits) beat_shifted = beat >> (8 << n);
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      have <= 1'b0;
    end else begin
      if (beat_ends || (take_slice && last_slice)) have <= 1'b0;
      if (data_valid && data_ready) have <= 1'b1;
    end
    if (!rst_n || (take_slice && last_slice)) lane_slices <= 1'b0;
    else if (lane_begins) lane_slices <= !lane_empty;
    if (data_valid && data_ready) begin
      beat <= data;
      slices_left <= (ByteBits + 1)'(BeatBytes) >> slice_log;
    end else if (take_slice) begin
      beat <= beat_shifted;
      slices_left <= slices_left - 1'b1;
    end
    if (state == Count) begin
      pixels_left <= pixels;
      last_pixel <= one_pixel;
      slice_word <= '0;
      slice_value <= '0;
    end else if (lane_begins) begin
      pixels_left <= lane_pixels;
      last_pixel <= lane_pixels == PixelBits'(1);
    end else if (take_slice) begin
      // A table goes word by word, an image pixel by pixel.
      if (table_here) begin
        slice_value <= slice_value + 8'd1;
        if (slice_value == 8'hFF) slice_word <= slice_word + 1'b1;
      end else begin
        slice_word <= last_word ? '0 : slice_word + 1'b1;
      end
      if (last_word) begin
        pixels_left <= last_pixel ? pixels : pixels_left - 1'b1;
        last_pixel <= last_pixel ? one_pixel : pixels_left == PixelBits'(2);
      end
    end
  end

  // Tables.
  logic [7:0] entry[TableLanes];
  logic entry_valid, value_ready;
  assign table_ready = !entry_valid || value_ready;
  cascade_tables #(
    .Engine(Engine)
  ) i_tables (
    .clk,
    .write_lanes({TableLanes{have && table_here}} & used[0]),  // a table takes every slice
    .read_enable(take_slice && !table_here),
    .word(slice_word),
    .value(slice_value),
    .slice(beat[8*TableLanes-1:0]),
    .entry
  );

  // Digits and words.
  value_t value[TableLanes];
  value_t value_next[TableLanes];
  logic [Engine.sub_row-1:0][Engine.activation_bits-1:0] elements;
  logic value_valid, last_digit, word_written;
  logic [7:0] digits_left;
  logic [15:0] digit_offset;
  logic [WriteWordBits-1:0] word;
  store_t pixel_address, address;
  logic [PixelBits-1:0] write_pixels_left;
  logic last_write_pixel;
  logic [LaneBits:0] lanes_left;
  logic [Engine.lanes_p-1:0] lane;
  logic word_valid, pixel_ends, image_ends, load_ends, free, ending;

  assign value_ready = !value_valid || (last_digit && free);
  assign word_valid = fill_here ? have && slices_open : value_valid;
  assign word_written = fill_here ? take_slice : value_valid && last_digit && free;
  assign address = pixel_address + store_t'(digit_offset) + store_t'(word);
  assign pixel_ends = word_written && (fill_here ? map_word_ends : is_last_word(word_index_t'(word)));
  assign image_ends = pixel_ends && last_write_pixel;
  assign load_ends = (image_ends || (lane_begins && lane_empty)) && lanes_left == (LaneBits + 1)'(1);

  // The words of a FILL's pixel and the pixels of its row; the rows are counted as pixels are.
  if (Engine.external_maps) begin : g_fill
    logic begins;
    assign begins = striped ? fill_here && ((lane_begins && !lane_empty) || (take_slice && row_ends && !last_slice)) :
        (state == Round && is_fill) || (take_slice && row_ends && !load_ends);
    logic [2:0] ends;
    logic [2:1] unused_last, unused_next;
    logic unused;
    cascade_nest #(
      .Loops(2)
    ) i_nest (
      .clk,
      .rst_n,
      .start(begins),
      .step(begins || (take_slice && fill_here)),
      .total({i.out_width, i.sub_rows}),
      .inner_next(1'b1),
      .last_next(unused_next),
      .last(unused_last),
      .ends
    );
    assign map_word_ends = ends[1];
    assign row_ends = fill_here && ends[2];
    assign unused = ^{ends[0], unused_last, unused_next};
  end else begin : g_no_fill
    assign {map_word_ends, row_ends} = '0;
  end

  cascade_digits #(
    .Engine(Engine)
  ) i_digits (
    .wide,
    .uncut,
    .slice_log,
    .used,
    .value,
    .value_next,
    .elements
  );

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      entry_valid <= 1'b0;
      value_valid <= 1'b0;
      done <= 1'b0;
      done_ahead <= 1'b0;
      ending <= 1'b0;
      out_of_range <= 1'b0;
    end else begin
      if (take_slice && !table_here && !fill_here) entry_valid <= 1'b1;
      else if (value_ready) entry_valid <= 1'b0;
      if (entry_valid && value_ready) value_valid <= 1'b1;
      else if (word_written) value_valid <= 1'b0;
      out_of_range <= word_valid && free && address >= store_t'(Engine.bank_depth);
      done <= table_here ? take_slice && last_slice : load_ends && !ahead;
      ending <= (ending && bank_write) || (load_ends && ahead);
      done_ahead <= ending && !bank_write;
    end
    if (value_ready) begin
      for (int unsigned j = 0; j < TableLanes; j++) value[j] <= ValueBits'($signed(entry[j]));
      digits_left <= digits;
      last_digit <= one_digit;
      digit_offset <= '0;
    end else if (free) begin
      value <= value_next;
      digits_left <= digits_left - 8'd1;
      last_digit <= digits_left == 8'd2;
      digit_offset <= digit_offset + i.sub_rows;
    end
    if (state == Count) begin
      word <= '0;
      pixel_address <= store_t'(i.out_base);
      write_pixels_left <= pixels;
      last_write_pixel <= one_pixel;
      lanes_left <= requests_left;
      lane <= (Engine.lanes_p)'(1);
    end else if (word_written) begin
      word <= pixel_ends ? '0 : word + 1'b1;
      if (pixel_ends) begin
        pixel_address <= image_ends ? store_t'(i.out_base) : pixel_address + store_t'(i.out_words);
        write_pixels_left <= image_ends ? pixels : write_pixels_left - 1'b1;
        last_write_pixel <= image_ends ? one_pixel : write_pixels_left == PixelBits'(2);
      end
      if (image_ends) begin
        lane <= lane << 1;
        lanes_left <= lanes_left - 1'b1;
      end
    end else if (lane_begins) begin
      pixel_address <= lane_word;
      write_pixels_left <= lane_pixels;
      last_write_pixel <= lane_pixels == PixelBits'(1);
      if (lane_empty) begin
        lane <= lane << 1;
        lanes_left <= lanes_left - 1'b1;
      end
    end
    if (!rst_n || image_ends) lane_writes <= 1'b0;
    else if (lane_begins) lane_writes <= !lane_empty;
  end

  // What is written: a wide word to the lanes of both halves, or a narrow one to a lane of either.
  logic [Engine.sub_row-1:0][Engine.activation_bits-1:0] word_elements;
  logic [halves(Engine)-1:0][WordBits-1:0] words, bank_words;
  always_comb begin
    for (int unsigned e = 0; e < Engine.sub_row; e++)
      word_elements[e] = fill_here ? beat[8*e+:Engine.activation_bits] : elements[e];
    words = (halves(Engine) * WordBits)'(word_elements);
    if (two_precisions(Engine) && narrow) begin
      for (int unsigned h = 0; h < halves(Engine); h++) begin
        for (int unsigned e = 0; e < Engine.sub_row; e++)
          words[h][e*StoredBits+:StoredBits] = word_elements[e][StoredBits-1:0];
      end
    end
    for (int unsigned h = 0; h < halves(Engine); h++) bank_data[h] = bank_words[h];
  end

  assign bank_yields = ahead;
  cascade_yield #(
    .Bits(Engine.lanes_p + BankBits + halves(Engine) * WordBits)
  ) i_yield (
    .clk,
    .rst_n,
    .yields(bank_yields),
    .in_valid(word_valid && address < store_t'(Engine.bank_depth)),
    .in_ready(free),
    .in_data({wide ? lane | lane << (Engine.lanes_p / 2) : lane, BankBits'(address), words}),
    .port_taken(bank_taken),
    .write(bank_write),
    .data({bank_lanes, bank_address, bank_words})
  );
endmodule
