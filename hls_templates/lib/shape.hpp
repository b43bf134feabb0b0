// Everything that follows from an engine's parameters. `Config` has the numbers and switches of EngineConfig as
// static constexpr members, `operand_bits`, `bank_ultra` (banks in UltraRAM) and `signature`, and of its packing
// `weight_step`, `operand_step`, `packed_weight_bits`, `packed_operand_bits` and `symmetric_weights`. With two
// precisions these are of wide programs, the widths hold both, `narrow_weight_step` and `narrow_operand_step` are of
// narrow ones.
#ifndef CASCADE_SHAPE_HPP
#define CASCADE_SHAPE_HPP

#include "types.hpp"

namespace cascade {

constexpr int result_bits = 16;
constexpr int bias_bits = 40;
constexpr int block_words = 16;  // header and instructions: blocks of 16 words of 32 bits
constexpr int chunk_bits = 64;   // beats are cut into chunks, which every compiler indexes well

// Balanced digits of `bits` bits that hold every signed byte.
constexpr int digits_of_byte(int bits) {
  int count = 0;
  int largest = 0;
  for (int n = 0; n < 8; ++n) {
    if (largest < 127) {
      largest = (largest << bits) + (1 << (bits - 1)) - 1;
      ++count;
    }
  }
  return count;
}

template <class Config>
struct Shape {
  // S elements of a word lie in `granules` memories; the drain writes one granule at a time.
  static constexpr int granule = common_divisor(Config::lanes_k, Config::sub_row);
  static constexpr int granules = Config::sub_row / granule;
  // Whether there are wide and narrow programs: then the wide ones have half of the lanes.
  static constexpr bool two_precisions = Config::narrow_bits != 0;
  static constexpr int wide_lanes = two_precisions ? Config::lanes_p / 2 : Config::lanes_p;
  static constexpr int bank_bits = two_precisions ? Config::narrow_bits : Config::activation_bits;  // of an element
  static constexpr int digit_bits = smaller(Config::weight_bits, Config::activation_bits);
  static constexpr int least_digit_bits = two_precisions ? Config::narrow_bits : digit_bits;
  static constexpr int entry_digits = digits_of_byte(least_digit_bits);  // of an entry of the input tables
  static constexpr int index_bits = larger(log2_floor(Config::sub_row), 1);
  static constexpr int sub_row_shift = log2_floor(Config::sub_row);

  static constexpr int bus_bytes = Config::bus_bits / 8;
  static constexpr int chunks = Config::bus_bits / chunk_bits;  // in a beat
  static constexpr int block_beats = larger(block_words * 4 / bus_bytes, 1);

  static constexpr int row_values = Config::lanes_k * Config::slots;
  static constexpr int dense_row_bits = row_values * Config::weight_bits;
  static constexpr int choices = Config::gather ? Config::lanes_k / Config::index_k : 1;  // indices of a slot
  static constexpr int indexed_row_bits = dense_row_bits + (Config::gather ? choices * Config::slots * index_bits : 0);
  // A row of an engine without gather keeps no indices: as little as a type may have.
  static constexpr int kept_indices = Config::gather ? Config::slots : 1;
  static constexpr int kept_index_bits = Config::gather ? index_bits : 1;
  static constexpr int row_chunks = (indexed_row_bits + Config::bus_bits - 1) / Config::bus_bits * chunks;

  // A pixel of several words fills them: its tables cover the whole word.
  static constexpr int table_lanes = Config::table_words > 1 ? Config::sub_row : Config::input_lanes;

  // Words that hold the residual of lanes_k consecutive channels, aligned or not.
  static constexpr int residual_words = (Config::lanes_k + Config::sub_row - 2) / Config::sub_row + 1;
  static constexpr int result_rows = (Config::result_depth + Config::drain_k - 1) / Config::drain_k;
  // How far the loader runs ahead: parameters of a group, and of its rows what one block RAM is deep.
  static constexpr int parameters_ahead = larger(Config::lanes_k, 2);
  static constexpr int rows_ahead = larger(smaller(Config::weight_depth, 512), 2);
  static constexpr int product_bits = Config::weight_bits + Config::operand_bits;
  static constexpr int sum_bits = product_bits + log2_floor(Config::slots);
  // Products that share a multiplier: the width of a chain's sum and of a field, and whether the fields of a lane's
  // channels are neighbours, or those of a channel's lanes.
  static constexpr int packed_bits = Config::packed_weight_bits + Config::packed_operand_bits + log2_floor(Config::chain);
  static constexpr int block_lanes = two_precisions ? 2 : Config::pack_p;  // lanes whose operands share a multiplier
  static constexpr int block_lane_step = two_precisions ? wide_lanes : 1;
  static constexpr bool weights_first = Config::pack_p == 1 || Config::weight_step < Config::operand_step;
  static constexpr int spacing = weights_first && Config::pack_k > 1 ? Config::weight_step : Config::operand_step;
  static constexpr int field_bits = larger(spacing, 2);
  static constexpr int narrow_field_bits = larger(Config::narrow_operand_step, 2);

  // Winograd tiles. An engine without them compiles what would serve the smallest, and never runs it.
  static constexpr int tile = larger(Config::tile, 2);  // m, outputs in each direction
  static constexpr int taps = tile + 2;                 // t, inputs in each direction
  static constexpr int cells = Config::tile == 0 ? 1 : tile * tile;  // positions of one turn of the array
  static constexpr int slices = Config::transform_cycles;  // of a word, transformed one after the other
  static constexpr int slice_channels = Config::sub_row / slices;
  // After the transform of columns: |row of `input`| sums to at most 2 (F(2,3)) or 8 to one side (F(4,3)).
  static constexpr int column_bits = Config::activation_bits + tile;
  static constexpr int group_chunks = Config::lanes_k / Config::drain_k;  // cycles in which a full group drains
};

template <class Config>
using Beat = ap_uint<Config::bus_bits>;

// One channel's parameters of the drain.
struct Parameters {
  Int<bias_bits> bias;
  uint16_t multiplier;
  uint16_t residual_multiplier;
  uint8_t shift;
  uint8_t residual_shift;
};

// One row of the weight stream: what each multiplier takes in one cycle.
template <class Config>
struct WeightRow {
  Packed<Config::slots, Config::weight_bits> value[Config::lanes_k];
  Packed<Shape<Config>::kept_indices, Shape<Config>::kept_index_bits> index[Shape<Config>::choices];
};

template <class Config>
using Granule = Packed<Shape<Config>::granule, Shape<Config>::bank_bits>;
template <class Config>
using Banks = Granule<Config>[Config::lanes_p][Shape<Config>::granules][Config::bank_depth];
// Word address mod drain_k chooses the memory, so that drain_k neighbours are written at once.
template <class Config>
using Results = Int<result_bits>[Config::lanes_p][Config::drain_k][Shape<Config>::result_rows];
template <class Config>
using Tables = UInt<8>[Shape<Config>::table_lanes][Config::table_words * 256];

}  // namespace cascade

#endif
