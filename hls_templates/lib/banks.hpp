// Words of the banks: S elements in `granules` memories that are written one by one.
#ifndef CASCADE_BANKS_HPP
#define CASCADE_BANKS_HPP

#include "shape.hpp"

namespace cascade {

template <class Config>
using Word = UInt<Config::activation_bits>[Config::sub_row];
// A word where a memory holds it whole.
template <class Config>
using WholeWord = Packed<Config::sub_row, Config::activation_bits>;

template <class Config>
inline void read_word(const Banks<Config>& bank, int lane, unsigned int address, Word<Config>& word) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int g = 0; g < S::granules; ++g) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const Granule<Config> part = bank[lane][g][address];
    for (int e = 0; e < S::granule; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      word[g * S::granule + e] = element<S::granule, Config::activation_bits>(part, e);
    }
  }
}

template <class Config>
inline void write_word(Banks<Config>& bank, int lane, unsigned int address, const Word<Config>& word) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int g = 0; g < S::granules; ++g) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    Granule<Config> part;
    for (int e = 0; e < S::granule; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      set_element<S::granule, Config::activation_bits>(part, e, word[g * S::granule + e]);
    }
    bank[lane][g][address] = part;
  }
}

template <class Config>
inline void join_word(const Word<Config>& word, WholeWord<Config>& whole) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    set_element<Config::sub_row, Config::activation_bits>(whole, e, word[e]);
  }
}

template <class Config>
inline void cut_word(const WholeWord<Config>& whole, Word<Config>& word) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    word[e] = element<Config::sub_row, Config::activation_bits>(whole, e);
  }
}

// An element as a number.
template <class Config>
inline Int<Config::activation_bits + 1> number(UInt<Config::activation_bits> raw, bool is_signed) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (is_signed) return keep_signed<Config::activation_bits>(static_cast<int64_t>(raw));
  return Int<Config::activation_bits + 1>(raw);
}

}  // namespace cascade

#endif
