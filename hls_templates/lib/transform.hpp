// Winograd's transforms in one dimension: the matrices `input` and `output` of toolflow/numerics/winograd.py, as shifts
// and additions. A tile of m x m outputs reads t x t inputs, t = m + 2.
#ifndef CASCADE_TRANSFORM_HPP
#define CASCADE_TRANSFORM_HPP

#include "types.hpp"

namespace cascade {

// F(2,3): v = input * d. Of Taps elements the first four.
template <int Taps, class From, class To>
inline void transform_input_2(const From (&d)[Taps], To (&v)[Taps]) {
  v[0] = d[0] - d[2];
  v[1] = d[1] + d[2];
  v[2] = d[2] - d[1];
  v[3] = d[1] - d[3];
}

// F(4,3): v = input * d.
template <class From, class To>
inline void transform_input_4(const From (&d)[6], To (&v)[6]) {
  const To even = d[4] - 4 * d[2];
  const To odd = d[3] - 4 * d[1];
  const To near_even = d[4] - d[2];
  const To near_odd = 2 * (d[3] - d[1]);
  v[0] = 4 * d[0] - 4 * d[2] - d[2] + d[4];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = near_even + near_odd;
  v[4] = near_even - near_odd;
  v[5] = 4 * d[1] - 4 * d[3] - d[3] + d[5];
}

// F(2,3): to[j] = output[j][tap] * value, what one tap adds to the outputs. Of Tile outputs the first two.
template <int Tile, class Sum>
inline void share_output_2(int tap, const Sum& value, Sum (&to)[Tile]) {
  const Sum none = 0;
  const Sum negated = none - value;
  const Sum either = tap == 1 ? value : negated;
  const Sum twice = value << 1;
  const Sum negated_twice = negated << 1;
  to[0] = tap == 0 ? twice : tap == 3 ? none : value;
  to[1] = tap == 0 ? none : tap == 3 ? negated_twice : either;
}

// F(4,3): to[j] = output[j][tap] * value.
template <class Sum>
inline void share_output_4(int tap, const Sum& value, Sum (&to)[4]) {
  const bool positive = tap == 1 || tap == 3;
  const Sum either = positive ? value : Sum(-value);
  const Sum fourfold = value << 2;
  const Sum sixfold = fourfold + (value << 1);
  if (tap == 1 || tap == 2) {
    to[0] = fourfold;
    to[1] = either << 2;
    to[2] = fourfold;
    to[3] = either << 2;
  } else if (tap == 3 || tap == 4) {
    to[0] = value;
    to[1] = either << 1;
    to[2] = fourfold;
    to[3] = either << 3;
  } else {
    to[0] = tap == 0 ? sixfold : Sum(0);
    to[1] = 0;
    to[2] = 0;
    to[3] = tap == 5 ? Sum(sixfold << 2) : Sum(0);
  }
}

// The forms of an engine whose largest tile is Tile; `tile` is the one that an instruction asks for.
template <int Tile>
struct Forms;

template <>
struct Forms<2> {
  template <class From, class To>
  static void transform_input(int, const From (&d)[4], To (&v)[4]) {
    transform_input_2<4, From, To>(d, v);
  }
  template <class Sum>
  static void share_output(int, int tap, const Sum& value, Sum (&to)[2]) {
    share_output_2<2, Sum>(tap, value, to);
  }
};

template <>
struct Forms<4> {
  template <class From, class To>
  static void transform_input(int tile, const From (&d)[6], To (&v)[6]) {
    transform_input_4<From, To>(d, v);
    if (tile == 2) transform_input_2<6, From, To>(d, v);
  }
  template <class Sum>
  static void share_output(int tile, int tap, const Sum& value, Sum (&to)[4]) {
    share_output_4<Sum>(tap, value, to);
    if (tile == 2) share_output_2<4, Sum>(tap, value, to);
  }
};

}  // namespace cascade

#endif
