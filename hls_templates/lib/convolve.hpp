// CONV: the array and what surrounds it, one flattened loop. A turn is what the array makes before its outputs drain:
// a position, or a Winograd tile. While the array makes one turn, the one before it drains, drain_k channels a cycle.
//
// A position is one sum of `rows` cycles, then one cycle per word of its residual: the banks need one read and one
// write port only.
//
// A tile is t x t sums, one per tap. In the same cycles the sums of the tap before are folded into the tile's outputs,
// the words of the next tile are read and transformed, the residuals of this tile are read, and the tile before
// drains. A tap takes max(its rows, chunks, 4) cycles, a tile its taps, or what it reads of the banks if that is more:
// t*t cycles per word and slice, and m*m per word of the residual. Only the first group of an instruction waits for its
// first tile: the last tile of each group prepares the next one's. The last tile of a group drains alone, in
// m*m*chunks cycles.
#ifndef CASCADE_CONVOLVE_HPP
#define CASCADE_CONVOLVE_HPP

#include "drain.hpp"
#include "tile.hpp"

namespace cascade {

// A row written into the replay buffer at the first turn is read at the second, so many cycles later; the sums of a
// tap meet those of the next as late.
constexpr unsigned int shortest_turn = 4;

// The cycles of a group's turns.
struct Schedule {
  bool tiled;
  unsigned int span;        // positions of a turn in each direction: 1, or m
  unsigned int turns;       // of the group
  unsigned int sums;        // of a turn
  unsigned int reads;       // cycles in which the banks are read for the array
  unsigned int filling;     // cycles until a transformed tile is there
  unsigned int settled;     // cycle of the next turn in which the outputs are there
  unsigned int length;      // cycles of a turn
  Window window;            // what the array walks: a kernel, or a tile's taps (rows) and their levels (columns)
};

// One sum: all of a position, or a tap of a tile.
struct Sum {
  uint8_t last_step;       // of each sub-row
  uint8_t last_step_last;  // of the last sub-row
  unsigned int rows;       // weight rows
  unsigned int last_cycle;
};

inline unsigned int longer(unsigned int a, unsigned int b) {
  return a > b ? a : b;
}

inline Sum sum_of_tap(const Instruction& i, const Taps& taps, unsigned int tap, unsigned int chunks) {
  const unsigned int steps = steps_of_tap(i, taps, tap);
  const unsigned int steps_last = last_steps_of_tap(i, taps, tap);
  Sum sum;
  sum.last_step = static_cast<uint8_t>(steps - 1);
  sum.last_step_last = static_cast<uint8_t>(steps_last - 1);
  sum.rows = i.levels * ((i.sub_rows - 1u) * steps + steps_last);
  sum.last_cycle = longer(longer(sum.rows, chunks), shortest_turn) - 1;
  return sum;
}

// The sums of a turn: of a tile one for each tap.
inline void fill_sums(const Instruction& i, const Taps& taps, unsigned int chunks, Sum (&sums)[most_taps]) {
  for (unsigned int tap = 0; tap < static_cast<unsigned int>(most_taps); ++tap) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II=1
#endif
    sums[tap] = sum_of_tap(i, taps, tap, chunks);
  }
}

template <class Config>
inline Schedule schedule_of(const Instruction& i, const Sum (&sums)[most_taps], const Group& group) {
  Schedule of;
  of.tiled = Config::tile != 0 && i.tile != 0;
  of.span = 1;
  of.turns = static_cast<unsigned int>(i.out_height) * i.out_width;
  of.sums = 1;
  of.reads = i.rows;
  of.filling = 0;
  of.settled = 0;
  of.length = longer(longer(i.rows + group.residual_words, group.chunks), shortest_turn);
  of.window = window_of(i.kernel_h, i.kernel_w, i.sub_rows);
  if (of.tiled) {
    const unsigned int width = i.tile + 2u;
    of.span = i.tile;
    of.turns = tiles_of(i.out_height, i.tile) * tiles_of(i.out_width, i.tile);
    of.sums = width * width;
    unsigned int sums_length = 0;
    for (unsigned int tap = 0; tap < of.sums; ++tap) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=16 max=36
#pragma HLS PIPELINE II=1
#endif
      sums_length += sums[tap].last_cycle + 1;
    }
    of.reads = of.sums * i.sub_rows * Shape<Config>::slices;
    of.filling = of.reads + of.sums + width;
    of.settled = longer(group.chunks, shortest_turn);
    of.length = longer(longer(sums_length, of.filling),
                       of.reads + of.span * of.span * group.residual_words);
    of.window = window_of(of.sums, i.levels, i.sub_rows);
  }
  return of;
}

