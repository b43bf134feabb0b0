// Single units of the HLS library behind standard input: "requantise" or "confidence", then binary records.
#include <stdio.h>
#include <string.h>

#include "lib/confidence.hpp"
#include "lib/requantise.hpp"

struct UnitConfig {
  static constexpr int lanes_k = 8, lanes_p = 1, slots = 1, drain_k = 2, sub_row = 8, weight_bits = 8;
  static constexpr int activation_bits = 8, accumulator_bits = 32, bus_bits = 128, bank_depth = 16, weight_depth = 16;
  static constexpr int result_depth = 1024, input_lanes = 4, table_words = 1;
  static constexpr bool confidence = true;
};

struct Sum {
  int32_t accumulator, bias, multiplier, residual, residual_multiplier, shift, lower, upper;
};

static int requantise_all() {
  Sum sum;
  while (fread(&sum, sizeof sum, 1, stdin) == 1) {
    cascade::Parameters of;
    of.bias = sum.bias;
    of.multiplier = static_cast<uint16_t>(sum.multiplier);
    of.residual_multiplier = static_cast<uint16_t>(sum.residual_multiplier);
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

int main(int, char** argument) {
  return strcmp(argument[1], "requantise") == 0 ? requantise_all() : answer_all();
}
