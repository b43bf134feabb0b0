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
inline void take_operands(const Words<Config>& word, const bool (&inside)[Config::lanes_p], bool is_signed, bool narrow,
                          Operands<Config>& operand) {
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
      const UInt<Config::activation_bits> raw =
          element_of<Config>(word[p], word[upper_bank<Config>(p)], e, narrow || p >= Shape<Config>::wide_lanes);
      const Int<Config::operand_bits> value = number<Config>(raw, is_signed, narrow);
      operand[p][e] = inside[p] ? value : Int<Config::operand_bits>(0);
    }
  }
}

// Whether the array takes a row's weights: some packings leave no room for the smallest one, and a narrow program's have
// fewer bits.
template <class Config>
inline bool takes_row(const WeightRow<Config>& row, bool narrow) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  bool takes = true;
  bool fits = true;
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
      fits = fits && keep_signed<Config::weight_bits>(static_cast<int64_t>(raw)) ==
                         keep_signed<Shape<Config>::bank_bits>(static_cast<int64_t>(raw));
    }
  }
  if (Shape<Config>::two_precisions && narrow) return fits;
  return takes || !Config::symmetric_weights;
}

// The weights of a multiplier: pack_k channels of one slot, side by side.
template <class Config>
inline Int<Config::packed_weight_bits> pack_weights(const WeightRow<Config>& row, int first, int slot,
                                                    bool narrow) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  int64_t packed = 0;
  for (int n = 0; n < Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const UInt<Config::weight_bits> raw = element<Config::slots, Config::weight_bits>(row.value[first + n], slot);
    const int64_t value = keep_signed<Config::weight_bits>(static_cast<int64_t>(raw));
    packed += narrow ? value * (int64_t(1) << n * Config::narrow_weight_step)
                     : value * (int64_t(1) << n * Config::weight_step);
  }
  return Int<Config::packed_weight_bits>(packed);
}

// The operands of a multiplier: the same element of the lanes that share it, side by side. In a wide program of an engine
// with two precisions that is one lane.
template <class Config>
inline Int<Config::packed_operand_bits> pack_operands(const Operands<Config>& operand, int first, int chosen,
                                                      bool narrow) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  int64_t packed = 0;
  const int step = S::two_precisions ? Config::narrow_operand_step : Config::operand_step;
  for (int n = 0; n < S::block_lanes; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const int64_t element = operand[first + n * S::block_lane_step][chosen];
    if (n == 0 || !S::two_precisions || narrow) packed += element * (int64_t(1) << n * step);
  }
  return Int<Config::packed_operand_bits>(packed);
}

// Sums of products that lie in one packed sum, lowest first: each field borrows from the next where it is negative.
template <int Fields, int FieldBits, int PackedBits, int SumBits>
inline void take_fields(Int<PackedBits> packed, Int<SumBits> (&field)[Fields]) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int n = 0; n < Fields - 1; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const Int<FieldBits> lowest = keep_signed<FieldBits>(static_cast<int64_t>(packed));
    field[n] = Int<SumBits>(lowest);
    packed = (packed - lowest) >> FieldBits;
  }
  field[Fields - 1] = Int<SumBits>(packed);
}

// The sums of the products of a chain, by lane and channel.
template <class Config>
using BlockSums = Int<Shape<Config>::sum_bits>[Shape<Config>::block_lanes][Config::pack_k];

template <class Config>
inline void take_apart(Int<Shape<Config>::packed_bits> packed, bool narrow, BlockSums<Config>& sum) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int fields = Config::pack_p * Config::pack_k;
  const int narrow_fields = S::block_lanes * Config::pack_k;
  Int<S::sum_bits> field[fields];
  Int<S::sum_bits> narrow_field[narrow_fields];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=field complete
#pragma HLS ARRAY_PARTITION variable=narrow_field complete
#endif
  take_fields<fields, S::field_bits, S::packed_bits, S::sum_bits>(packed, field);
  take_fields<narrow_fields, S::narrow_field_bits, S::packed_bits, S::sum_bits>(packed, narrow_field);
  for (int p = 0; p < S::block_lanes; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int k = 0; k < Config::pack_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      if (S::two_precisions && narrow) {
        sum[p][k] = narrow_field[k * S::block_lanes + p];
      } else if (p < Config::pack_p) {
        sum[p][k] = field[S::weights_first ? p * Config::pack_k + k : k * Config::pack_p + p];
      } else {
        sum[p][k] = 0;
      }
    }
  }
}

