// Checks a whole program before anything of it runs, so that what runs needs no checks: no count is 0,
// no address leaves its memory, the weight stream has the length that the convolutions take.
#ifndef CASCADE_CHECK_HPP
#define CASCADE_CHECK_HPP

#include "memory.hpp"
#include "walk.hpp"

namespace cascade {

typedef uint64_t Wide;

// Rows of the weight stream: how many share a beat, or how many beats one takes.
template <class Config, bool Indexed>
struct RowLayout {
  static constexpr int bits = Indexed ? Shape<Config>::indexed_row_bits : Shape<Config>::dense_row_bits;
  static constexpr int per_beat = larger(Config::bus_bits / bits, 1);
  static constexpr int beats = (bits + Config::bus_bits - 1) / Config::bus_bits;
};

template <class Config>
inline unsigned int row_beats(unsigned int rows, bool indexed) {
  typedef RowLayout<Config, false> Dense;
  typedef RowLayout<Config, true> Indexed;
  return indexed ? divide_up(rows, Indexed::per_beat) * Indexed::beats
                 : divide_up(rows, Dense::per_beat) * Dense::beats;
}

constexpr unsigned int record_bytes = 16;
constexpr uint32_t most_row_beats = 65535;  // of a map in external memory

// Beats of the parameters of a group of `channels` channels.
template <class Config>
inline unsigned int parameter_records(unsigned int channels) {
  return divide_up(channels, Config::drain_k) * Config::drain_k;
}
template <class Config>
inline unsigned int parameter_beats(unsigned int channels) {
  return divide_up(parameter_records<Config>(channels) * record_bytes, Shape<Config>::bus_bytes);
}

// Last word that a walk over `height` x `width` positions touches.
inline Wide last_word(Wide base, uint16_t height, uint16_t row_words, uint16_t width, uint16_t words) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return base + product(height - 1, row_words) + product(width - 1, words);
}

// Largest row (column) inside the map that a window reaches; negative where it never does.
inline int64_t last_inside(unsigned int size, unsigned int positions, uint8_t stride, uint8_t kernel, uint8_t dilation,
                           uint8_t pad) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int64_t reached = static_cast<int64_t>(product(positions - 1, stride)) +
                          static_cast<int64_t>(product(kernel - 1, dilation)) - pad;
  const int64_t last = static_cast<int64_t>(size) - 1;
  return reached < last ? reached : last;
}

// Of the output.
inline uint32_t positions_of(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return static_cast<uint32_t>(product(i.out_height, i.out_width));
}

// Whether every word that the windows of CONV or MAXPOOL read at `height` x `width` positions lies before `bank_end`.
inline bool windows_fit(const Instruction& i, unsigned int height, unsigned int width, Wide first, Wide words,
                        Wide bank_end) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int64_t y = last_inside(i.in_height, height, i.stride_h, i.kernel_h, i.dilation_h, i.pad_top);
  const int64_t x = last_inside(i.in_width, width, i.stride_w, i.kernel_w, i.dilation_w, i.pad_left);
  if (y < 0 || x < 0) return true;  // nothing but padding
  const Wide last = static_cast<Wide>(i.in_base) + product(static_cast<uint32_t>(y), i.in_row_words) +
                    product(static_cast<uint32_t>(x), i.in_words) + first + words - 1;
  return last < bank_end;
}

// Whether an output map of `words` words a position lies before `bank_end`, one position after the other.
inline bool output_fits(const Instruction& i, Wide words, Wide bank_end) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint32_t positions = positions_of(i);
  return i.out_base + product(positions - 1, i.out_words) + words - 1 < bank_end;
}

inline bool power_of_two(unsigned int value) {
  return (value & (value - 1)) == 0;
}

template <class Config>
inline int check_table(const Instruction& i) {
  if (i.in_words == 0 || i.sub_rows == 0) return error_count;
  if (i.sub_rows > Config::table_words || i.in_words > Shape<Config>::table_lanes) return error_address;
  if (!power_of_two(i.in_words)) return error_count;
  return i.in_base % Shape<Config>::bus_bytes == 0 ? error_none : error_address;
}

