// MAXPOOL: element-wise maximum over windows, one word per cycle in every lane. SHIFT: words to the next lane or the one
// before, one per cycle.
#ifndef CASCADE_POOL_HPP
#define CASCADE_POOL_HPP

#include "banks.hpp"
#include "walk.hpp"

namespace cascade {

template <class Config>
void max_pool(const Instruction& i, const Windows<Config>& windows, bool narrow, Banks<Config>& bank) {
  typedef Shape<Config> S;
  Elements<Config> largest[Config::lanes_p];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=largest complete dim=0
#endif
  const unsigned int positions = static_cast<unsigned int>(i.out_height) * i.out_width;
  const unsigned int taps = static_cast<unsigned int>(i.kernel_h) * i.kernel_w;
  const uint64_t cycles = static_cast<uint64_t>(positions) * i.sub_rows * taps;
  Position position = first_position(i);
  const Window window = window_of(i.kernel_h, i.kernel_w, i.sub_rows);
  Tap tap = first_tap(window);
  UInt<Config::activation_bits> lowest = 0;
  if (i.input_signed()) lowest = keep_unsigned<Config::activation_bits>(1u << (Config::activation_bits - 1));
  if (i.input_signed() && narrow) lowest = keep_unsigned<Config::activation_bits>(1u << (S::bank_bits - 1));
  for (uint64_t n = 0; n < cycles; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=4 max=1048576
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=bank inter false
#endif
    const Place place = place_of(i, position, tap, 0);
    bool inside[Config::lanes_p];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=inside complete
#endif
    lanes_inside<Config>(i, place, windows, inside);
    const bool first = tap.kx == 0 && tap.ky == 0;
    const bool column_ends = tap.kx == window.last_column;
    const bool last = column_ends && tap.ky == window.last_row;
    Words<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete dim=0
#endif
    read_words<Config>(bank, place.address, word);
    for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const UInt<Config::activation_bits> own =
            element_of<Config>(word[p], word[upper_bank<Config>(p)], e, narrow || p >= S::wide_lanes);
        const UInt<Config::activation_bits> best = first ? lowest : largest[p][e];
        const bool greater =
            number<Config>(own, i.input_signed(), narrow) > number<Config>(best, i.input_signed(), narrow);
        largest[p][e] = inside[p] && greater ? own : best;
      }
    }
    for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const bool upper_half = p >= S::wide_lanes;
      Word<Config> most;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=most complete
#endif
      for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const UInt<S::bank_bits> half =
            place_of_bank<Config, Config::sub_row>(largest[wide_lane<Config>(p)], e, upper_half, false);
        most[e] = narrow ? place_of_bank<Config, Config::sub_row>(largest[p], e, upper_half, true) : half;
      }
      if (last) write_word<Config>(bank, p, position.out_word + tap.q, most);
    }
    // Kernel columns first, then kernel rows, then the next word, then the next position.
    const bool word_ends = tap.q == window.last_word;
    tap.kx = static_cast<uint8_t>(column_ends ? 0 : tap.kx + 1);
    if (column_ends) tap.ky = static_cast<uint8_t>(last ? 0 : tap.ky + 1);
    if (last) tap.q = static_cast<uint16_t>(word_ends ? 0 : tap.q + 1);
    if (last && word_ends) next_position(i, position);
  }
}

// The windows are of one position. A lane that no other one feeds gets the words of its own.
template <class Config>
void shift_lanes(const Instruction& i, Banks<Config>& bank) {
  const unsigned int positions = static_cast<unsigned int>(i.out_height) * i.out_width;
  const uint64_t cycles = static_cast<uint64_t>(positions) * i.sub_rows;
  const bool upwards = i.levels != 0;  // to the lane before
  const Window window = window_of(1, 1, i.sub_rows);
  Position position = first_position(i);
  Tap tap = first_tap(window);
  for (uint64_t n = 0; n < cycles; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=bank inter false
#endif
    const Place place = place_of(i, position, tap, 0);
    Words<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete dim=0
#endif
    read_words<Config>(bank, place.address, word);
    for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      Word<Config> moved;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=moved complete
#endif
      const int before = p > 0 ? p - 1 : p;
      const int behind = p + 1 < Config::lanes_p ? p + 1 : p;
      for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        moved[e] = upwards ? word[behind][e] : word[before][e];
      }
      write_word<Config>(bank, p, position.out_word + tap.q, moved);
    }
    if (tap.last_word) next_position(i, position);
    next_tap(window, tap);
  }
}

}  // namespace cascade

#endif
