// STORE_RESULT, STORE_MAP and SPILL: for each image of the pass one record, a header (results only) and then
// elements, zeros to its end, as beats for the write master. One element or word per cycle; a SPILL's rows begin at
// beats. With STRIPED each lane has a record, of a SPILL the rows that `lane_rows` finds while those of the lane before
// leave.
module cascade_store
  import cascade_pkg::*;
#(
  parameter engine_t Engine = DefaultEngine,
  localparam int unsigned BankBits = bank_bits(Engine),
  localparam int unsigned ResultAddressBits = result_address_bits(Engine),
  localparam int unsigned LaneBits = lane_bits(Engine),
  localparam int unsigned WordBits = word_bits(Engine)
) (
  input  logic                         clk,
  input  logic                         rst_n,
  input  logic                         start,
  input  operation_t                   operation,
  input  header_t                      header,
  input  logic [AxiAddressBits-1:0]    results_address,  // of the run
  input  logic [AxiAddressBits-1:0]    maps_address,
  input  logic [AxiAddressBits-1:0]    record_address,  // of the pass's first image
  input  logic [31:0]                  image_index,  // of the pass's first image
  input  logic [LaneBits:0]            images,  // of the pass
  output logic                         lanes_start,  // SPILL with STRIPED: the rows of lane 0, and of the next, are wanted
  output logic                         lanes_next,
  input  lane_rows_t                   lane_rows,
  output logic                         done,
  output error_e                       problem,
  output logic                         bank_read,
  output logic [BankBits-1:0]          bank_address,
  input  logic [WordBits-1:0]          bank_word[Engine.lanes_p],
  output logic                         result_read,
  output logic [ResultAddressBits-1:0] result_address,
  input  logic [ResultBits-1:0]        result_word[Engine.lanes_p],
  output logic                         request_valid,
  input  logic                         request_ready,
  output logic [AxiAddressBits-1:0]    request_address,
  output logic [31:0]                  request_beats,
  output logic                         data_valid,
  input  logic                         data_ready,
  output logic [Engine.bus_bits-1:0]   data
);
  localparam int unsigned StoredBits = stored_bits(Engine);
  localparam int unsigned BeatBytes = Engine.bus_bits / 8;
  localparam int unsigned ByteBits = $clog2(BeatBytes);
  localparam int unsigned HeaderBits = maximum(Engine.bus_bits, 128);
  localparam int unsigned HeaderBeats = HeaderBits / Engine.bus_bits;
  localparam int unsigned ResultsPerBeat = Engine.bus_bits / ResultBits;
  localparam int unsigned MapBits = Engine.sub_row * 8;  // a word in memory: one byte per element
  localparam int unsigned WordsPerBeat = Engine.bus_bits / MapBits;
  localparam int unsigned ItemBits =
      Engine.external_maps ? StoreBits : $clog2(maximum(Engine.bank_depth, Engine.result_depth) + 1);
  localparam int unsigned PlaceBits = index_width(maximum(ResultsPerBeat, WordsPerBeat));

  typedef logic [StoreBits-1:0] store_t;
  typedef enum logic [2:0] {Idle, Size, Place, Request, Classify, Header, Body, Next} state_e;
  state_e state;
  instruction_t i;
  logic asks_map, is_map, asks_spill, is_spill, striped;
  logic moves_lanes;  // a SPILL with STRIPED
  assign i = operation.code;
  assign asks_spill = Engine.external_maps && i.opcode == OpSpill;
  assign asks_map = i.opcode == OpStoreMap || asks_spill;
  assign striped = Engine.stripes && i.flags.striped;
  assign moves_lanes = striped && is_spill;
  always_ff @(posedge clk) {is_map, is_spill} <= {asks_map, asks_spill};

  // Beats and addresses of records.
  logic [31:0] map_beats, result_beats, needed_beats, record_beats, beats_left, factor;
  logic too_small;
  logic [AxiAddressBits-1:0] stride, addend;
  logic [LaneBits:0] images_left;
  logic [LaneBits-1:0] lane;
  assign map_beats = (operation.map_words + 32'(WordsPerBeat - 1)) / WordsPerBeat;
  assign result_beats = header.result_pitch >> ByteBits;
  always_ff @(posedge clk) begin
    record_beats <= asks_spill ? (striped ? lane_rows.beats : operation.map_beats) :
        asks_map ? map_beats : result_beats;
    needed_beats <= 32'(HeaderBeats) + (header.classes + 32'(ResultsPerBeat - 1)) / ResultsPerBeat;
    too_small <= !is_map && needed_beats > result_beats;
  end
  assign stride = is_spill ? AxiAddressBits'(i.residual_base) : AxiAddressBits'(record_beats) << ByteBits;
  assign request_valid = state == Request &&
      (!moves_lanes || (lane_rows.settled && !lane_rows.empty && !lane_rows.outside));
  assign lanes_start = moves_lanes && state == Size;
  assign lanes_next = moves_lanes && state == Request && lane_rows.settled && (lane_rows.empty || request_ready);
  assign request_beats = record_beats;

  // Elements on their way into a beat: the first ends up lowest. They move while the beat before leaves.
  logic [ItemBits-1:0] item, items, last_item;
  logic [PlaceBits-1:0] asked, last_place;
  logic more, go, read, read_zero, place_ends, row_ends, arriving, arriving_zero, arriving_end, full;
  logic [Engine.bus_bits-1:0] assembly;
  logic [MapBits-1:0] map_item;
  logic [WordBits-1:0] lane_word;
  logic [2*WordBits-1:0] pair_word;  // of the lane in a wide program, if there are two precisions
  logic [ResultBits-1:0] result_item;
  logic class_done, class_read, confident, header_beat;
  logic [ResultAddressBits-1:0] class_address;
  logic [31:0] best_class, numerator, total;
  logic [HeaderBits-1:0] header_bits;

  store_t word_address;  // of a map
  logic word_outside;
  assign last_place = is_map ? PlaceBits'(WordsPerBeat - 1) : PlaceBits'(ResultsPerBeat - 1);
  assign items = is_map ? ItemBits'(operation.map_words) : ItemBits'(header.classes);
  always_ff @(posedge clk) last_item <= items - 1'b1;
  assign go = !full || data_ready;
  assign read = state == Body && more && go;
  assign read_zero = item == items;
  assign place_ends = asked == last_place;
  assign row_ends = is_spill && place_ends && (read_zero || item == last_item);
  assign bank_read = read && is_map;
  assign bank_address = BankBits'(word_address);
  assign result_read = class_read || (read && !is_map);
  assign result_address = class_read ? class_address : ResultAddressBits'(item);
  assign result_item = result_word[lane];
  if (two_precisions(Engine)) begin : g_pair
    localparam int unsigned WideLanes = wide_lanes(Engine);
    logic in_upper;
    logic [LaneBits-1:0] pair;
    logic [WordBits-1:0] lower, upper;
    assign in_upper = lane >= LaneBits'(WideLanes);
    assign pair = in_upper ? lane - LaneBits'(WideLanes) : lane;
    assign {upper, lower} = {bank_word[pair+LaneBits'(WideLanes)], bank_word[pair]};
    assign lane_word = in_upper ? upper : lower;
    assign pair_word = {upper, lower};
  end else begin : g_one
    assign lane_word = bank_word[lane];
    assign pair_word = '0;
    logic unused;
    assign unused = header.narrow;
  end
  always_comb begin
    map_item = '0;
    for (int unsigned s = 0; s < Engine.sub_row; s++) map_item[8*s+:StoredBits] = lane_word[s*StoredBits+:StoredBits];
    if (two_precisions(Engine) && !header.narrow) map_item = MapBits'(pair_word);
  end

  assign header_bits = HeaderBits'({total, numerator, 31'd0, confident, best_class});
  assign data_valid = state == Header || full;
  if (HeaderBeats == 1) begin : g_one_beat
    assign data = state == Header ? header_bits : assembly;
  end else begin : g_two_beats
    assign data = state == Header ? header_bits[Engine.bus_bits*header_beat+:Engine.bus_bits] : assembly;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      state <= Idle;
      done <= 1'b0;
      problem <= ErrorNone;
      arriving <= 1'b0;
      full <= 1'b0;
    end else begin
      done <= 1'b0;
      problem <= bank_read && !read_zero && word_outside ? ErrorAddress : ErrorNone;
      if (go) begin
        arriving <= read;
        full <= arriving && arriving_end;
      end
      case (state)
        Idle: if (start) state <= Size;
        // Records of a map of all lanes lie lanes_p times as far apart as those of one.
        Size: if (!striped || is_spill || 32'(lane) == Engine.lanes_p - 1) state <= Place;
        Place:
        if (too_small) begin
          problem <= ErrorAddress;
          state <= Idle;
        end else if (factor == '0) state <= Request;
        Request:
        if (moves_lanes && lane_rows.outside) begin
          problem <= ErrorAddress;
          state <= Idle;
        end else if (moves_lanes && lane_rows.settled && lane_rows.empty) state <= Next;
        else if (request_valid && request_ready) state <= is_map ? Body : Classify;
        Classify: if (class_done) state <= Header;
        Header: if (data_ready && 32'(header_beat) == HeaderBeats - 1) state <= beats_left == 32'd1 ? Next : Body;
        Body: if (!more && !arriving && !full) state <= Next;
        Next: begin
          done <= images_left == (LaneBits + 1)'(1);
          state <= images_left == (LaneBits + 1)'(1) ? Idle : Request;
        end
        default: state <= Idle;
      endcase
    end

    if (go) begin
      arriving_zero <= read_zero;
      arriving_end <= place_ends;
    end
    case (state)
      Idle: begin
        // Records of a map lie image by image from out_base on; those of results are counted by the core.
        factor <= asks_map && !asks_spill ? image_index : '0;
        request_address <= asks_map ?
            (asks_spill ? maps_address : results_address) + AxiAddressBits'(i.out_base) : record_address;
        images_left <= striped ? (LaneBits + 1)'(Engine.lanes_p) : images;
        lane <= '0;
      end
      Size: begin
        addend <= striped && lane != '0 ? addend + stride : stride;
        if (striped && !is_spill) lane <= 32'(lane) == Engine.lanes_p - 1 ? '0 : lane + 1'b1;
      end
      Place: begin
        if (factor[0]) request_address <= request_address + addend;
        addend <= addend << 1;
        factor <= factor >> 1;
      end
      Request: begin
        beats_left <= record_beats;
        item <= '0;
        asked <= '0;
        more <= 1'b1;
        header_beat <= 1'b0;
      end
      Header:
      if (data_ready) begin
        header_beat <= 1'b1;
        beats_left <= beats_left - 32'd1;
      end
      Body:
      if (read) begin
        if (row_ends) item <= '0;
        else if (!read_zero) item <= item + 1'b1;
        asked <= place_ends ? '0 : asked + 1'b1;
        if (place_ends) begin
          beats_left <= beats_left - 32'd1;
          more <= beats_left != 32'd1;
        end
      end
      Next: begin
        request_address <= request_address + stride;
        images_left <= images_left - 1'b1;
        lane <= lane + 1'b1;
      end
      default: ;
    endcase
    if (moves_lanes) request_address <= lane_rows.address;  // it stays while it is asked for
    if (arriving && go) begin
      if (is_map) assembly <= (Engine.bus_bits)'({arriving_zero ? MapBits'(0) : map_item, assembly} >> MapBits);
      else assembly <= (Engine.bus_bits)'({arriving_zero ? ResultBits'(0) : result_item, assembly} >> ResultBits);
    end
  end

  // Where the words of a map lie: one after the other, or with the steps of a SPILL's pixels and rows.
  store_t pixel_address, row_address, next_pixel, next_row, first_word;
  logic [15:0] words_left;  // of the pixel
  logic last_word;
  assign first_word = moves_lanes ? lane_rows.word : store_t'(i.in_base);
  assign next_pixel = pixel_address + store_t'(i.in_words);
  assign next_row = row_address + store_t'(i.in_row_words);
  assign word_outside = word_address >= store_t'(Engine.bank_depth);
  always_ff @(posedge clk) begin
    if (state == Request) begin
      word_address <= first_word;
      pixel_address <= first_word;
      row_address <= first_word;
    end else if (read && row_ends) begin
      word_address <= next_row;
      pixel_address <= next_row;
      row_address <= next_row;
    end else if (read && last_word) begin
      word_address <= next_pixel;
      pixel_address <= next_pixel;
    end else if (read && !read_zero) begin
      word_address <= word_address + 1'b1;
    end
    if (state == Request || (read && (row_ends || last_word))) begin
      words_left <= i.sub_rows;
      last_word <= is_spill && i.sub_rows == 16'd1;
    end else if (read) begin
      words_left <= words_left - 16'd1;
      last_word <= is_spill && words_left == 16'd2;
    end
  end

  cascade_confidence #(
    .ResultDepth(Engine.result_depth),
    .Confidence(Engine.confidence)
  ) i_confidence (
    .clk,
    .rst_n,
    .start(request_valid && request_ready && !is_map),
    .classes(header.classes),
    .k(header.confidence_k),
    .m(header.confidence_m),
    .n(header.confidence_n),
    .threshold(header.threshold),
    .read_enable(class_read),
    .read_address(class_address),
    .logit(result_item),
    .done(class_done),
    .best_class,
    .confident,
    .numerator,
    .total
  );
endmodule