// Whether the rows that all lanes move with STRIPED lie in `size` bytes.
template <class Config>
inline bool lanes_fit(const Instruction& i, const Stripes& stripes, uint32_t base, uint16_t height, uint32_t row_bytes,
                      uint32_t size) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  LaneWindow window = first_lane(stripes);
  bool fit = true;
  for (int lane = 0; lane < Config::lanes_p; ++lane) {
    const LaneRows rows = lane_rows<Config>(i, window, height);
    const Wide first = first_byte<Config>(base, i.residual_base, static_cast<unsigned int>(lane), row_bytes, rows);
    fit = fit && (rows.height == 0 || first + product(row_bytes, rows.height) <= size);
    next_lane(stripes, window);
  }
  return fit;
}

template <class Config>
inline int check_load(const Instruction& i, const Header& header, const Stripes& stripes) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint32_t pixels = positions_of(i);
  if (i.in_words == 0 || i.sub_rows == 0 || i.levels == 0 || pixels == 0) return error_count;
  if (i.sub_rows > Config::table_words || i.in_words > Shape<Config>::table_lanes) return error_address;
  if (!power_of_two(i.in_words) || (i.out_words == 0 && pixels > 1)) return error_count;
  const Wide words = digits_together<Config>(i) ? 1 : product(i.sub_rows, i.levels);
  if (!output_fits(i, words, static_cast<Wide>(Config::bank_depth))) return error_address;
  if (i.in_base % Shape<Config>::bus_bytes != 0) return error_address;
  static_assert(Config::table_words * Shape<Config>::table_lanes < 1 << 16, "bytes of a pixel fill a uint16_t");
  const uint16_t pixel_bytes = static_cast<uint16_t>(product(i.sub_rows, i.in_words));
  if (Config::stripes && i.striped()) {
    const uint64_t row_bytes = product(pixel_bytes, i.out_width);
    const bool aligned = header.image_pitch % Shape<Config>::bus_bytes == 0 &&
                         i.residual_base % Shape<Config>::bus_bytes == 0 && row_bytes % Shape<Config>::bus_bytes == 0;
    const bool fits = aligned && row_bytes / Shape<Config>::bus_bytes <= most_row_beats &&
                      lanes_fit<Config>(i, stripes, i.in_base, i.out_height, static_cast<uint32_t>(row_bytes),
                                        header.image_pitch);
    return fits ? error_none : error_address;
  }
  const bool pitch_fits = header.image_pitch % Shape<Config>::bus_bytes == 0 &&
                          i.in_base + product(pixels, pixel_bytes) <= header.image_pitch;
  return pitch_fits ? error_none : error_address;
}

template <class Config>
inline bool residual_fits(const Instruction& i, Wide bank_end) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (i.residual_offset % Config::drain_k != 0) return false;
  const int64_t last_channel = static_cast<int64_t>(i.channels) - 1 - i.residual_offset;
  const int64_t last_stored = static_cast<int64_t>(i.residual_channels) - 1;
  const int64_t last = last_channel < last_stored ? last_channel : last_stored;
  if (last < 0) return true;  // no channel of this layer has one
  const Wide word = last_word(i.residual_base, i.out_height, i.residual_row_words, i.out_width, i.residual_pixel_words);
  return word + static_cast<Wide>(last) / Config::sub_row < bank_end;
}

// Of a tile of 2 or 4.
inline uint8_t taps_of(const Instruction& i) {
  return i.tile == 4 ? 36 : 16;
}

// What a CONV with a tile must be, its rows left out.
template <class Config>
inline int check_tile(const Instruction& i) {
  if ((i.tile != 2 && i.tile != 4) || i.tile > Config::tile) return error_opcode;
  const bool plain = i.kernel_h == 3 && i.kernel_w == 3 && i.stride_h == 1 && i.stride_w == 1 && i.dilation_h == 1 &&
                     i.dilation_w == 1 && i.channel_step == 0 && !i.to_result();
  const bool fits = product(i.sub_rows, taps_of(i)) <= static_cast<Wide>(Config::transform_depth);
  return plain && fits ? error_none : error_count;
}

// Rows of a level of a CONV with a tile, 0 where a tap would take none.
inline Wide rows_of_taps(const Instruction& i, const Taps& taps) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  uint16_t steps = 0;
  unsigned int last = 0;
  bool empty = false;
  for (unsigned int tap = 0; tap < static_cast<unsigned int>(most_taps); ++tap) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    if (tap < taps_of(i)) {
      steps = static_cast<uint16_t>(steps + steps_of_tap(i, taps, tap));
      last += last_steps_of_tap(i, taps, tap);
      empty = empty || steps_of_tap(i, taps, tap) == 0;
    }
  }
  return empty ? 0 : product(i.sub_rows - 1, steps) + last;
}

