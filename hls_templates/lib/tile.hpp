// Winograd tiles around the array: the input transform in front of it, the fold of its sums behind it.
//
// The transform is a pipeline that takes one word (or slice of one) of every lane's bank per cycle:
//
//   bank -> column of t words -> transform_input -> middle -> row of t words -> transform_input -> transformed
//
// Words come column by column; a full column is transformed along its rows and lies in `middle`, whose t memories hold
// a row of the tile each, twice. One t x t block later each row is read, transformed along its columns, and written one
// word per cycle. So t*t*words*slices cycles transform a tile, and t*t + t more pass until the last word is there.
#ifndef CASCADE_TILE_HPP
#define CASCADE_TILE_HPP

#include "array.hpp"
#include "transform.hpp"
#include "walk.hpp"

namespace cascade {

template <class Config>
using Slice = Packed<Shape<Config>::slice_channels, Config::operand_bits>;
// Two tiles: one that the array reads, one that is being made. Word q of tap n lies at n*sub_rows + q of its half.
template <class Config>
using Transformed = Slice<Config>[Config::lanes_p][Shape<Config>::slices][2 * Config::transform_depth];

template <class Config>
using Column = Int<Config::activation_bits + 1>[Config::lanes_p][Shape<Config>::taps][Shape<Config>::slice_channels];
template <class Config>
using MiddleWord = Packed<Shape<Config>::slice_channels, Shape<Config>::column_bits>;
template <class Config>
using Middle = MiddleWord<Config>[Config::lanes_p][Shape<Config>::taps][2 * Shape<Config>::taps];
template <class Config>
using Row = Int<Shape<Config>::column_bits>[Config::lanes_p][Shape<Config>::taps][Shape<Config>::slice_channels];
template <class Config>
using MadeRow = Int<Config::operand_bits>[Config::lanes_p][Shape<Config>::taps][Shape<Config>::slice_channels];

// Where one stage of the transform stands: t x t words of a slice, slices of a word, words of the tile.
struct Stage {
  uint8_t outer;
  uint8_t inner;
  uint8_t slice;
  uint16_t q;
  bool odd;  // of the t x t blocks
};

inline void restart_stage(Stage& stage) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  stage.outer = 0;
  stage.inner = 0;
  stage.slice = 0;
  stage.q = 0;
  stage.odd = false;
}

inline void next_stage(uint8_t last_tap, uint8_t last_slice, Stage& stage) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool inner_ends = stage.inner == last_tap;
  const bool block_ends = inner_ends && stage.outer == last_tap;
  const bool word_ends = block_ends && stage.slice == last_slice;
  stage.inner = static_cast<uint8_t>(inner_ends ? 0 : stage.inner + 1);
  if (inner_ends) stage.outer = static_cast<uint8_t>(block_ends ? 0 : stage.outer + 1);
  if (block_ends) stage.slice = static_cast<uint8_t>(word_ends ? 0 : stage.slice + 1);
  if (block_ends) stage.odd = !stage.odd;
  if (word_ends) stage.q = static_cast<uint16_t>(stage.q + 1);
}

// The third stage: a word of the row that was made.
template <class Config>
inline void write_transformed(const Instruction& i, const Stage& stage, bool half, const MadeRow<Config>& made,
                              Transformed<Config>& transformed) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int tap = stage.outer * (i.tile + 2u) + stage.inner;
  const unsigned int address = (half ? Config::transform_depth : 0) + tap * i.sub_rows + stage.q;
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    Slice<Config> whole;
    for (int e = 0; e < S::slice_channels; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const int64_t value = made[p][stage.inner][e];
      set_element<S::slice_channels, Config::operand_bits>(
          whole, e, keep_unsigned<Config::operand_bits>(static_cast<uint64_t>(value)));
    }
    for (int n = 0; n < S::slices; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      if (stage.slice == n) transformed[p][n][address] = whole;
    }
  }
}

