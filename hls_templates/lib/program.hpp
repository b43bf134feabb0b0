// Instructions and the program's header, as toolflow/engine/PROGRAM.md lays them out.
#ifndef CASCADE_PROGRAM_HPP
#define CASCADE_PROGRAM_HPP

#include "shape.hpp"

namespace cascade {

constexpr uint32_t program_magic = 0x31465443;
constexpr uint32_t program_version = 7;
// A damaged count must not make the engine read gigabytes before the CRC can tell.
constexpr unsigned int max_instructions = 65536;
constexpr int leading_places = 8;  // of the order of values, that the confidence unit keeps

constexpr int op_table = 1;
constexpr int op_load = 2;
constexpr int op_conv = 3;
constexpr int op_max_pool = 4;
constexpr int op_store_result = 5;
constexpr int op_store_map = 6;
constexpr int op_end = 7;
constexpr int op_taps = 8;
constexpr int op_fill = 9;
constexpr int op_spill = 10;
constexpr int op_stripes = 11;
constexpr int op_shift = 12;

constexpr int error_none = 0;
constexpr int error_magic = 1;
constexpr int error_signature = 2;
constexpr int error_crc = 3;
constexpr int error_opcode = 4;
constexpr int error_address = 5;
constexpr int error_count = 8;
constexpr int error_no_images = 9;
constexpr int error_weight = 10;

struct Header {
  uint32_t instructions;
  uint32_t image_pitch;   // bytes
  uint32_t result_pitch;  // bytes
  uint32_t classes;
  uint16_t confidence_k;
  uint8_t confidence_m;
  uint8_t confidence_n;
  int32_t threshold;
  uint32_t weight_beats;
  uint8_t narrow;  // of an engine with two precisions: whether this is a narrow program
  uint8_t striped;  // one image in each pass
  uint32_t map_bytes;
};

struct Instruction {
  uint8_t opcode;
  uint8_t flags;
  uint8_t levels;
  uint8_t reserved;
  uint32_t in_base;
  uint16_t in_height;
  uint16_t in_width;
  uint16_t in_words;
  uint16_t in_row_words;
  uint32_t out_base;
  uint16_t out_height;
  uint16_t out_width;
  uint16_t out_words;
  uint16_t residual_pixel_words;
  uint16_t channels;
  uint16_t groups;
  uint8_t kernel_h;
  uint8_t kernel_w;
  uint8_t stride_h;
  uint8_t stride_w;
  uint8_t pad_top;
  uint8_t pad_left;
  uint8_t dilation_h;
  uint8_t dilation_w;
  uint16_t sub_rows;
  uint8_t steps;
  uint8_t steps_last;
  uint16_t channel_step;
  uint16_t residual_offset;
  int16_t lower;
  int16_t upper;
  uint16_t rows;
  uint16_t residual_row_words;
  uint32_t residual_base;
  uint16_t residual_channels;
  uint8_t tile;
  uint8_t reserved_high;