// Channels of all groups of a CONV but the last.
template <class Config>
inline Wide channels_before_last(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return product(Config::lanes_k, static_cast<uint16_t>(i.groups - 1));
}

template <class Config>
inline int check_conv(const Instruction& i, const Taps& taps, Wide bank_end) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint32_t positions = positions_of(i);
  const bool tiled = i.tile != 0;
  const uint16_t kernel = static_cast<uint16_t>(product(i.kernel_h, i.kernel_w));
  if (positions == 0 || i.levels == 0 || kernel == 0 || i.channels == 0 || i.rows == 0) return error_count;
  if (i.sub_rows == 0 || i.steps_last == 0 || (!tiled && i.sub_rows > 1 && i.steps == 0)) return error_count;
  const Wide before = channels_before_last<Config>(i);  // groups = ceil(channels / lanes_k), without a division
  if (i.groups == 0 || before >= i.channels) return error_count;
  if (i.channels - before > static_cast<Wide>(Config::lanes_k)) return error_count;
  if (i.rows > Config::weight_depth && positions > 1) return error_count;
  const int tile_error = tiled ? check_tile<Config>(i) : error_none;
  if (tile_error != error_none) return tile_error;
  // Steps take 24 bits; rows of a level that i.rows cannot hold are wrong whatever `levels` is.
  const uint32_t steps = static_cast<uint32_t>(product(i.sub_rows - 1, i.steps)) + i.steps_last;
  const Wide rows = tiled ? rows_of_taps(i, taps) : product(steps, kernel);
  if (rows > i.rows || product(static_cast<uint32_t>(rows), i.levels) != i.rows) return error_count;
  if (!i.to_result() && i.out_words == 0 && positions > 1) return error_count;
  const Wide first = product(i.groups - 1, i.channel_step) >> Shape<Config>::sub_row_shift;
  const unsigned int height = tiled ? tiles_of(i.out_height, i.tile) * i.tile : i.out_height;
  const unsigned int width = tiled ? tiles_of(i.out_width, i.tile) * i.tile : i.out_width;
  if (!windows_fit(i, height, width, first, i.sub_rows, bank_end)) return error_address;
  const bool output_inside = i.to_result()
                                 ? i.out_base + product(positions, i.channels) <= static_cast<Wide>(Config::result_depth)
                                 : output_fits(i, divide_up(i.channels, Config::sub_row), bank_end);
  if (!output_inside) return error_address;
  return !i.residual() || residual_fits<Config>(i, bank_end) ? error_none : error_address;
}

inline int check_taps(const Instruction& i) {
  const Taps taps = decode_taps(i);
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=taps.exponent complete
#pragma HLS ARRAY_PARTITION variable=taps.steps complete
#endif
  bool fit = true;
  for (int n = 0; n < most_taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    fit = fit && taps.exponent[n] <= largest_exponent;
  }
  return fit ? error_none : error_opcode;
}

inline int check_max_pool(const Instruction& i, Wide bank_end) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint32_t positions = positions_of(i);
  if (positions == 0 || i.kernel_h == 0 || i.kernel_w == 0 || i.sub_rows == 0) return error_count;
  if (i.out_words == 0 && positions > 1) return error_count;
  const bool inside = windows_fit(i, i.out_height, i.out_width, 0, i.sub_rows, bank_end);
  return inside && output_fits(i, i.sub_rows, bank_end) ? error_none : error_address;
}

template <class Config>
inline int check_store_result(const Header& header) {
  if (header.classes == 0) return error_count;
  if (header.confidence_m > header.confidence_n || header.confidence_n > leading_places) return error_count;
  if (header.classes > static_cast<uint32_t>(Config::result_depth)) return error_address;
  const Wide record = larger(16, Shape<Config>::bus_bytes) + 2 * static_cast<Wide>(header.classes);
  const bool fits = header.result_pitch % Shape<Config>::bus_bytes == 0 && record <= header.result_pitch;
  return fits ? error_none : error_address;
}

template <class Config>
inline int check_store_map(const Instruction& i, Wide bank_end) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const Wide words = product(i.in_row_words, i.in_height);
  if (words == 0) return error_count;
  const bool fits = i.in_base + words <= bank_end && i.out_base % Shape<Config>::bus_bytes == 0;
  return fits ? error_none : error_address;
}

