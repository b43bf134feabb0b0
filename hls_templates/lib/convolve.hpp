// CONV: the array and the drain. One flattened loop: every cycle takes one weight row for one position in
// all lanes, and drains drain_k channels of the position before. A position also spends one cycle per
// word of its residual, so that the banks need one read and one write port only.
#ifndef CASCADE_CONVOLVE_HPP
#define CASCADE_CONVOLVE_HPP

#include "banks.hpp"
#include "requantise.hpp"
#include "walk.hpp"

namespace cascade {

// A row written into the replay buffer at the first position is read at the second, so many cycles later.
constexpr unsigned int shortest_position = 4;

// Accumulators wrap at their width; a native one wraps where it is drained.
#if CASCADE_EXACT_WIDTHS
template <class Config>
using Accumulator = ap_int<Config::accumulator_bits>;
#else
template <class Config>
using Accumulator = uint32_t;
#endif

template <class Config>
using Accumulators = Accumulator<Config>[Config::lanes_p][Config::lanes_k];
template <class Config>
using Words = Word<Config>[Config::lanes_p];
template <class Config>
using Residuals = Word<Config>[Config::lanes_p][Shape<Config>::residual_words];
// Outputs that wait for the rest of their granule.
template <class Config>
using Pending = UInt<Config::activation_bits>[Config::lanes_p][Shape<Config>::granule];

// What stays the same while an output-channel group is computed.
struct Group {
  unsigned int first_channel;
  unsigned int channels;
  unsigned int first_word;           // input words to skip
  unsigned int chunks;               // cycles of its drain
  unsigned int residual_first_word;  // of a residual pixel
  unsigned int residual_words;       // read per position, 0 where no channel has a residual
  unsigned int length;               // cycles per position
};

template <class Config>
inline Group group_of(const Instruction& i, unsigned int index) {
  Group group;
  group.first_channel = index * Config::lanes_k;
  group.channels = channels_of_group(i, index, Config::lanes_k);
  group.first_word = (index * i.channel_step) >> Shape<Config>::sub_row_shift;
  group.chunks = divide_up(group.channels, Config::drain_k);
  const int begin = static_cast<int>(group.first_channel) - i.residual_offset;
  const int from = begin > 0 ? begin : 0;
  const int end = begin + static_cast<int>(group.channels);
  const int to = end < i.residual_channels ? end : i.residual_channels;
  group.residual_first_word = static_cast<unsigned int>(from) >> Shape<Config>::sub_row_shift;
  group.residual_words = 0;
  if (i.residual() && from < to) {
    group.residual_words =
        (static_cast<unsigned int>(to - 1) >> Shape<Config>::sub_row_shift) - group.residual_first_word + 1;
  }
  const unsigned int busy = i.rows + group.residual_words;
  group.length = busy > group.chunks ? busy : group.chunks;
  if (group.length < shortest_position) group.length = shortest_position;
  return group;
}

// One cycle of the array: every multiplier takes its weight and the element that its index picks.
template <class Config>
inline void multiply_accumulate(const Words<Config>& word, bool inside, bool is_signed, const WeightRow<Config>& row,
                                bool indexed, unsigned int step, bool clear, bool shift,
                                Accumulators<Config>& accumulator) {
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
    Int<Config::activation_bits + 1> operand[Config::sub_row];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=operand complete
#endif
    for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      operand[e] = 0;
      if (inside) operand[e] = number<Config>(word[p].element[e], is_signed);
    }
    for (int k = 0; k < Config::lanes_k; ++k) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      Int<S::sum_bits> sum = 0;
      for (int s = 0; s < Config::slots; ++s) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        sum += Int<S::product_bits>(weight[s][k] * operand[index[s][k]]);
      }
      Accumulator<Config> before = accumulator[p][k];
      if (shift) before = before << S::digit_bits;
      if (clear) before = 0;
      accumulator[p][k] = before + sum;
    }
  }
}

// One cycle of the drain: drain_k channels of every lane are requantised, gathered into granules and stored.
template <class Config>
inline void drain_chunk(const Instruction& i, const Group& group, unsigned int chunk, const Position& position,
                        const Accumulators<Config>& held, const Residuals<Config>& residual,
                        const Parameters (&parameters)[Config::lanes_k], Pending<Config>& pending,
                        Banks<Config>& bank, Results<Config>& result) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int lane_k = chunk * Config::drain_k;
  const unsigned int channel = group.first_channel + lane_k;
  const int residual_channel = static_cast<int>(channel) - i.residual_offset;
  const bool granule_ends = (lane_k + Config::drain_k) % S::granule == 0 || chunk + 1 == group.chunks;
  const unsigned int word = position.out_word + (channel >> S::sub_row_shift);
  const unsigned int granule = (channel & (Config::sub_row - 1)) / S::granule;
  const unsigned int place = position.out_result + channel;
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    Int<result_bits> out[Config::drain_k];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=out complete
#endif
    for (int d = 0; d < Config::drain_k; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int from = residual_channel + d;
      Int<Config::activation_bits + 1> r = 0;
      if (group.residual_words != 0 && from >= 0 && from < i.residual_channels) {
        const unsigned int n = (static_cast<unsigned int>(from) >> S::sub_row_shift) - group.residual_first_word;
        r = number<Config>(residual[p][n].element[from & (Config::sub_row - 1)], i.residual_signed());
      }
      const Int<Config::accumulator_bits> total =
          keep_signed<Config::accumulator_bits>(static_cast<int64_t>(held[p][lane_k + d]));
      out[d] = requantise<Config>(total, parameters[lane_k + d], r, i.lower, i.upper);
      pending[p][(lane_k + d) % S::granule] =
          keep_unsigned<Config::activation_bits>(static_cast<uint64_t>(static_cast<int64_t>(out[d])));
    }
    Granule<Config> whole;
    for (int e = 0; e < S::granule; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      set_element<S::granule, Config::activation_bits>(whole, e, pending[p][e]);
    }
    for (int g = 0; g < S::granules; ++g) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      if (!i.to_result() && granule_ends && granule == static_cast<unsigned int>(g)) bank[p][g][word] = whole;
    }
    for (int b = 0; b < Config::drain_k; ++b) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      // Memory b takes the one of the drain_k neighbours whose place is b modulo drain_k.
      const unsigned int d = (b - place) & (Config::drain_k - 1);
      if (i.to_result() && lane_k + d < group.channels) result[p][b][(place + d) / Config::drain_k] = out[d];
    }
  }
}