  bool input_signed() const { return (flags & 1) != 0; }
  bool residual() const { return (flags & 2) != 0; }
  bool residual_signed() const { return (flags & 4) != 0; }
  bool to_result() const { return (flags & 8) != 0; }
  bool indexed() const { return (flags & 16) != 0; }
  bool load_ahead() const { return (flags & 32) != 0; }
  bool striped() const { return (flags & 64) != 0; }
};

inline uint16_t low_half(uint32_t word) {
  return static_cast<uint16_t>(word & 0xffff);
}
inline uint16_t high_half(uint32_t word) {
  return static_cast<uint16_t>(word >> 16);
}
inline uint32_t join_halves(uint16_t low, uint16_t high) {
  return static_cast<uint32_t>(high) << 16 | low;
}
inline uint32_t join_bytes(uint8_t first, uint8_t second, uint8_t third, uint8_t fourth) {
  return join_halves(static_cast<uint16_t>(second << 8 | first), static_cast<uint16_t>(fourth << 8 | third));
}
template <int Byte>
inline uint8_t byte_of(uint32_t word) {
  return static_cast<uint8_t>(word >> (8 * Byte) & 0xff);
}

inline Header decode_header(const uint32_t (&word)[block_words]) {
  Header header;
  header.instructions = word[4];
  header.image_pitch = word[5];
  header.result_pitch = word[6];
  header.classes = word[7];
  header.confidence_k = low_half(word[8]);
  header.confidence_m = static_cast<uint8_t>(word[8] >> 16 & 15);
  header.confidence_n = static_cast<uint8_t>(word[8] >> 20 & 15);
  header.threshold = static_cast<int32_t>(word[9]);
  header.weight_beats = word[10];
  header.narrow = static_cast<uint8_t>(word[11] >> 0 & 1);
  header.striped = static_cast<uint8_t>(word[11] >> 1 & 1);
  header.map_bytes = word[12];
  return header;
}

inline bool moves_map(const Instruction& i) {
  return i.opcode == op_fill || i.opcode == op_spill;
}

// The rows of a lane that a FILL or SPILL moves, as they lie in external memory.
struct MapRows {
  uint32_t first;      // byte of lane 0's, counted from the maps
  uint32_t pitch;      // bytes from a lane's to the next lane's
  uint16_t height;
  uint32_t row_words;
  uint32_t row_beats;
  uint64_t beats;      // of all rows
};

template <class Config>
inline MapRows map_rows(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool spills = i.opcode == op_spill;
  MapRows rows;
  rows.first = spills ? i.out_base : i.in_base;
  rows.pitch = i.residual_base;
  rows.height = spills ? i.in_height : i.out_height;
  rows.row_words = static_cast<uint32_t>(product(spills ? i.in_width : i.out_width, i.sub_rows));
  rows.row_beats = divide_up(rows.row_words, Shape<Config>::bus_bytes / Config::sub_row);
  rows.beats = product(rows.row_beats, rows.height);
  return rows;
}

// Whether a LOAD writes all digits of a pixel into one word.
template <class Config>
inline bool digits_together(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return i.sub_rows == 1 && static_cast<unsigned int>(i.levels) * i.in_words <= Config::sub_row;
}

inline Instruction decode_instruction(const uint32_t (&word)[block_words]) {
  Instruction i;
  i.opcode = byte_of<0>(word[0]);
  i.flags = byte_of<1>(word[0]);
  i.levels = byte_of<2>(word[0]);
  i.reserved = byte_of<3>(word[0]);
  i.in_base = word[1];
  i.in_height = low_half(word[2]);
  i.in_width = high_half(word[2]);
  i.in_words = low_half(word[3]);
  i.in_row_words = high_half(word[3]);
  i.out_base = word[4];
  i.out_height = low_half(word[5]);
  i.out_width = high_half(word[5]);
  i.out_words = low_half(word[6]);
  i.residual_pixel_words = high_half(word[6]);
  i.channels = low_half(word[7]);
  i.groups = high_half(word[7]);
  i.kernel_h = byte_of<0>(word[8]);
  i.kernel_w = byte_of<1>(word[8]);
  i.stride_h = byte_of<2>(word[8]);
  i.stride_w = byte_of<3>(word[8]);
  i.pad_top = byte_of<0>(word[9]);
  i.pad_left = byte_of<1>(word[9]);
  i.dilation_h = byte_of<2>(word[9]);
  i.dilation_w = byte_of<3>(word[9]);
  i.sub_rows = low_half(word[10]);
  i.steps = byte_of<2>(word[10]);
  i.steps_last = byte_of<3>(word[10]);
  i.channel_step = low_half(word[11]);
  i.residual_offset = high_half(word[11]);
  i.lower = static_cast<int16_t>(low_half(word[12]));
  i.upper = static_cast<int16_t>(high_half(word[12]));
  i.rows = low_half(word[13]);
  i.residual_row_words = high_half(word[13]);
  i.residual_base = word[14];
  i.residual_channels = low_half(word[15]);
  i.tile = byte_of<2>(word[15]);
  i.reserved_high = byte_of<3>(word[15]);
  return i;
}

// The left shifts of a tile's taps and their steps in each sub-row, 0 where those of the CONV hold; row by row.
constexpr int most_taps = 36;
constexpr int largest_exponent = 7;
constexpr int exponent_bits = 4;
struct Taps {
  uint8_t exponent[most_taps];
  uint8_t steps[most_taps];
};

inline Taps no_taps() {
  Taps taps;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable=taps.exponent complete
#pragma HLS ARRAY_PARTITION variable=taps.steps complete
#endif
  for (int n = 0; n < most_taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    taps.exponent[n] = 0;
    taps.steps[n] = 0;
  }
  return taps;
}

// What TAPS says: words 1 to 5 of the instruction with 8 exponents in each, words 6 to 14 with 4 steps in each.
inline Taps decode_taps(const Instruction& i) {
  const uint32_t exponents[5] = {i.in_base, join_halves(i.in_height, i.in_width),
                                 join_halves(i.in_words, i.in_row_words), i.out_base,
                                 join_halves(i.out_height, i.out_width)};
  const uint32_t steps[9] = {join_halves(i.out_words, i.residual_pixel_words),
                             join_halves(i.channels, i.groups),
                             join_bytes(i.kernel_h, i.kernel_w, i.stride_h, i.stride_w),
                             join_bytes(i.pad_top, i.pad_left, i.dilation_h, i.dilation_w),
                             i.sub_rows | static_cast<uint32_t>(i.steps) << 16 |
                                 static_cast<uint32_t>(i.steps_last) << 24,
                             join_halves(i.channel_step, i.residual_offset),
                             join_halves(static_cast<uint16_t>(i.lower), static_cast<uint16_t>(i.upper)),
                             join_halves(i.rows, i.residual_row_words),
                             i.residual_base};
  Taps taps;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable=exponents complete
#pragma HLS ARRAY_PARTITION variable=steps complete
#pragma HLS ARRAY_PARTITION variable=taps.exponent complete
#pragma HLS ARRAY_PARTITION variable=taps.steps complete
#endif
  for (int n = 0; n < most_taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    taps.exponent[n] = static_cast<uint8_t>(exponents[n / 8] >> (n % 8 * exponent_bits) & 15);
    taps.steps[n] = static_cast<uint8_t>(steps[n / 4] >> (n % 4 * 8) & 255);
  }
  return taps;
}

// Steps of a tap in each sub-row of a CONV with a tile, and in the last one.
inline unsigned int steps_of_tap(const Instruction& i, const Taps& taps, unsigned int tap) {
  return taps.steps[tap] != 0 ? taps.steps[tap] : i.steps;
}
inline unsigned int last_steps_of_tap(const Instruction& i, const Taps& taps, unsigned int tap) {
  const unsigned int steps = steps_of_tap(i, taps, tap);
  return steps < i.steps_last ? steps : i.steps_last;
}

inline unsigned int channels_of_group(const Instruction& i, unsigned int group, unsigned int lanes_k) {
  const unsigned int left = i.channels - group * lanes_k;
  return left < lanes_k ? left : lanes_k;
}

// What bit `bit` of a word adds to a CRC-32 of zlib (reflected 0x04C11DB7) after this word.
constexpr uint32_t crc_of_bit(int bit) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  uint32_t value = 1u << bit;
  for (int n = 0; n < 32; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0u);
  }
  return value;
}

// The CRC after one more little-endian word: the exclusive or of what its bits add, as a tree.
inline uint32_t crc_word(uint32_t crc, uint32_t word) {
  const uint32_t value = crc ^ word;
  uint32_t sum[32];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=sum complete
#endif
  for (int bit = 0; bit < 32; ++bit) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    sum[bit] = (value >> bit & 1) != 0 ? crc_of_bit(bit) : 0u;
  }
  for (int level = 4; level >= 0; --level) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int n = 0; n < 1 << level; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      sum[n] ^= sum[n + (1 << level)];
    }
  }
  return sum[0];
}

}  // namespace cascade

#endif
