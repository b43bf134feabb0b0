// Integers of stated width. Synthesis uses ap_int, where the width is the hardware's. The simulation uses
// the narrowest native integer that holds the width, which is about ten times as fast; whatever cuts a
// value goes through keep_signed or keep_unsigned, so that both give the same bits. CASCADE_AP_TYPES
// builds the simulation with the types of the synthesis, to compare the two.
#ifndef CASCADE_TYPES_HPP
#define CASCADE_TYPES_HPP

#include <stdint.h>

#include "vendor.hpp"

#if defined(__SYNTHESIS__) || defined(CASCADE_AP_TYPES)
#define CASCADE_EXACT_WIDTHS 1
#else
#define CASCADE_EXACT_WIDTHS 0
#endif

namespace cascade {

#if CASCADE_EXACT_WIDTHS

template <int Width>
using Int = ap_int<Width>;
template <int Width>
using UInt = ap_uint<Width>;

#else

template <int Bytes>
struct Native;
template <>
struct Native<1> {
  typedef int8_t Signed;
  typedef uint8_t Unsigned;
};
template <>
struct Native<2> {
  typedef int16_t Signed;
  typedef uint16_t Unsigned;
};
template <>
struct Native<4> {
  typedef int32_t Signed;
  typedef uint32_t Unsigned;
};
template <>
struct Native<8> {
  typedef int64_t Signed;
  typedef uint64_t Unsigned;
};

constexpr int native_bytes(int width) {
  return width <= 8 ? 1 : width <= 16 ? 2 : width <= 32 ? 4 : 8;
}
template <int Width>
using Int = typename Native<native_bytes(Width)>::Signed;
template <int Width>
using UInt = typename Native<native_bytes(Width)>::Unsigned;

#endif

// The low Width bits of `value`, read as two's complement.
template <int Width>
inline Int<Width> keep_signed(int64_t value) {
#if CASCADE_EXACT_WIDTHS
  return ap_int<Width>(value);
#else
  const int unused = 64 - Width;
  return Int<Width>(static_cast<int64_t>(static_cast<uint64_t>(value) << unused) >> unused);
#endif
}

// The low Width bits of `value`.
template <int Width>
inline UInt<Width> keep_unsigned(uint64_t value) {
#if CASCADE_EXACT_WIDTHS
  return ap_uint<Width>(value);
#else
  return UInt<Width>(value & (~static_cast<uint64_t>(0) >> (64 - Width)));
#endif
}

// Count elements of Width bits side by side: one word of a memory.
#if CASCADE_EXACT_WIDTHS

template <int Count, int Width>
using Packed = ap_uint<Count * Width>;

template <int Count, int Width>
inline UInt<Width> element(const Packed<Count, Width>& packed, int position) {
  return ap_uint<Width>(packed.range(position * Width + Width - 1, position * Width));
}

template <int Count, int Width>
inline void set_element(Packed<Count, Width>& packed, int position, UInt<Width> value) {
  packed.range(position * Width + Width - 1, position * Width) = value;
}

#else

template <int Count, int Width>
struct Packed {
  UInt<Width> elements[Count];
};

template <int Count, int Width>
inline UInt<Width> element(const Packed<Count, Width>& packed, int position) {
  return packed.elements[position];
}

template <int Count, int Width>
inline void set_element(Packed<Count, Width>& packed, int position, UInt<Width> value) {
  packed.elements[position] = value;
}

#endif

constexpr int log2_floor(int value) {
  int exponent = 0;
  for (int n = 1; n < 31; ++n) {
    if (value >> n != 0) exponent = n;
  }
  return exponent;
}

// Of `a` and a power of two.
constexpr int common_divisor(int a, int power_of_two) {
  int divisor = 1;
  for (int n = 1; n < 31; ++n) {
    const int candidate = 1 << n;
    if (candidate <= power_of_two && a % candidate == 0) divisor = candidate;
  }
  return divisor;
}

constexpr int larger(int a, int b) {
  return a > b ? a : b;
}

constexpr int smaller(int a, int b) {
  return a < b ? a : b;
}

// A multiplication that happens once an instruction: ALLOCATION lets a process have one multiplier for all of them.
inline uint64_t product(uint32_t a, uint16_t b) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE off
#endif
  return static_cast<uint64_t>(a) * b;
}

inline unsigned int divide_up(unsigned int value, unsigned int divisor) {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

}  // namespace cascade

#endif
