// The cascade's confidence unit, step by step as toolflow/numerics/confidence.py numbers them.
#ifndef CASCADE_CONFIDENCE_HPP
#define CASCADE_CONFIDENCE_HPP

#include "exponent_table.hpp"
#include "program.hpp"

namespace cascade {

// What the head of a result record says.
struct Answer {
  uint32_t klass;
  uint32_t confident;
  int32_t numerator;
  uint32_t total;
};

// Keeps the largest values in descending order.
struct Leaders {
  uint16_t place[leading_places];

  void clear() {
    for (int n = 0; n < leading_places; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      place[n] = 0;
    }
  }

  void insert(uint16_t value) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
    for (int n = leading_places - 1; n >= 0; --n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      // Every place below the value moves down by one; the first of them takes the value.
      const uint16_t above = n == 0 ? uint16_t(0xffff) : place[n == 0 ? 0 : n - 1];
      if (value > place[n]) place[n] = n != 0 && value > above ? above : value;
    }
  }
};

template <class Config>
inline int16_t result_of(const Results<Config>& result, int lane, unsigned int place) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return static_cast<int16_t>(result[lane][place & (Config::drain_k - 1)][place / Config::drain_k]);
}

// Largest logit and its lowest index; then the exponentials, their sum and the N largest.
template <class Config>
Answer answer_of(const Header& header, int lane, const Results<Config>& result) {
  Answer answer;
  int16_t largest = 0;
  answer.klass = 0;
  for (unsigned int c = 0; c < header.classes; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE II=1
#endif
    const int16_t logit = result_of<Config>(result, lane, c);
    if (c == 0 || logit > largest) {
      largest = logit;
      answer.klass = c;
    }
  }
  answer.confident = 1;
  answer.numerator = 0;
  answer.total = 0;
  if (!Config::confidence) return answer;

  Leaders leaders;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=leaders.place complete
#endif
  leaders.clear();
  for (unsigned int c = 0; c < header.classes; ++c) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE II=1
#endif
    const int16_t logit = result_of<Config>(result, lane, c);
    const uint32_t distance = static_cast<uint32_t>(static_cast<int32_t>(largest) - logit);
    const uint32_t x = distance * header.confidence_k >> 12;  // 16 x 16 bits; 8 fraction bits are left
    const uint32_t whole = x >> 8;
    const uint16_t power = whole < 16 ? static_cast<uint16_t>(exponent_table[x & 255] >> whole) : uint16_t(0);
    answer.total += power;
    leaders.insert(power);
  }
  for (int n = 0; n < leading_places; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    if (n < header.confidence_m) {
      answer.numerator += leaders.place[n];
    } else if (n < header.confidence_n) {
      answer.numerator -= leaders.place[n];
    }
  }
  const int64_t left = static_cast<int64_t>(answer.numerator) * 65536;
  const int64_t right = static_cast<int64_t>(header.threshold) * static_cast<int64_t>(answer.total);
  answer.confident = left >= right ? 1 : 0;
  return answer;
}

}  // namespace cascade

#endif