// Whether the rows of a FILL or SPILL lie in the maps, for every lane, at beats and apart from other lanes'.
template <class Config>
inline bool maps_hold(const Instruction& i, const Header& header, const Stripes& stripes) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  typedef Shape<Config> S;
  const MapRows rows = map_rows<Config>(i);
  const bool one = Config::stripes && header.striped != 0;  // image of the pass
  const unsigned int lanes = one ? 1 : S::two_precisions && header.narrow == 0 ? S::wide_lanes : Config::lanes_p;
  const Wide bytes = rows.beats * S::bus_bytes;
  const Wide end = rows.first + product(rows.pitch, static_cast<uint16_t>(lanes - 1)) + bytes;
  const bool aligned = rows.first % S::bus_bytes == 0 && rows.pitch % S::bus_bytes == 0;
  if (!aligned || rows.row_beats > most_row_beats) return false;
  if (Config::stripes && i.striped()) {
    // Lanes may get rows in common, but each writes its own.
    return (i.opcode == op_fill || bytes <= rows.pitch) &&
           lanes_fit<Config>(i, stripes, rows.first, rows.height, rows.row_beats * S::bus_bytes, header.map_bytes);
  }
  return bytes <= rows.pitch && end <= header.map_bytes;
}

template <class Config>
inline int check_fill(const Instruction& i, const Header& header, const Stripes& stripes) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint32_t pixels = positions_of(i);
  if (i.sub_rows == 0 || pixels == 0 || (i.out_words == 0 && pixels > 1)) return error_count;
  const bool inside = output_fits(i, i.sub_rows, static_cast<Wide>(Config::bank_depth));
  return inside && maps_hold<Config>(i, header, stripes) ? error_none : error_address;
}

template <class Config>
inline int check_spill(const Instruction& i, const Header& header, const Stripes& stripes) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (i.sub_rows == 0 || i.in_height == 0 || i.in_width == 0) return error_count;
  const Wide last = last_word(i.in_base, i.in_height, i.in_row_words, i.in_width, i.in_words) + i.sub_rows - 1;
  const bool inside = last < static_cast<Wide>(Config::bank_depth);
  return inside && maps_hold<Config>(i, header, stripes) ? error_none : error_address;
}

// What the instructions before one in a pass mean for it.
struct Before {
  bool table;
  bool load;
  bool never_ahead;  // a second LOAD, or a FILL or a SPILL before the LOAD
  bool load_ahead;
  uint32_t images;  // first word of the LOAD's images
  Stripes stripes;
};

inline Before nothing_before() {
  Before before;
  before.table = false;
  before.load = false;
  before.never_ahead = false;
  before.load_ahead = false;
  before.images = 0;
  before.stripes = all_inside();
  return before;
}

inline void note(const Instruction& i, Before& before) {
  before.never_ahead = before.never_ahead || (i.opcode == op_load ? before.load : moves_map(i) && !before.load);
  before.table = before.table || i.opcode == op_table;
  before.load_ahead = before.load_ahead || i.load_ahead();
  before.load = before.load || i.opcode == op_load;
  if (i.opcode == op_load) before.images = i.out_base;
  if (i.opcode == op_stripes) before.stripes = stripes_of(i);
}

// STRIPED where it does not belong.
inline bool striped_wrong(const Instruction& i, const Header& header) {
  const bool takes = i.opcode == op_load || i.opcode == op_conv || i.opcode == op_max_pool || i.opcode == op_store_map ||
                     moves_map(i);
  return i.striped() && !(header.striped != 0 && takes);
}

inline bool misplaced(const Instruction& i, const Before& before) {
  if (i.opcode == op_table) return before.table || before.load;
  if (i.opcode == op_load || moves_map(i)) return before.load_ahead;
  return i.load_ahead() && (!before.load || before.never_ahead);
}