template <class Config>
void convolve_group(const Instruction& i, const Group& group, hls::stream<Parameters>& parameter_stream,
                    hls::stream<WeightRow<Config> >& rows, WeightRow<Config> (&replay)[Config::weight_depth],
                    Banks<Config>& bank, Results<Config>& result) {
  typedef Shape<Config> S;
  Parameters parameters[Config::lanes_k];
  Accumulators<Config> accumulator;
  Accumulators<Config> held;
  Residuals<Config> residual;
  Residuals<Config> residual_held;
  Pending<Config> pending;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=parameters cyclic factor=Config::drain_k
#pragma HLS ARRAY_PARTITION variable=accumulator complete dim=0
#pragma HLS ARRAY_PARTITION variable=held complete dim=0
#pragma HLS ARRAY_PARTITION variable=residual complete dim=0
#pragma HLS ARRAY_PARTITION variable=residual_held complete dim=0
#pragma HLS ARRAY_PARTITION variable=pending complete dim=0
#endif
  const unsigned int records = group.chunks * Config::drain_k;
  for (unsigned int n = 0; n < records; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=512
#pragma HLS PIPELINE II=1
#endif
    parameters[n] = parameter_stream.read();
  }

  const unsigned int positions = static_cast<unsigned int>(i.out_height) * i.out_width;
  const uint64_t cycles = static_cast<uint64_t>(positions) * group.length + group.chunks;
  Position position = first_position(i);
  Position drained = position;
  Tap tap = first_tap();
  unsigned int done = 0;   // positions computed
  unsigned int cycle = 0;  // within the position
  unsigned int step = 0;   // within the sub-row
  for (uint64_t n = 0; n < cycles; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=8 max=1048576
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=bank inter false
#pragma HLS DEPENDENCE variable=result inter false
#pragma HLS DEPENDENCE variable=replay inter RAW distance=4 true
#endif
    if (done != 0 && cycle < group.chunks) {
      drain_chunk<Config>(i, group, cycle, drained, held, residual_held, parameters, pending, bank, result);
    }
    const bool computes = done < positions && cycle < i.rows;
    const bool fetches = done < positions && cycle >= i.rows && cycle < i.rows + group.residual_words;
    const unsigned int nth = cycle - i.rows;  // word of the residual
    const Place place = place_of(i, position, tap, group.first_word);
    const unsigned int residual_address = residual_pixel(i, position) + group.residual_first_word + nth;
    Words<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete dim=0
#endif
    if (computes || fetches) {
      for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        read_word<Config>(bank, p, fetches ? residual_address : place.address, word[p]);
        if (fetches) residual[p][nth] = word[p];
      }
    }
    if (computes) {
      WeightRow<Config> row;
      if (done == 0) {
        row = rows.read();
        replay[cycle] = row;
      } else {
        row = replay[cycle];
      }
      const bool level_begins = cycle != 0 && step == 0 && tap.q == 0 && tap.kx == 0 && tap.ky == 0;
      multiply_accumulate<Config>(word, place.inside, i.input_signed(), row, i.indexed(), step, cycle == 0,
                                  level_begins, accumulator);
      const unsigned int steps = tap.q + 1 == i.sub_rows ? i.steps_last : i.steps;
      ++step;
      if (step == steps) {
        step = 0;
        next_tap(i, tap);
      }
    }
    if (cycle + 1 == group.length) {
      cycle = 0;
      drained = position;
      next_position(i, position);
      ++done;
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
        for (int w = 0; w < S::residual_words; ++w) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          residual_held[p][w] = residual[p][w];
        }
      }
    } else {
      ++cycle;
    }
  }
}

template <class Config>
void convolve(const Instruction& i, hls::stream<Parameters>& parameters, hls::stream<WeightRow<Config> >& rows,
              WeightRow<Config> (&replay)[Config::weight_depth], Banks<Config>& bank, Results<Config>& result) {
  for (unsigned int index = 0; index < i.groups; ++index) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#endif
    const Group group = group_of<Config>(i, index);
    convolve_group<Config>(i, group, parameters, rows, replay, bank, result);
  }
}

}  // namespace cascade

#endif
