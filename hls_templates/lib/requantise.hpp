// From an accumulator to the next layer's integer (toolflow/numerics/requantise.py).
#ifndef CASCADE_REQUANTISE_HPP
#define CASCADE_REQUANTISE_HPP

#include "shape.hpp"

namespace cascade {

// (2^39 + 2^39) * (2^16 - 1) + (2^8 * 2^16 << 15) lies within 2^56; adding half of 2^57 stays within 2^57.
constexpr int total_bits = 41;
constexpr int scaled_bits = 58;
constexpr int shift_mask = 63;     // of a record's byte
constexpr int residual_shift_mask = 15;
constexpr int largest_shift = 57;  // from here on everything rounds to 0

// value / 2^shift, rounded to the nearest integer, ties to the even one: half - 1 + the quotient's lowest
// bit is added before the bits are dropped.
inline Int<scaled_bits> round_half_even(Int<scaled_bits> value, uint8_t shift) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int wanted = shift & shift_mask;
  if (wanted == 0) return value;
  const int places = wanted < largest_shift ? wanted : largest_shift;
  const Int<scaled_bits> lowest = (value >> places) & 1;
  const Int<scaled_bits> half = Int<scaled_bits>(1) << (places - 1);
  return Int<scaled_bits>(value + (half - 1) + lowest) >> places;
}

template <class Config>
inline Int<result_bits> requantise(Int<Config::accumulator_bits> accumulator, const Parameters& of,
                                   Int<Config::activation_bits + 1> residual, int16_t lower, int16_t upper) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const Int<total_bits> total = Int<total_bits>(accumulator) + of.bias;
  const int places = Config::tile == 0 ? 0 : of.residual_shift & residual_shift_mask;
  const Int<scaled_bits> added = Int<scaled_bits>(residual) * of.residual_multiplier;
  const Int<scaled_bits> scaled = total * of.multiplier + (added << places);
  const Int<scaled_bits> rounded = round_half_even(scaled, of.shift);
  if (rounded < lower) return lower;
  if (rounded > upper) return upper;
  return keep_signed<result_bits>(rounded);
}

}  // namespace cascade

#endif