template <class Config>
inline int check_instruction(const Instruction& i, const Taps& taps, const Header& header, const Before& before) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (i.reserved != 0 || i.reserved_high != 0 || i.flags >> 7 != 0) return error_opcode;
  if (Config::stripes ? striped_wrong(i, header) : i.striped()) return error_opcode;
  if (i.load_ahead() && i.opcode != op_conv && i.opcode != op_max_pool) return error_opcode;
  if (i.opcode == op_conv && i.indexed() && !Config::gather) return error_opcode;
  if (moves_map(i) && !Config::external_maps) return error_opcode;
  if (misplaced(i, before)) return error_count;
  const Wide bank_end = before.load_ahead || i.load_ahead() ? before.images : static_cast<Wide>(Config::bank_depth);
  switch (i.opcode) {
    case op_table:
      return check_table<Config>(i);
    case op_load:
      return check_load<Config>(i, header, before.stripes);
    case op_conv:
      return check_conv<Config>(i, taps, bank_end);
    case op_max_pool:
      return check_max_pool(i, bank_end);
    case op_store_result:
      return check_store_result<Config>(header);
    case op_store_map:
      return check_store_map<Config>(i, bank_end);
    case op_taps:
      return check_taps(i);
    case op_fill:
      return Config::external_maps ? check_fill<Config>(i, header, before.stripes) : error_opcode;
    case op_spill:
      return Config::external_maps ? check_spill<Config>(i, header, before.stripes) : error_opcode;
    case op_stripes:
      if (!Config::stripes || header.striped == 0) return error_opcode;
      return i.in_height != 0 && i.out_height != 0 ? error_none : error_count;
    case op_shift:
      if (!Config::stripes || header.striped == 0) return error_opcode;
      return i.kernel_h == 1 && i.kernel_w == 1 && i.levels <= 1 ? check_max_pool(i, bank_end) : error_count;
    case op_end:
      return error_none;
    default:
      return error_opcode;
  }
}

// Beats of the weight stream that a convolution takes.
template <class Config>
inline Wide packet_beats(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int last = i.channels - static_cast<unsigned int>(channels_before_last<Config>(i));
  const unsigned int rows = row_beats<Config>(i.rows, i.indexed());
  const unsigned int whole = parameter_beats<Config>(Config::lanes_k) + rows;
  return product(whole, static_cast<uint16_t>(i.groups - 1)) + parameter_beats<Config>(last) + rows;
}

// Reads the header and every instruction once. Returns the error code; `header.instructions` then counts
// the instructions of a pass, without END and what follows it.
template <class Config, class Memory>
inline int check_program(Memory program, unsigned int image_count, Header& header) {
  uint32_t word[block_words];
#ifdef __SYNTHESIS__
#pragma HLS ALLOCATION function instances=product limit=1
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
  read_block<Config>(program, 0, word);
  header = decode_header(word);
  if (image_count == 0) return error_no_images;
  if (word[0] != program_magic || word[1] != program_version) return error_magic;
  if (word[2] != static_cast<uint32_t>(Config::signature & 0xffffffffu)) return error_signature;
  if (word[3] != static_cast<uint32_t>(Config::signature >> 32)) return error_signature;
  if (header.instructions > max_instructions) return error_crc;
  const uint32_t expected = word[15];
  uint32_t crc = 0xffffffffu;
  for (int n = 0; n < block_words - 1; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II=1
#endif
    crc = crc_word(crc, word[n]);
  }

  int error = error_none;
  Taps taps = no_taps();
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=taps.exponent complete
#pragma HLS ARRAY_PARTITION variable=taps.steps complete
#endif
  Before before = nothing_before();
  bool ended = false;
  unsigned int used = 0;
  Wide beats = 0;
  for (unsigned int index = 0; index < header.instructions; ++index) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#endif
    read_block<Config>(program, index + 1, word);
    for (int n = 0; n < block_words; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II=1
#endif
      crc = crc_word(crc, word[n]);
    }
    const Instruction i = decode_instruction(word);
    if (error == error_none && !ended) error = check_instruction<Config>(i, taps, header, before);
    note(i, before);
    if (i.opcode == op_taps) taps = decode_taps(i);
    if (error == error_none && !ended && i.opcode == op_conv) beats += packet_beats<Config>(i);
    ended = ended || i.opcode == op_end;
    if (!ended) ++used;
  }
  if (~crc != expected) return error_crc;
  if (header.instructions == 0) return error_count;
  if (header.narrow != 0 && Config::narrow_bits == 0) return error_opcode;
  if (header.striped != 0 && !Config::stripes) return error_opcode;
  if (error == error_none && !ended) error = error_opcode;
  if (error == error_none && beats != header.weight_beats) error = error_count;
  header.instructions = used;
  return error;
}

}  // namespace cascade

#endif