// `half` of the transformed words holds the group's first tile, unless the tile is to be made `first`. Returns whether
// the array takes all weights.
template <class Config>
bool convolve_group(const Instruction& i, const Group& group, const Taps& taps, const Windows<Config>& windows,
                    bool narrow, bool first, bool& half, hls::stream<Parameters>& parameter_stream, hls::stream<WeightRow<Config> >& rows,
                    WeightRow<Config> (&replay)[Config::weight_depth], Transformed<Config>& transformed,
                    Banks<Config>& bank, Results<Config>& result) {
  typedef Shape<Config> S;
  Parameters parameters[Config::lanes_k];
  Accumulators<Config> accumulator;
  Accumulators<Config> held;
  Residuals<Config> residual;
  Pending<Config> pending;
  Column<Config> column;
  Middle<Config> middle;
  Row<Config> row_words;
  MadeRow<Config> made;
  Partial<Config> partial;
  Outputs<Config> outputs;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=parameters cyclic factor=Config::drain_k
#pragma HLS ARRAY_PARTITION variable=accumulator complete dim=0
#pragma HLS ARRAY_PARTITION variable=held complete dim=0
#pragma HLS ARRAY_PARTITION variable=pending complete dim=0
#pragma HLS ARRAY_PARTITION variable=column complete dim=0
#pragma HLS ARRAY_PARTITION variable=middle complete dim=1
#pragma HLS ARRAY_PARTITION variable=middle complete dim=2
#pragma HLS ARRAY_PARTITION variable=row_words complete dim=0
#pragma HLS ARRAY_PARTITION variable=made complete dim=0
#pragma HLS ARRAY_PARTITION variable=partial complete dim=1
#pragma HLS ARRAY_PARTITION variable=partial complete dim=2
#pragma HLS ARRAY_PARTITION variable=partial complete dim=3
#pragma HLS ARRAY_PARTITION variable=outputs complete dim=1
#pragma HLS ARRAY_PARTITION variable=outputs complete dim=2
#pragma HLS ARRAY_PARTITION variable=outputs complete dim=3
#pragma HLS ARRAY_PARTITION variable=outputs complete dim=4
  if (Config::tile == 0) {
#pragma HLS ARRAY_PARTITION variable=residual complete dim=0
  } else {
#pragma HLS ARRAY_PARTITION variable=residual complete dim=1
  }
#endif
  const unsigned int records = group.chunks * Config::drain_k;
  for (unsigned int n = 0; n < records; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=512
#pragma HLS PIPELINE II=1
#endif
    parameters[n] = parameter_stream.read();
  }

  clear_sums<Config>(accumulator);

  Sum sums[most_taps];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=sums complete
#endif
  fill_sums(i, taps, group.chunks, sums);
  const Schedule of = schedule_of<Config>(i, sums, group);
  const uint64_t cycles = (first ? of.filling : 0) + static_cast<uint64_t>(of.turns) * of.length + of.settled +
                          of.span * of.span * group.chunks;
  bool filling = of.tiled && first;
  Position position = first_position(i);
  Position drained = position;
  Position ahead = position;  // the tile to transform
  if (of.tiled && !first) next_tile(i, ahead);
  unsigned int done = 0;   // turns computed
  unsigned int cycle = 0;  // within the turn
  unsigned int sum = 0;
  unsigned int sum_cycle = 0;  // within the sum
  Sum whole;                   // the only sum of a position
  whole.last_step = static_cast<uint8_t>(i.steps - 1);
  whole.last_step_last = static_cast<uint8_t>(i.steps_last - 1);
  whole.rows = i.rows;
  whole.last_cycle = of.length - 1;
  const Sum first_sum = of.tiled ? sums[0] : whole;
  Sum present = first_sum;
  Tap tap = first_tap(of.window);
  uint8_t step = 0;                   // within the sub-row
  unsigned int row_number = 0;        // within the turn
  unsigned int transformed_word = 0;  // first of the tap within the tile
  const Cells drained_cells = cells_of(of.span, group.chunks);
  const Cells fetched_cells = cells_of(of.span, group.residual_words);
  const uint8_t last_tap = static_cast<uint8_t>(i.tile + 1);  // of a tile, in each direction
  const unsigned int last_cycle = of.length - 1;
  unsigned int turn_end = filling ? of.filling - 1 : last_cycle;  // last cycle of this turn
  Cell leaving = first_cell();        // of the turn that drains
  Cell fetched = first_cell();        // of the residuals
  Stages stages;
  restart_stages(stages);
  Fold fold = first_fold();
  fold.chunk = static_cast<uint16_t>(group.chunks);  // nothing to fold
  bool taken = true;
  for (uint64_t n = 0; n < cycles; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=8 max=1048576
#pragma HLS PIPELINE II=1
#pragma HLS DEPENDENCE variable=bank inter false
#pragma HLS DEPENDENCE variable=result inter false
#pragma HLS DEPENDENCE variable=replay inter RAW distance=4 true
#pragma HLS DEPENDENCE variable=transformed inter RAW distance=16 true
#pragma HLS DEPENDENCE variable=middle inter RAW distance=4 true
#pragma HLS DEPENDENCE variable=partial inter RAW distance=4 true
#pragma HLS DEPENDENCE variable=outputs inter RAW distance=4 true
#endif
    const bool odd = (done & 1) != 0;
    // The banks are read before the drain writes: no load waits for a store that went through multiplier and
    // requantisation. No cycle uses a word that it also writes, so that either order gives the same: a map written
    // never overlaps one that is read (PROGRAM.md), but where output and residual are the same words; there the drain
    // is a turn behind what is fetched, at other positions. What a depthwise group reads behind its map is multiplied
    // by 0. The same makes `inter false` true.
    const bool busy = !filling && done < of.turns;
    const unsigned int in_sum = Config::tile == 0 ? cycle : sum_cycle;
    const bool computes = busy && sum < of.sums && in_sum < present.rows;
    const bool transforms = of.tiled && (filling || busy);
    const bool reads = of.tiled ? transforms && cycle < of.reads : computes;
    const bool fetches = busy && cycle >= of.reads && group.residual_words != 0 && fetched.row < of.span;
    Tap read_tap = tap;
    if (of.tiled) {
      read_tap.ky = stages.column.inner;
      read_tap.kx = stages.column.outer;
      read_tap.q = stages.column.q;
    }
    const Place place = place_of(i, of.tiled ? ahead : position, read_tap, group.first_word);
    bool inside[Config::lanes_p];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=inside complete
#endif
    lanes_inside<Config>(i, place, windows, inside);
    const Position fetched_at = of.tiled ? position_of(i, position, fetched) : position;
    const unsigned int residual_address = residual_pixel(i, fetched_at) + group.residual_first_word + fetched.part;
    const bool fetches_inside = fetches && (!of.tiled || inside_outputs(i, fetched_at));
    Words<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete dim=0
#endif
    if (reads || fetches_inside) read_words<Config>(bank, fetches ? residual_address : place.address, word);

    const bool drains = done != 0 && cycle >= of.settled && leaving.row < of.span;
    const bool folds = of.tiled && fold.chunk < group.chunks;
    Grown<Config> grown;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=grown complete dim=0
#endif
    if (of.tiled && (folds || drains)) read_outputs<Config>(outputs, fold, folds, leaving.part, grown);
    if (drains) {
      const Position at = of.tiled ? position_of(i, drained, leaving) : drained;
      Leaving<Config> total;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=total complete dim=0
#endif
      if (of.tiled) {
        take_outputs<Config>(grown, leaving, !odd, total);
      } else {
        take_sums<Config>(held, leaving.part, total);
      }
      const unsigned int cell = (odd ? 0 : S::cells) + leaving.row * of.span + leaving.column;
      if (!of.tiled || inside_outputs(i, at)) {
        drain_chunk<Config>(i, group, leaving.part, at, total, residual, cell, parameters, narrow, pending, bank,
                            result);
      }
      next_cell(drained_cells, leaving);
    }
    if (folds) {
      fold_chunk<Config>(i, fold, taps, held, grown, partial, outputs);
      fold.chunk = static_cast<uint16_t>(fold.chunk + 1);
    }

    if (fetches_inside) {
      const unsigned int cell = (odd ? S::cells : 0) + fetched.row * of.span + fetched.column;
      for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
        join_word<Config>(word[p], residual[p][cell * S::residual_words + fetched.part]);
      }
    }
    if (fetches) next_cell(fetched_cells, fetched);

    if (transforms) {
      transform_cycle<Config>(i, cycle, of.reads, word, inside, !half, stages, column, middle, row_words, made,
                              transformed);
    }

    if (computes) {
      WeightRow<Config> row;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=row.value complete
#pragma HLS ARRAY_PARTITION variable=row.index complete
#endif
      if (done == 0) {
        row = rows.read();
        if (of.turns > 1) replay[row_number] = row;  // else it is not read again, and may have no place
        taken = taken && takes_row<Config>(row, narrow);
      } else {
        row = replay[row_number];
      }
      Operands<Config> operand;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=operand complete dim=0
#endif
      if (of.tiled) {
        take_transformed<Config>(transformed, half, transformed_word + tap.q, operand);
      } else {
        take_operands<Config>(word, inside, i.input_signed(), narrow, operand);
      }
      // A tile's level is a column of its window, a direct layer's is its whole window.
      const bool level_begins = in_sum != 0 && step == 0 && tap.q == 0 && (of.tiled || (tap.kx == 0 && tap.ky == 0));
      multiply_accumulate<Config>(operand, row, i.indexed(), step, in_sum == 0, level_begins, narrow, accumulator);
      ++row_number;
      if (step == (tap.last_word ? present.last_step_last : present.last_step)) {
        step = 0;
        if (tap.last_word && tap.kx == of.window.last_column) transformed_word += i.sub_rows;
        next_tap(of.window, tap);
      } else {
        ++step;
      }
    }
    const bool sum_ends = busy && sum < of.sums && in_sum == present.last_cycle;
    if (sum_ends) hold_sums<Config>(accumulator, held);
    if (of.tiled && sum_ends) next_fold(last_tap, sum == 0, odd, fold);
    sum_cycle = sum_ends ? 0 : sum_cycle + 1;
    if (Config::tile != 0 && sum_ends) {
      ++sum;
      if (sum < of.sums) present = sums[sum];
    }
    if (cycle == turn_end) {
      turn_end = last_cycle;
      cycle = 0;
      sum = 0;
      present = first_sum;
      sum_cycle = 0;
      row_number = 0;
      transformed_word = 0;
      leaving = first_cell();
      fetched = first_cell();
      if (of.tiled) {
        half = !half;
        restart_stages(stages);
        next_tile(i, ahead);
      }
      if (!filling) {
        drained = position;
        ++done;
        if (of.tiled) {
          next_tile(i, position);
        } else {
          next_position(i, position);
        }
      }
      filling = false;
    } else {
      ++cycle;
    }
  }
  return taken;
}

// Returns whether the array takes all weights.
template <class Config>
bool convolve(const Instruction& i, const Taps& taps, const Windows<Config>& windows, bool narrow,
              hls::stream<Parameters>& parameters, hls::stream<WeightRow<Config> >& rows,
              WeightRow<Config> (&replay)[Config::weight_depth],
              Transformed<Config>& transformed, Banks<Config>& bank, Results<Config>& result) {
  bool half = false;  // of the transformed words that the array reads
  bool taken = true;
  for (unsigned int index = 0; index < i.groups; ++index) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#endif
    const Group group = group_of<Config>(i, index);
    taken = convolve_group<Config>(i, group, taps, windows, narrow, index == 0, half, parameters, rows, replay,
                                   transformed, bank, result) && taken;
  }
  return taken;
}

}  // namespace cascade

#endif
