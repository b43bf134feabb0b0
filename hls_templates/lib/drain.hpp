// The drain: from sums to the next layer's words, drain_k channels of every lane per cycle.
#ifndef CASCADE_DRAIN_HPP
#define CASCADE_DRAIN_HPP

#include "array.hpp"
#include "requantise.hpp"
#include "walk.hpp"

namespace cascade {

// Residual words of two turns of the array (convolve.hpp): one that drains and one that is computed.
template <class Config>
using Residuals = WholeWord<Config>[Config::lanes_p][2 * Shape<Config>::cells * Shape<Config>::residual_words];
// Outputs that wait for the rest of their granule.
template <class Config>
using Pending = UInt<Config::activation_bits>[Config::lanes_p][Shape<Config>::granule];

// What stays the same while an output-channel group is computed.
struct Group {
  unsigned int first_channel;
  unsigned int channels;
  unsigned int first_word;           // input words to skip
  unsigned int chunks;               // cycles in which a position drains
  unsigned int residual_first_word;  // of a residual pixel
  unsigned int residual_words;       // read per position, 0 where no channel has a residual
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
  return group;
}

// A word of a lane's residual.
template <class Config>
inline void take_residual(const Residuals<Config>& residual, int lane, unsigned int place, bool narrow,
                          Elements<Config>& element) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool as_is = narrow || lane >= Shape<Config>::wide_lanes;
  Word<Config> lower;
  Word<Config> upper;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=lower complete
#pragma HLS ARRAY_PARTITION variable=upper complete
#endif
  cut_word<Config>(residual[lane][place], lower);
  if (Shape<Config>::two_precisions) cut_word<Config>(residual[upper_bank<Config>(lane)][place], upper);
  for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    element[e] = element_of<Config>(lower, upper, e, as_is);
  }
}

// A granule of every lane into the banks. One of a wide lane fills two of the memories of its two banks.
template <class Config>
inline void write_granule(Banks<Config>& bank, unsigned int address, unsigned int granule, bool narrow,
                          const Pending<Config>& pending) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int g = 0; g < S::granules; ++g) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int memory = p < S::wide_lanes ? g : S::granules + g;  // of the lane's two banks
      const bool wide = S::two_precisions && !narrow;
      Granule<Config> whole;
      for (int e = 0; e < S::granule; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const UInt<S::bank_bits> half =
            place_of_bank<Config, S::granule>(pending[wide_lane<Config>(p)], e, memory % 2 != 0, false);
        const UInt<S::bank_bits> own = place_of_bank<Config, S::granule>(pending[p], e, false, true);
        set_element<S::granule, S::bank_bits>(whole, e, wide ? half : own);
      }
      if (granule == static_cast<unsigned int>(wide ? memory / 2 : g)) bank[p][g][address] = whole;
    }
  }
}

// One cycle of the drain: drain_k channels of every lane are requantised, gathered into granules and stored. The
// residual of the position lies in the words of `cell`.
template <class Config>
inline void drain_chunk(const Instruction& i, const Group& group, unsigned int chunk, const Position& position,
                        const Leaving<Config>& total, const Residuals<Config>& residual, unsigned int cell,
                        const Parameters (&parameters)[Config::lanes_k], bool narrow, Pending<Config>& pending,
                        Banks<Config>& bank, Results<Config>& result) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int lane_k = chunk * Config::drain_k;
  const unsigned int channel = group.first_channel + lane_k;
  const int residual_channel = static_cast<int>(channel) - i.residual_offset;
  const bool granule_ends = (lane_k + Config::drain_k) % S::granule == 0 || chunk + 1 == group.chunks;
  const unsigned int address = position.out_word + (channel >> S::sub_row_shift);
  const unsigned int granule = (channel & (Config::sub_row - 1)) / S::granule;
  const unsigned int place = position.out_result + channel;
  // One word holds the residuals of the drain_k channels: drain_k divides S, channel and residual_offset.
  const bool adds = group.residual_words != 0 && residual_channel >= 0 && residual_channel < i.residual_channels;
  const unsigned int residual_word =
      (static_cast<unsigned int>(residual_channel) >> S::sub_row_shift) - group.residual_first_word;
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    Int<result_bits> out[Config::drain_k];
    Elements<Config> own;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=out complete
#pragma HLS ARRAY_PARTITION variable=own complete
#endif
    if (adds) take_residual<Config>(residual, p, cell * S::residual_words + residual_word, narrow, own);
    for (int d = 0; d < Config::drain_k; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      Int<Config::activation_bits + 1> r = 0;
      if (adds && residual_channel + d < i.residual_channels) {
        r = number<Config>(own[(residual_channel + d) & (Config::sub_row - 1)], i.residual_signed(), narrow);
      }
      const Int<Config::accumulator_bits> sum =
          keep_signed<Config::accumulator_bits>(static_cast<int64_t>(total[p][d]));
      out[d] = requantise<Config>(sum, parameters[lane_k + d], r, i.lower, i.upper);
      pending[p][(lane_k + d) % S::granule] =
          keep_unsigned<Config::activation_bits>(static_cast<uint64_t>(static_cast<int64_t>(out[d])));
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
  if (!i.to_result() && granule_ends) write_granule<Config>(bank, address, granule, narrow, pending);
}

}  // namespace cascade

#endif