// The element that a weight of channel k meets.
template <class Config>
inline UInt<Shape<Config>::index_bits> chosen_element(const WeightRow<Config>& row, bool indexed, unsigned int step, int k,
                                                      int s) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int choice = k * S::choices / Config::lanes_k;
  const UInt<S::index_bits> own =
      element<S::kept_indices, S::kept_index_bits>(row.index[choice], Config::gather ? s : 0);
  if (Config::gather && indexed) return own;
  return UInt<S::index_bits>((step * Config::slots + s) & (Config::sub_row - 1));
}

// A sum is added to an accumulator: to 0 with `clear`, to its next digit with `shift`.
template <class Config>
inline void accumulate(Int<Shape<Config>::sum_bits> sum, bool clear, bool shift, bool narrow,
                       Accumulator<Config>& accumulator) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Accumulator<Config> before = 0;
  if (!clear) before = accumulator;
  if (!clear && shift) before = narrow ? accumulator << S::least_digit_bits : accumulator << S::digit_bits;
  accumulator = before + sum;
}

// The lanes whose products are made of LUTs, one by one, in a cycle of the array.
template <class Config>
inline void multiply_in_fabric(const Operands<Config>& operand, const WeightRow<Config>& row, bool indexed,
                               unsigned int step, bool clear, bool shift, Accumulators<Config>& accumulator) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int p = Config::lanes_p - Config::fabric_lanes; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      Int<S::sum_bits> sum = 0;
      for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const UInt<Config::weight_bits> raw = element<Config::slots, Config::weight_bits>(row.value[k], s);
        const Int<Config::weight_bits> weight = keep_signed<Config::weight_bits>(static_cast<int64_t>(raw));
        const Int<S::product_bits> product =
            Int<S::product_bits>(weight) * operand[p][chosen_element<Config>(row, indexed, step, k, s)];
#ifdef __SYNTHESIS__
#pragma HLS BIND_OP variable=product op=mul impl=fabric
#endif
        sum += product;
      }
      accumulate<Config>(sum, clear, shift, false, accumulator[p][k]);
    }
  }
}

// One cycle of the array: every multiplier takes its weights and the element that their index picks, `chain` of them
// are summed as they are, then taken apart. The last `fabric_lanes` lanes have products of their own.
template <class Config>
inline void multiply_accumulate(const Operands<Config>& operand, const WeightRow<Config>& row, bool indexed,
                                unsigned int step, bool clear, bool shift, bool narrow,
                                Accumulators<Config>& accumulator) {
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
      weight[s] = pack_weights<Config>(row, k, s, narrow);
      chosen[s] = chosen_element<Config>(row, indexed, step, k, s);
    }
    for (int line = 0; line < (Config::lanes_p - Config::fabric_lanes) / S::block_lanes; ++line) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int p = S::two_precisions ? line : line * Config::pack_p;
      BlockSums<Config> sum;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=sum complete dim=0
#endif
      for (int n = 0; n < S::block_lanes * Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        sum[n / Config::pack_k][n % Config::pack_k] = 0;
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
          const Int<Config::packed_operand_bits> elements = pack_operands<Config>(operand, p, chosen[s], narrow);
          const Int<S::packed_bits> product = Int<S::packed_bits>(weight[s]) * elements;
#ifdef __SYNTHESIS__
          if (Config::pack_k * S::block_lanes * Config::chain > 1) {
#pragma HLS BIND_OP variable=product op=mul impl=dsp
          }
#endif
          packed += product;
        }
        BlockSums<Config> part;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=part complete dim=0
#endif
        take_apart<Config>(packed, narrow, part);
        for (int n = 0; n < S::block_lanes * Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          sum[n / Config::pack_k][n % Config::pack_k] += part[n / Config::pack_k][n % Config::pack_k];
        }
      }
      for (int n = 0; n < S::block_lanes * Config::pack_k; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const int lane = p + n / Config::pack_k * S::block_lane_step;
        const int channel = k + n % Config::pack_k;
        accumulate<Config>(sum[n / Config::pack_k][n % Config::pack_k], clear, shift, narrow, accumulator[lane][channel]);
      }
    }
  }
  if (Config::fabric_lanes > 0) {
    multiply_in_fabric<Config>(operand, row, indexed, step, clear, shift, accumulator);
  }
}

}  // namespace cascade

#endif
