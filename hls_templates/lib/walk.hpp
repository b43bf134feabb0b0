// Where the windows of CONV and MAXPOOL stand: counters that step once per cycle, no divisions. A counter is compared with
// the last value that it takes, which stays the same during a loop: the sum of a step is never compared in the same cycle.
#ifndef CASCADE_WALK_HPP
#define CASCADE_WALK_HPP

#include "stripes.hpp"

namespace cascade {

// The last value of a counter that takes `count` values from 0 on.
inline uint16_t last_of(unsigned int count) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return static_cast<uint16_t>(count - 1);
}

// Output positions in row-major order, with the address of each one's output.
struct Position {
  uint16_t y;
  uint16_t x;
  uint32_t out_word;    // first word of its outputs in the bank
  uint32_t out_result;  // first place of its outputs in the result memory
};

inline Position first_position(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Position p;
  p.y = 0;
  p.x = 0;
  p.out_word = i.out_base;
  p.out_result = i.out_base;
  return p;
}

inline void next_position(const Instruction& i, Position& p) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  p.out_word += i.out_words;
  p.out_result += i.channels;
  if (p.x == last_of(i.out_width)) {
    p.x = 0;
    p.y = static_cast<uint16_t>(p.y + 1);
  } else {
    p.x = static_cast<uint16_t>(p.x + 1);
  }
}

// Winograd tiles of m x m outputs (m = 2 or 4) that cover `size` outputs in one direction.
inline unsigned int tiles_of(unsigned int size, unsigned int m) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return m == 4 ? (size + 3) >> 2 : (size + 1) >> 1;
}

// To the next tile, after the map's last one the first: positions are the tiles' first ones.
inline void next_tile(const Instruction& i, Position& p) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  // Both ends are compared beside the additions, not after them: the walk must fit into a cycle.
  const bool row_ends = p.x >= static_cast<int>(i.out_width) - i.tile;
  const bool map_ends = p.y >= static_cast<int>(i.out_height) - i.tile;
  if (!row_ends) {
    p.x = static_cast<uint16_t>(p.x + i.tile);
    p.out_word += static_cast<uint32_t>(i.tile) * i.out_words;
  } else {
    p.x = 0;
    p.y = static_cast<uint16_t>(map_ends ? 0 : p.y + i.tile);
    p.out_word = i.out_base + static_cast<uint32_t>(p.y) * i.out_width * i.out_words;
  }
}

// One of the m x m positions of a tile, and its parts (chunks or words), which are walked first.
struct Cell {
  uint8_t row;
  uint8_t column;
  uint16_t part;
};

inline Cell first_cell() {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Cell cell;
  cell.row = 0;
  cell.column = 0;
  cell.part = 0;
  return cell;
}

// The last of a tile's rows and columns, and of a cell's parts.
struct Cells {
  uint8_t last_row;
  uint16_t last_part;
};

inline Cells cells_of(unsigned int m, unsigned int parts) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Cells cells;
  cells.last_row = static_cast<uint8_t>(m - 1);
  cells.last_part = last_of(parts);
  return cells;
}

// To the next part; after the last one `row` is m.
inline void next_cell(const Cells& cells, Cell& cell) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool cell_ends = cell.part == cells.last_part;
  const bool row_ends = cell_ends && cell.column == cells.last_row;
  cell.part = static_cast<uint16_t>(cell_ends ? 0 : cell.part + 1);
  if (cell_ends) cell.column = static_cast<uint8_t>(row_ends ? 0 : cell.column + 1);
  if (row_ends) cell.row = static_cast<uint8_t>(cell.row + 1);
}

// The position of a tile's cell: it may lie outside the map.
inline Position position_of(const Instruction& i, const Position& first, const Cell& cell) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Position p = first;
  p.y = static_cast<uint16_t>(first.y + cell.row);
  p.x = static_cast<uint16_t>(first.x + cell.column);
  p.out_word += (static_cast<uint32_t>(cell.row) * i.out_width + cell.column) * i.out_words;
  return p;
}

inline bool inside_outputs(const Instruction& i, const Position& p) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return p.y < i.out_height && p.x < i.out_width;
}

// The last of a window's rows and columns of taps, and of a tap's words.
struct Window {
  uint8_t last_row;
  uint8_t last_column;
  uint16_t last_word;
};

inline Window window_of(unsigned int height, unsigned int width, unsigned int words) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Window window;
  window.last_row = static_cast<uint8_t>(height - 1);
  window.last_column = static_cast<uint8_t>(width - 1);
  window.last_word = last_of(words);
  return window;
}

// One tap of a window: word q of kernel position (ky, kx).
struct Tap {
  uint8_t ky;
  uint8_t kx;
  uint16_t q;
  bool last_word;  // whether q is the window's last word: a register, which the steps of the word are chosen by
};

inline Tap first_tap(const Window& window) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Tap tap;
  tap.ky = 0;
  tap.kx = 0;
  tap.q = 0;
  tap.last_word = window.last_word == 0;
  return tap;
}

// To the next word; after the window's last one the tap is the first again.
inline void next_tap(const Window& window, Tap& tap) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const bool word_ends = tap.last_word;
  const bool column_ends = word_ends && tap.kx == window.last_column;
  const bool row_ends = column_ends && tap.ky == window.last_row;
  tap.q = static_cast<uint16_t>(word_ends ? 0 : tap.q + 1);
  tap.last_word = word_ends ? window.last_word == 0 : tap.q == window.last_word;
  if (word_ends) tap.kx = static_cast<uint8_t>(column_ends ? 0 : tap.kx + 1);
  if (column_ends) tap.ky = static_cast<uint8_t>(row_ends ? 0 : tap.ky + 1);
}

// The word that a tap reads at a position: whether it lies inside the map, in which row, and its address (0 where not).
struct Place {
  bool inside;
  int32_t row;
  uint32_t address;
};

inline Place place_of(const Instruction& i, const Position& p, const Tap& tap, uint32_t first) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const int32_t y = static_cast<int32_t>(p.y * static_cast<uint32_t>(i.stride_h)) + tap.ky * i.dilation_h - i.pad_top;
  const int32_t x = static_cast<int32_t>(p.x * static_cast<uint32_t>(i.stride_w)) + tap.kx * i.dilation_w - i.pad_left;
  Place place;
  place.row = y;
  place.inside = y >= 0 && x >= 0 && y < i.in_height && x < i.in_width;
  place.address = 0;
  if (place.inside) {
    place.address = i.in_base + static_cast<uint32_t>(y) * i.in_row_words + static_cast<uint32_t>(x) * i.in_words +
                    first + tap.q;
  }
  return place;
}

// Whether a word lies inside the map, in each lane.
template <class Config>
inline void lanes_inside(const Instruction& i, const Place& place, const Windows<Config>& windows,
                         bool (&inside)[Config::lanes_p]) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    inside[p] = place.inside && in_window<Config>(i, windows[p], place.row);
  }
}

// First word of the residual pixel that belongs to a position.
inline uint32_t residual_pixel(const Instruction& i, const Position& p) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return i.residual_base + p.y * static_cast<uint32_t>(i.residual_row_words) +
         p.x * static_cast<uint32_t>(i.residual_pixel_words);
}

}  // namespace cascade

#endif
