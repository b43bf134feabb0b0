// TABLE and LOAD: pixels enter the banks through the tables. FILL: rows of a map enter them as they are.
#ifndef CASCADE_LOAD_HPP
#define CASCADE_LOAD_HPP

#include "banks.hpp"
#include "memory.hpp"
#include "stripes.hpp"

namespace cascade {

// Takes slices of `width` bytes (a power of two) from a stream of beats.
template <class Config>
struct Slicer {
  UInt<8> byte[Shape<Config>::bus_bytes];
  int left;  // bytes of the beat that were not taken

  void take(hls::stream<Beat<Config> >& beats, int width, UInt<8> (&slice)[Shape<Config>::table_lanes]) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
    if (left == 0) {
      cut_bytes<Config>(beats.read(), byte);
      left = Shape<Config>::bus_bytes;
    }
    const int taken = Shape<Config>::bus_bytes - left;
    for (int j = 0; j < Shape<Config>::table_lanes; ++j) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      slice[j] = 0;
      if (j < width) slice[j] = byte[(taken + j) & (Shape<Config>::bus_bytes - 1)];
    }
    left -= width;
  }
};

template <class Config>
void fill_tables(const Instruction& i, hls::stream<Beat<Config> >& data, Tables<Config>& table) {
  Slicer<Config> slicer;
  UInt<8> slice[Shape<Config>::table_lanes];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=slicer.byte complete
#pragma HLS ARRAY_PARTITION variable=slice complete
#endif
  slicer.left = 0;
  const unsigned int entries = i.sub_rows * 256u;
  for (unsigned int n = 0; n < entries; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=256 max=16384
#pragma HLS PIPELINE II=1
#endif
    slicer.take(data, i.in_words, slice);
    for (int j = 0; j < Shape<Config>::table_lanes; ++j) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      if (j < i.in_words) table[j][n] = slice[j];
    }
  }
}

// The lowest digit of an entry. Of wide programs it is all that is left, so that the shift behind it does not matter.
template <class Config>
inline Int<8> digit_of(Int<8> value, bool narrow) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int64_t all = static_cast<int64_t>(value);
  if (S::two_precisions && narrow) return keep_signed<S::least_digit_bits>(all);
  return keep_signed<S::digit_bits>(all);
}

// Rows of one image into the bank, or the two banks, of one lane.
template <class Config>
void load_image(const Instruction& i, int lane, const LaneRows& rows, bool narrow, hls::stream<Beat<Config> >& data,
                const Tables<Config>& table, Banks<Config>& bank) {
  typedef Shape<Config> S;
  Slicer<Config> slicer;
  UInt<8> slice[Shape<Config>::table_lanes];
  Int<8> left[Shape<Config>::table_lanes];  // of each entry, digits not yet cut
  UInt<Config::activation_bits> digits[Shape<Config>::entry_digits][Shape<Config>::table_lanes];  // of each entry
  Elements<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=slicer.byte complete
#pragma HLS ARRAY_PARTITION variable=slice complete
#pragma HLS ARRAY_PARTITION variable=left complete
#pragma HLS ARRAY_PARTITION variable=digits complete dim=0
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
  slicer.left = 0;
  for (int j = 0; j < Shape<Config>::table_lanes; ++j) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    left[j] = 0;
  }
  // The digits of a pixel share a word if it holds them all; otherwise they are written one after the other.
  const bool together = digits_together<Config>(i);
  const unsigned int levels = together ? 1u : i.levels;
  const unsigned int words = static_cast<unsigned int>(rows.height) * i.out_width * i.sub_rows * levels;
  unsigned int digit = 0;
  unsigned int q = 0;
  uint32_t pixel = first_word<Config>(i.out_base, out_row_words(i), rows);
  for (unsigned int n = 0; n < words; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=bank inter false
#endif
    if (digit == 0) slicer.take(data, i.in_words, slice);
    for (int j = 0; j < Shape<Config>::table_lanes; ++j) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      Int<8> value = left[j];
      if (digit == 0) value = keep_signed<8>(static_cast<int64_t>(table[j][q * 256 + slice[j]]));
      for (int d = 0; d < S::entry_digits; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const Int<8> low = digit_of<Config>(value, narrow);
        const int64_t cut = i.levels > 1 ? static_cast<int64_t>(low) : static_cast<int64_t>(value);
        digits[d][j] = keep_unsigned<Config::activation_bits>(static_cast<uint64_t>(cut));
        value = keep_signed<8>((static_cast<int64_t>(value) - static_cast<int64_t>(low)) >> S::least_digit_bits);
        if (d == 0) left[j] = value;
      }
    }
    for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      word[e] = 0;
      for (int d = 0; d < S::entry_digits; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        for (int j = 0; j < Shape<Config>::table_lanes; ++j) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          const bool written = j < i.in_words && (d == 0 || (together && d < i.levels));
          if (written && e == d * i.in_words + j) word[e] = digits[d][j];
        }
      }
    }
    write_lane<Config>(bank, lane, pixel + digit * i.sub_rows + q, narrow, word);
    if (digit + 1 != levels) {
      ++digit;
    } else {
      digit = 0;
      if (q + 1u != i.sub_rows) {
        ++q;
      } else {
        q = 0;
        pixel += i.out_words;
      }
    }
  }
}

// Rows of a map into the bank, or the two banks, of one lane. A row begins at a beat: what rounds it up is passed over.
template <class Config>
void fill_rows(const Instruction& i, int lane, const LaneRows& lane_rows, bool narrow, hls::stream<Beat<Config> >& data, Banks<Config>& bank) {
  typedef Shape<Config> S;
  const unsigned int words_per_beat = S::bus_bytes / Config::sub_row;
  const MapRows rows = map_rows<Config>(i);
  UInt<8> byte[S::bus_bytes];
  Elements<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=byte complete
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
  const unsigned int row_slots = rows.row_beats * words_per_beat;  // words of a row, and what rounds it up
  const unsigned int slots = lane_rows.height * row_slots;
  unsigned int slot = 0;  // of the row
  unsigned int q = 0;
  uint32_t pixel = first_word<Config>(i.out_base, out_row_words(i), lane_rows);
  for (unsigned int n = 0; n < slots; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=bank inter false
#endif
    const unsigned int place = n & (words_per_beat - 1);
    if (place == 0) cut_bytes<Config>(data.read(), byte);
    for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      word[e] = keep_unsigned<Config::activation_bits>(byte[place * Config::sub_row + e]);
    }
    if (slot < rows.row_words) {
      write_lane<Config>(bank, lane, pixel + q, narrow, word);
      if (q + 1u != i.sub_rows) {
        ++q;
      } else {
        q = 0;
        pixel += i.out_words;
      }
    }
    slot = slot + 1 != row_slots ? slot + 1 : 0;
  }
}

}  // namespace cascade

#endif
