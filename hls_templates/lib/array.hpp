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
      if (inside) operand[p][e] = number<Config>(word[p][e], is_signed);
    }
  }
}

// Whether the array takes a row's weights: some packings leave no room for the smallest one.
template <class Config>
inline bool takes_row(const WeightRow<Config>& row) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  bool takes = true;
  for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const UInt<Config::weight_bits> raw = element<Config::slots, Config::weight_bits>(row.value[k], s);
      takes = takes && raw != UInt<Config::weight_bits>(1 << (Config::weight_bits - 1));
    }
  }
  return takes || !Config::symmetric_weights;
}

// The weights of a multiplier: pack_k channels of one slot, side by side.
template <class Config>
inline Int<Config::packed_weight_bits> pack_weights(const WeightRow<Config>& row, int first, int slot) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  int64_t packed = 0;
  for (int n = 0; n < Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const UInt<Config::weight_bits> raw = element<Config::slots, Config::weight_bits>(row.value[first + n], slot);
    packed += keep_signed<Config::weight_bits>(static_cast<int64_t>(raw)) * (int64_t(1) << n * Config::weight_step);
  }
  return Int<Config::packed_weight_bits>(packed);
}

// The operands of a multiplier: the same element of pack_p lanes, side by side.
template <class Config>
inline Int<Config::packed_operand_bits> pack_operands(const Operands<Config>& operand, int first, int chosen) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  int64_t packed = 0;
  for (int n = 0; n < Config::pack_p; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    packed += operand[first + n][chosen] * (int64_t(1) << n * Config::operand_step);
  }
  return Int<Config::packed_operand_bits>(packed);
}

// The products of the sums of a chain, each of whose fields borrows from the next where it is negative.
template <class Config>
inline void take_apart(Int<Shape<Config>::packed_bits> packed,
                       Int<Shape<Config>::sum_bits> (&sum)[Config::pack_p * Config::pack_k]) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int fields = Config::pack_p * Config::pack_k;
  for (int n = 0; n < fields - 1; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const Int<S::field_bits> field = keep_signed<S::field_bits>(static_cast<int64_t>(packed));
    sum[n] = Int<S::sum_bits>(field);
    packed = (packed - field) >> S::field_bits;
  }
  sum[fields - 1] = Int<S::sum_bits>(packed);
}

// One cycle of the array: every multiplier takes its weights and the element that their index picks, `chain` of them
// are summed as they are, then taken apart.
template <class Config>
inline void multiply_accumulate(const Operands<Config>& operand, const WeightRow<Config>& row, bool indexed,
                                unsigned int step, bool clear, bool shift, Accumulators<Config>& accumulator) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int column = 0; column < Config::lanes_k / Config::pack_k; ++column) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const int k = column * Config::pack_k;
    Int<Config::packed_weight_bits> weight[Config::slots];
    UInt<S::index_bits> chosen[Config::slots];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=weight complete
#pragma HLS ARRAY_PARTITION variable=chosen complete
#endif
    for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const UInt<S::index_bits> own =
          element<S::kept_indices, S::kept_index_bits>(row.index[k], Config::gather ? s : 0);
      weight[s] = pack_weights<Config>(row, k, s);
      chosen[s] = UInt<S::index_bits>((step * Config::slots + s) & (Config::sub_row - 1));
      if (Config::gather && indexed) chosen[s] = own;
    }
    for (int line = 0; line < Config::lanes_p / Config::pack_p; ++line) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int p = line * Config::pack_p;
      Int<S::sum_bits> sum[Config::pack_p * Config::pack_k];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=sum complete
#endif
      for (int n = 0; n < Config::pack_p * Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        sum[n] = 0;
      }
      for (int chain = 0; chain < Config::slots / Config::chain; ++chain) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        Int<S::packed_bits> packed = 0;
        for (int n = 0; n < Config::chain; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          const int s = chain * Config::chain + n;
          const Int<Config::packed_operand_bits> elements = pack_operands<Config>(operand, p, chosen[s]);
          const Int<S::packed_bits> product = Int<S::packed_bits>(weight[s]) * elements;
#ifdef __SYNTHESIS__
          if (Config::pack_k * Config::pack_p * Config::chain > 1) {
#pragma HLS BIND_OP variable=product op=mul impl=dsp
          }
#endif
          packed += product;
        }
        Int<S::sum_bits> part[Config::pack_p * Config::pack_k];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=part complete
#endif
        take_apart<Config>(packed, part);
        for (int n = 0; n < Config::pack_p * Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          sum[n] += part[n];
        }
      }
      for (int n = 0; n < Config::pack_p * Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const int lane = p + (S::weights_first ? n / Config::pack_k : n % Config::pack_p);
        const int channel = k + (S::weights_first ? n % Config::pack_k : n / Config::pack_p);
        Accumulator<Config> before = 0;
        if (!clear) before = accumulator[lane][channel];
        if (!clear && shift) before = accumulator[lane][channel] << S::digit_bits;
        accumulator[lane][channel] = before + sum[n];
      }
    }
  }
}

}  // namespace cascade

#endif
