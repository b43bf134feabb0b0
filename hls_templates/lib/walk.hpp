// Where the windows of CONV and MAXPOOL stand: counters that step once per cycle, no divisions.
#ifndef CASCADE_WALK_HPP
#define CASCADE_WALK_HPP

#include "program.hpp"

namespace cascade {

// Output positions in row-major order, with the address of each one's output.
struct Position {
  uint16_t y;
  uint16_t x;
  uint32_t out_word;    // first word of its outputs in the bank
  uint32_t out_result;  // first place of its outputs in the result memory
};

inline Position first_position(const Instruction& i) {
  Position p;
  p.y = 0;
  p.x = 0;
  p.out_word = i.out_base;
  p.out_result = 0;
  return p;
}

inline void next_position(const Instruction& i, Position& p) {
  p.out_word += i.out_words;
  p.out_result += i.channels;
  if (p.x + 1 == i.out_width) {
    p.x = 0;
    p.y = static_cast<uint16_t>(p.y + 1);
  } else {
    p.x = static_cast<uint16_t>(p.x + 1);
  }
}

// One tap of a window: word q of kernel position (ky, kx).
struct Tap {
  uint8_t ky;
  uint8_t kx;
  uint16_t q;
};

inline Tap first_tap() {
  Tap tap;
  tap.ky = 0;
  tap.kx = 0;
  tap.q = 0;
  return tap;
}

// To the next word; true after the window's last one, when the tap is the first again.
inline bool next_tap(const Instruction& i, Tap& tap) {
  if (tap.q + 1 != i.sub_rows) {
    tap.q = static_cast<uint16_t>(tap.q + 1);
    return false;
  }
  tap.q = 0;
  if (tap.kx + 1 != i.kernel_w) {
    tap.kx = static_cast<uint8_t>(tap.kx + 1);
    return false;
  }
  tap.kx = 0;
  if (tap.ky + 1 != i.kernel_h) {
    tap.ky = static_cast<uint8_t>(tap.ky + 1);
    return false;
  }
  tap.ky = 0;
  return true;
}

// The word that a tap reads at a position: whether it lies inside the map, and its address (0 where not).
struct Place {
  bool inside;
  uint32_t address;
};

inline Place place_of(const Instruction& i, const Position& p, const Tap& tap, uint32_t first) {
  const int32_t y = static_cast<int32_t>(p.y * static_cast<uint32_t>(i.stride_h)) + tap.ky * i.dilation_h - i.pad_top;
  const int32_t x = static_cast<int32_t>(p.x * static_cast<uint32_t>(i.stride_w)) + tap.kx * i.dilation_w - i.pad_left;
  Place place;
  place.inside = y >= 0 && x >= 0 && y < i.in_height && x < i.in_width;
  place.address = 0;
  if (place.inside) {
    place.address = i.in_base + static_cast<uint32_t>(y) * i.in_row_words + static_cast<uint32_t>(x) * i.in_words +
                    first + tap.q;
  }
  return place;
}

}  // namespace cascade

#endif
