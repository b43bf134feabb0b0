// The array: lanes_k x lanes_p accumulators of `slots` multipliers each.
#ifndef CASCADE_ARRAY_HPP
#define CASCADE_ARRAY_HPP

#include "banks.hpp"

namespace cascade {

// Accumulators wrap at their width; a native one wraps where it is drained.
#if CASCADE_EXACT_WIDTHS
template <class Config>
using Accumulator = ap_int<Config::accumulator_bits>;
#else
template <class Config>
using Accumulator = UInt<larger(Config::accumulator_bits, 32)>;
#endif

template <class Config>
using Accumulators = Accumulator<Config>[Config::lanes_p][Config::lanes_k];
template <class Config>
using Words = Word<Config>[Config::lanes_p];
// What the multipliers pick from: a word of numbers in every lane.
template <class Config>
using Operands = Int<Config::operand_bits>[Config::lanes_p][Config::sub_row];

template <class Config>
inline void clear_sums(Accumulators<Config>& accumulator) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      accumulator[p][k] = 0;
    }
  }
}

template <class Config>
inline void hold_sums(const Accumulators<Config>& accumulator, Accumulators<Config>& held) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      held[p][k] = accumulator[p][k];
    }
  }
}

// Sums that leave the array in one cycle: drain_k channels of every lane.
template <class Config>
using Leaving = Accumulator<Config>[Config::lanes_p][Config::drain_k];

template <class Config>
inline void take_sums(const Accumulators<Config>& held, unsigned int chunk, Leaving<Config>& sum) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int d = 0; d < Config::drain_k; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      sum[p][d] = held[p][chunk * Config::drain_k + d];
    }
  }
}

// Words of the banks as operands, 0 outside the map.
template <class Config>
inline void take_operands(const Words<Config>& word, bool inside, bool is_signed, Operands<Config>& operand) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      operand[p][e] = 0;
      if (inside) operand[p][e] = number<Config>(word[p].element[e], is_signed);
    }
  }
}

// One cycle of the array: every multiplier takes its weight and the element that its index picks.
template <class Config>
inline void multiply_accumulate(const Operands<Config>& operand, const WeightRow<Config>& row, bool indexed,
                                unsigned int step, bool clear, bool shift, Accumulators<Config>& accumulator) {
  typedef Shape<Config> S;
  Int<Config::weight_bits> weight[Config::slots][Config::lanes_k];
  UInt<S::index_bits> index[Config::slots][Config::lanes_k];
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable=weight complete dim=0
#pragma HLS ARRAY_PARTITION variable=index complete dim=0
#endif
  for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const UInt<Config::weight_bits> raw = element<Config::slots, Config::weight_bits>(row.value[k], s);
      const UInt<S::index_bits> own = element<Config::slots, S::index_bits>(row.index[k], s);
      weight[s][k] = keep_signed<Config::weight_bits>(static_cast<int64_t>(raw));
      index[s][k] = indexed ? own : UInt<S::index_bits>((step * Config::slots + s) & (Config::sub_row - 1));
    }
  }
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      Int<S::sum_bits> sum = 0;
      for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        sum += Int<S::product_bits>(weight[s][k] * operand[p][index[s][k]]);
      }
      Accumulator<Config> before = 0;
      if (!clear) before = accumulator[p][k];
      if (!clear && shift) before = accumulator[p][k] << S::digit_bits;
      accumulator[p][k] = before + sum;
    }
  }
}

}  // namespace cascade

#endif