// The second stage: a word of a row of `middle`; the last one makes the row.
template <class Config>
inline void transform_row(const Instruction& i, const Stage& stage, const Middle<Config>& middle, Row<Config>& row,
                          MadeRow<Config>& made) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int address = (stage.odd ? S::taps : 0) + stage.inner;
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const MiddleWord<Config> word = middle[p][stage.outer][address];
    for (int e = 0; e < S::slice_channels; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const UInt<S::column_bits> raw = element<S::slice_channels, S::column_bits>(word, e);
      row[p][stage.inner][e] = keep_signed<S::column_bits>(static_cast<int64_t>(raw));
    }
    if (stage.inner + 1 == i.tile + 2) {
      for (int e = 0; e < S::slice_channels; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        Int<S::column_bits> from[S::taps];
        Int<Config::operand_bits> to[S::taps];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=from complete
#pragma HLS ARRAY_PARTITION variable=to complete
#endif
        for (int n = 0; n < S::taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          from[n] = row[p][n][e];
        }
        Forms<S::tile>::transform_input(i.tile, from, to);
        for (int n = 0; n < S::taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          made[p][n][e] = to[n];
        }
      }
    }
  }
}

// The first stage: a word of a column; the last one makes the column of `middle`.
template <class Config>
inline void transform_column(const Instruction& i, const Stage& stage, const Words<Config>& word,
                             const bool (&inside)[Config::lanes_p], Column<Config>& column,
                             Middle<Config>& middle) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int address = (stage.odd ? S::taps : 0) + stage.outer;
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int e = 0; e < S::slice_channels; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      column[p][stage.inner][e] = 0;
      if (inside[p]) {
        column[p][stage.inner][e] =
            number<Config>(word[p][stage.slice * S::slice_channels + e], i.input_signed(), false);
      }
    }
    if (stage.inner + 1 == i.tile + 2) {
      MiddleWord<Config> whole[S::taps];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=whole complete
#endif
      for (int e = 0; e < S::slice_channels; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        Int<Config::activation_bits + 1> from[S::taps];
        Int<S::column_bits> to[S::taps];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=from complete
#pragma HLS ARRAY_PARTITION variable=to complete
#endif
        for (int n = 0; n < S::taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          from[n] = column[p][n][e];
        }
        Forms<S::tile>::transform_input(i.tile, from, to);
        for (int n = 0; n < S::taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          set_element<S::slice_channels, S::column_bits>(
              whole[n], e, keep_unsigned<S::column_bits>(static_cast<uint64_t>(static_cast<int64_t>(to[n]))));
        }
      }
      for (int n = 0; n < S::taps; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        middle[p][n][address] = whole[n];
      }
    }
  }
}

struct Stages {
  Stage column;
  Stage row;
  Stage write;
};

inline void restart_stages(Stages& stages) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  restart_stage(stages.column);
  restart_stage(stages.row);
  restart_stage(stages.write);
}

// One cycle of the transform of a tile, of which `reads` words come out of the banks, into a half of `transformed`.
template <class Config>
inline void transform_cycle(const Instruction& i, unsigned int cycle, unsigned int reads, const Words<Config>& word,
                            const bool (&inside)[Config::lanes_p], bool half, Stages& stages,
                            Column<Config>& column, Middle<Config>& middle,
                            Row<Config>& row, MadeRow<Config>& made, Transformed<Config>& transformed) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int taps = i.tile + 2u;
  const uint8_t last_tap = static_cast<uint8_t>(taps - 1);
  const uint8_t last_slice = Shape<Config>::slices - 1;
  const unsigned int rows_after = taps * taps;
  const unsigned int writes_after = rows_after + taps;
  // The last stage first: each takes what the one before it left a cycle ago.
  if (cycle >= writes_after && cycle < writes_after + reads) {
    write_transformed<Config>(i, stages.write, half, made, transformed);
    next_stage(last_tap, last_slice, stages.write);
  }
  if (cycle >= rows_after && cycle < rows_after + reads) {
    transform_row<Config>(i, stages.row, middle, row, made);
    next_stage(last_tap, last_slice, stages.row);
  }
  if (cycle < reads) {
    transform_column<Config>(i, stages.column, word, inside, column, middle);
    next_stage(last_tap, last_slice, stages.column);
  }
}

// A transformed word as operands.
template <class Config>
inline void take_transformed(const Transformed<Config>& transformed, bool half, unsigned int word,
                             Operands<Config>& operand) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const unsigned int address = (half ? Config::transform_depth : 0) + word;
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int n = 0; n < S::slices; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const Slice<Config> part = transformed[p][n][address];
      for (int e = 0; e < S::slice_channels; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        const UInt<Config::operand_bits> raw = element<S::slice_channels, Config::operand_bits>(part, e);
        operand[p][n * S::slice_channels + e] = keep_signed<Config::operand_bits>(static_cast<int64_t>(raw));
      }
    }
  }
}

