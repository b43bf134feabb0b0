// Words of the banks: S elements in `granules` memories that are written one by one. With two precisions a word of wide
// lane p lies in two banks: its lower half in bank p, the upper one in bank p + lanes_p / 2.
#ifndef CASCADE_BANKS_HPP
#define CASCADE_BANKS_HPP

#include "shape.hpp"

namespace cascade {

// A word as a bank holds it, and those of all banks at one address.
template <class Config>
using Word = UInt<Shape<Config>::bank_bits>[Config::sub_row];
template <class Config>
using Words = Word<Config>[Config::lanes_p];
// A word where a memory holds it whole.
template <class Config>
using WholeWord = Packed<Config::sub_row, Shape<Config>::bank_bits>;
// A word as a program sees it, each element in the low bits of its precision.
template <class Config>
using Elements = UInt<Config::activation_bits>[Config::sub_row];

// The bank that holds the upper half of a wide lane's words; of other lanes, their own.
template <class Config>
constexpr int upper_bank(int lane) {
  return Shape<Config>::two_precisions && lane < Shape<Config>::wide_lanes ? lane + Shape<Config>::wide_lanes : lane;
}
// The wide lane whose words a bank holds.
template <class Config>
constexpr int wide_lane(int bank) {
  return bank < Shape<Config>::wide_lanes ? bank : bank - Shape<Config>::wide_lanes;
}

// Element `e` of a lane's word.
template <class Config>
inline UInt<Config::activation_bits> element_of(const Word<Config>& lower, const Word<Config>& upper, int e,
                                                bool narrow) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (!Shape<Config>::two_precisions || narrow) return UInt<Config::activation_bits>(lower[e]);
  const int low = 2 * e;
  const int high = low + 1;
  const UInt<Config::activation_bits> first = low < Config::sub_row ? lower[low] : upper[low - Config::sub_row];
  const UInt<Config::activation_bits> second = high < Config::sub_row ? lower[high] : upper[high - Config::sub_row];
  return keep_unsigned<Config::activation_bits>(first | static_cast<uint64_t>(second) << Shape<Config>::bank_bits);
}

// What place `e` of a bank holds of elements of one lane, of which a wide one takes two places; `upper_half` is the one
// of a wide lane.
template <class Config, int Count>
inline UInt<Shape<Config>::bank_bits> place_of_bank(const UInt<Config::activation_bits> (&element)[Count], int e,
                                                    bool upper_half, bool narrow) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int place = upper_half ? Count + e : e;
  const uint64_t wide = static_cast<uint64_t>(element[place / 2]) >> (place % 2 * S::bank_bits);
  return keep_unsigned<S::bank_bits>(!S::two_precisions || narrow ? static_cast<uint64_t>(element[e]) : wide);
}

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
      word[g * S::granule + e] = element<S::granule, S::bank_bits>(part, e);
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
      set_element<S::granule, S::bank_bits>(part, e, word[g * S::granule + e]);
    }
    bank[lane][g][address] = part;
  }
}

// The words of all lanes.
template <class Config>
inline void read_words(const Banks<Config>& bank, unsigned int address, Words<Config>& word) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    read_word<Config>(bank, p, address, word[p]);
  }
}

// One lane's word.
template <class Config>
inline void read_lane(const Banks<Config>& bank, int lane, unsigned int address, bool narrow,
                      Elements<Config>& element) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Word<Config> lower;
  Word<Config> upper;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=lower complete
#pragma HLS ARRAY_PARTITION variable=upper complete
#endif
  const int banks = Shape<Config>::two_precisions ? Config::lanes_p : 0;  // one access to each of them
  if (banks == 0) read_word<Config>(bank, lane, address, lower);
  for (int p = 0; p < banks; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    Word<Config> own;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=own complete
#endif
    read_word<Config>(bank, p, address, own);
    for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      if (p == lane) lower[e] = own[e];
      if (p == upper_bank<Config>(lane)) upper[e] = own[e];
    }
  }
  for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    element[e] = element_of<Config>(lower, upper, e, narrow);
  }
}

template <class Config>
inline void write_lane(Banks<Config>& bank, int lane, unsigned int address, bool narrow,
                       const Elements<Config>& element) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Word<Config> lower;
  Word<Config> upper;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=lower complete
#pragma HLS ARRAY_PARTITION variable=upper complete
#endif
  for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    lower[e] = place_of_bank<Config, Config::sub_row>(element, e, false, narrow);
    upper[e] = place_of_bank<Config, Config::sub_row>(element, e, true, narrow);
  }
  const int banks = Shape<Config>::two_precisions ? Config::lanes_p : 0;  // one access to each of them
  if (banks == 0) write_word<Config>(bank, lane, address, lower);
  for (int p = 0; p < banks; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    if (p == lane) {
      write_word<Config>(bank, p, address, lower);
    } else if (p == upper_bank<Config>(lane) && !narrow) {
      write_word<Config>(bank, p, address, upper);
    }
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
    set_element<Config::sub_row, Shape<Config>::bank_bits>(whole, e, word[e]);
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
    word[e] = element<Config::sub_row, Shape<Config>::bank_bits>(whole, e);
  }
}

// An element as a number.
template <class Config>
inline Int<Config::activation_bits + 1> number(UInt<Config::activation_bits> raw, bool is_signed, bool narrow) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (is_signed && narrow) return keep_signed<Shape<Config>::bank_bits>(static_cast<int64_t>(raw));
  if (is_signed) return keep_signed<Config::activation_bits>(static_cast<int64_t>(raw));
  return Int<Config::activation_bits + 1>(raw);
}

}  // namespace cascade

#endif
