// From an accumulator to the next layer's integer (toolflow/numerics/requantise.py).
#ifndef CASCADE_REQUANTISE_HPP
#define CASCADE_REQUANTISE_HPP

#include "shape.hpp"

namespace cascade {

// (2^39 + 2^39) * (2^16 - 1) + (2^8 * 2^16 << 15) lies within 2^56, and twice that within 2^57.
constexpr int scaled_bits = 57;
constexpr int shift_mask = 63;     // of a record's byte
constexpr int residual_shift_mask = 15;
constexpr int largest_shift = 57;  // from here on everything rounds to 0

// value / 2^shift, rounded to the nearest integer, ties to the even one, within the bounds. The bit on the right of the
// quotient is its half; of those further right it matters whether one is set. The quotient is compared with the bounds
// while it is rounded: at the upper one it stays there.
inline Int<result_bits> rounded_within(Int<scaled_bits> value, uint8_t shift, int16_t lower, int16_t upper) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int wanted = shift & shift_mask;
  const int places = wanted < largest_shift ? wanted : largest_shift;
  const Int<scaled_bits + 1> doubled = Int<scaled_bits + 1>(value) * 2;
  const Int<scaled_bits + 1> shifted = doubled >> places;
  const Int<scaled_bits + 1> rest = doubled & ((Int<scaled_bits + 1>(1) << places) - 1);
  const Int<scaled_bits> quotient = shifted >> 1;
  if (quotient < lower) return lower;
  if (quotient >= upper) return upper;
  const bool up = (shifted & 1) != 0 && (rest != 0 || (quotient & 1) != 0);
  return keep_signed<result_bits>(quotient + (up ? 1 : 0));
}

template <class Config>
inline Int<result_bits> requantise(Int<Config::accumulator_bits> accumulator, const Parameters& of,
                                   Int<Config::activation_bits + 1> residual, int16_t lower, int16_t upper) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  constexpr int total_bits = larger(Config::accumulator_bits, Config::bias_bits) + 1;
  const Int<total_bits> total = Int<total_bits>(accumulator) + keep_signed<Config::bias_bits>(of.bias);
  const int places = Config::tile == 0 ? 0 : of.residual_shift & residual_shift_mask;
  const Int<scaled_bits> added = Int<scaled_bits>(residual) * of.residual_multiplier;
  const Int<scaled_bits> scaled = Int<scaled_bits>(total) * of.multiplier + (added << places);
  return rounded_within(scaled, of.shift, lower, upper);
}

}  // namespace cascade

#endif
