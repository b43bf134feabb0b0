// One cycle of the array behind standard input: CONFIG of the header UNIT. A record: lanes_k x slots weights and
// lanes_p x sub_row operands as int32; what comes out: lanes_p x lanes_k sums as int32, of the slots in order. An argument
// makes it the cycle of a narrow program.
#include <stdio.h>

#include UNIT

#include "lib/array.hpp"

using namespace cascade;

int main(int count, char**) {
  static int32_t record[CONFIG::lanes_k * CONFIG::slots + CONFIG::lanes_p * CONFIG::sub_row];
  static WeightRow<CONFIG> row;
  static Operands<CONFIG> operand;
  static Accumulators<CONFIG> accumulator;
  while (fread(record, sizeof record, 1, stdin) == 1) {
    for (int k = 0; k < CONFIG::lanes_k; ++k) {
      for (int s = 0; s < CONFIG::slots; ++s) {
        const uint64_t value = static_cast<uint64_t>(static_cast<int64_t>(record[k * CONFIG::slots + s]));
        set_element<CONFIG::slots, CONFIG::weight_bits>(row.value[k], s, keep_unsigned<CONFIG::weight_bits>(value));
      }
    }
    for (int p = 0; p < CONFIG::lanes_p; ++p) {
      for (int e = 0; e < CONFIG::sub_row; ++e) {
        operand[p][e] = record[CONFIG::lanes_k * CONFIG::slots + p * CONFIG::sub_row + e];
      }
    }
    multiply_accumulate<CONFIG>(operand, row, false, 0, true, false, count > 1, accumulator);
    for (int p = 0; p < CONFIG::lanes_p; ++p) {
      for (int k = 0; k < CONFIG::lanes_k; ++k) {
        const int32_t sum = static_cast<int32_t>(keep_signed<32>(static_cast<int64_t>(accumulator[p][k])));
        fwrite(&sum, sizeof sum, 1, stdout);
      }
    }
  }
  return 0;
}
