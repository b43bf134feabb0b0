// Single units of the HLS library behind standard input: the first argument names one, then binary records.
#include <stdio.h>
#include <string.h>

#include "lib/confidence.hpp"
#include "lib/requantise.hpp"
#include "lib/transform.hpp"

struct UnitConfig {
  static constexpr int lanes_k = 8, lanes_p = 1, slots = 1, drain_k = 2, sub_row = 8, weight_bits = 8;
  static constexpr int activation_bits = 8, narrow_bits = 0, accumulator_bits = 40, bias_bits = 40, bus_bits = 128, bank_depth = 16, weight_depth = 16;
  static constexpr int result_depth = 1024, input_lanes = 4, table_words = 1;
  static constexpr int tile = 4, transform_cycles = 1, transform_depth = 36, operand_bits = 16;
  static constexpr bool confidence = true;
};

struct Sum {
  int64_t accumulator, bias, multiplier, residual, residual_multiplier, residual_shift, shift, lower, upper;
};

static int requantise_all() {
  Sum sum;
  while (fread(&sum, sizeof sum, 1, stdin) == 1) {
    cascade::Parameters of;
    of.bias = sum.bias;
    of.multiplier = static_cast<uint16_t>(sum.multiplier);
    of.residual_multiplier = static_cast<uint16_t>(sum.residual_multiplier);
    of.residual_shift = static_cast<uint8_t>(sum.residual_shift);
    of.shift = static_cast<uint8_t>(sum.shift);
    const int16_t out = cascade::requantise<UnitConfig>(sum.accumulator, of, sum.residual,
                                                        static_cast<int16_t>(sum.lower), static_cast<int16_t>(sum.upper));
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}

// A record: classes, k, m, n, threshold, then the logits as int32.
static int answer_all() {
  static cascade::Int<16> result[1][UnitConfig::drain_k][cascade::Shape<UnitConfig>::result_rows];
  int32_t head[5];
  while (fread(head, sizeof head, 1, stdin) == 1) {
    cascade::Header header;
    memset(&header, 0, sizeof header);
    header.classes = static_cast<uint32_t>(head[0]);
    header.confidence_k = static_cast<uint16_t>(head[1]);
    header.confidence_m = static_cast<uint8_t>(head[2]);
    header.confidence_n = static_cast<uint8_t>(head[3]);
    header.threshold = head[4];
    for (int c = 0; c < head[0]; ++c) {
      int32_t logit;
      if (fread(&logit, sizeof logit, 1, stdin) != 1) return 1;
      result[0][c % UnitConfig::drain_k][c / UnitConfig::drain_k] = logit;
    }
    const cascade::Answer answer = cascade::answer_of<UnitConfig>(header, 0, result);
    fwrite(&answer, sizeof answer, 1, stdout);
  }
  return 0;
}

// A record: a tile of Taps x Taps 8-bit elements as int32; what comes out: the same of the transformed tile.
template <int Largest>
static int transform_all(int tile) {
  const int taps = Largest + 2;
  const int used = tile + 2;
  int32_t words[taps * taps];
  while (fread(words, sizeof(int32_t), used * used, stdin) == static_cast<size_t>(used * used)) {
    cascade::Int<8 + Largest> middle[taps][taps];
    for (int x = 0; x < used; ++x) {
      cascade::Int<9> from[taps] = {};
      cascade::Int<8 + Largest> to[taps] = {};
      for (int y = 0; y < used; ++y) from[y] = words[y * used + x];
      cascade::Forms<Largest>::transform_input(tile, from, to);
      for (int y = 0; y < used; ++y) middle[y][x] = to[y];
    }
    for (int y = 0; y < used; ++y) {
      cascade::Int<8 + Largest> from[taps] = {};
      cascade::Int<Largest == 4 ? 16 : 11> to[taps] = {};
      for (int x = 0; x < used; ++x) from[x] = middle[y][x];
      cascade::Forms<Largest>::transform_input(tile, from, to);
      for (int x = 0; x < used; ++x) words[y * used + x] = to[x];
    }
    fwrite(words, sizeof(int32_t), used * used, stdout);
  }
  return 0;
}

// A record: tap and value; what comes out: what the tap adds to each of the tile's outputs.
template <int Largest>
static int share_all(int tile) {
  int64_t record[2];
  while (fread(record, sizeof record, 1, stdin) == 1) {
    const cascade::Int<40> value = record[1];
    cascade::Int<40> share[Largest];
    cascade::Forms<Largest>::share_output(tile, static_cast<int>(record[0]), value, share);
    for (int j = 0; j < tile; ++j) {
      const int64_t out = cascade::keep_signed<40>(static_cast<int64_t>(share[j]));
      fwrite(&out, sizeof out, 1, stdout);
    }
  }
  return 0;
}

int main(int count, char** argument) {
  if (strcmp(argument[1], "requantise") == 0) return requantise_all();
  if (strcmp(argument[1], "confidence") == 0) return answer_all();
  if (count != 4) return 2;
  const bool largest = argument[2][0] == '4';
  const int tile = argument[3][0] - '0';
  if (strcmp(argument[1], "input") == 0) return largest ? transform_all<4>(tile) : transform_all<2>(tile);
  return largest ? share_all<4>(tile) : share_all<2>(tile);
}