// Sums of a tap row, and a tile's outputs: two tiles, one that is drained and one that grows, in memories of their own.
template <class Config>
using Partial = Accumulator<Config>[Config::lanes_p][Config::drain_k][Shape<Config>::tile][Shape<Config>::group_chunks];
template <class Config>
using Outputs = Accumulator<Config>[Config::lanes_p][Config::drain_k][Shape<Config>::tile * Shape<Config>::tile][2]
                                   [Shape<Config>::group_chunks];
// One chunk of each tile.
template <class Config>
using Grown = Accumulator<Config>[Config::lanes_p][Config::drain_k][Shape<Config>::tile * Shape<Config>::tile][2];

// The tap whose sums wait to be folded, and the chunk of them that is next.
struct Fold {
  uint8_t row;
  uint8_t column;
  uint16_t chunk;
  bool half;  // of the outputs
};

inline Fold first_fold() {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Fold fold;
  fold.row = 0;
  fold.column = 0;
  fold.chunk = 0;
  fold.half = false;
  return fold;
}

// To the next tap, of a new tile where `first` says so.
inline void next_fold(uint8_t last_tap, bool first, bool half, Fold& fold) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool row_ends = fold.column == last_tap;
  fold.row = static_cast<uint8_t>(first ? 0 : fold.row + (row_ends ? 1 : 0));
  fold.column = static_cast<uint8_t>(first || row_ends ? 0 : fold.column + 1);
  fold.chunk = 0;
  fold.half = half;
}

// What fold and drain take in one cycle: one read of each memory. The two never want the same tile: a tile's last sums
// are folded before it drains.
template <class Config>
inline void read_outputs(const Outputs<Config>& outputs, const Fold& fold, bool folds, unsigned int drained_chunk,
                         Grown<Config>& grown) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int half = 0; half < 2; ++half) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    const unsigned int chunk = folds && fold.half == (half == 1) ? fold.chunk : drained_chunk;
    for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      for (int d = 0; d < Config::drain_k; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        for (int c = 0; c < S::tile * S::tile; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
          grown[p][d][c][half] = outputs[p][d][c][half][chunk];
        }
      }
    }
  }
}

// One cycle of the output transform: drain_k channels of every lane. A tap's sum goes into the m sums of its row of
// taps; when the row ends, these go into the m x m outputs.
template <class Config>
inline void fold_chunk(const Instruction& i, const Fold& fold, const Taps& taps,
                       const Accumulators<Config>& held, const Grown<Config>& grown, Partial<Config>& partial,
                       Outputs<Config>& outputs) {
  typedef Shape<Config> S;
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool row_ends = fold.column == i.tile + 1;
  const int places = taps.exponent[fold.row * (i.tile + 2) + fold.column];
  Leaving<Config> leaving;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=leaving complete dim=0
#endif
  take_sums<Config>(held, fold.chunk, leaving);
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int d = 0; d < Config::drain_k; ++d) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      const Accumulator<Config> sum = leaving[p][d] << places;
      Accumulator<Config> share[S::tile];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=share complete
#endif
      Forms<S::tile>::share_output(i.tile, fold.column, sum, share);
      for (int x = 0; x < S::tile; ++x) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        Accumulator<Config> whole = partial[p][d][x][fold.chunk];
        if (fold.column == 0) whole = 0;
        whole += share[x];
        partial[p][d][x][fold.chunk] = whole;
        Accumulator<Config> down[S::tile];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=down complete
#endif
        if (row_ends) {
          Forms<S::tile>::share_output(i.tile, fold.row, whole, down);
          for (int y = 0; y < S::tile; ++y) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
            Accumulator<Config> output = grown[p][d][y * S::tile + x][fold.half ? 1 : 0];
            if (fold.row == 0) output = 0;
            output += down[y];
            for (int half = 0; half < 2; ++half) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
              if (fold.half == (half == 1)) outputs[p][d][y * S::tile + x][half][fold.chunk] = output;
            }
          }
        }
      }
    }
  }
}

// What a cell of the tile that drains has.
template <class Config>
inline void take_outputs(const Grown<Config>& grown, const Cell& cell, bool half, Leaving<Config>& sum) {
  typedef Shape<Config> S;
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
      sum[p][d] = grown[p][d][cell.row * S::tile + cell.column][half ? 1 : 0];
    }
  }
}

}  // namespace cascade

#endif
