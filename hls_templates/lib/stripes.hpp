// Where the rows of one image lie in all lanes: which rows of each lane lie inside the map. Walks take the windows of all
// lanes; what serves one lane after the other counts them with `first_lane` and `next_lane`.
#ifndef CASCADE_STRIPES_HPP
#define CASCADE_STRIPES_HPP

#include "program.hpp"

namespace cascade {

// What the last STRIPES of a pass said: rows of the map, from a lane to the next, and above the map in lane 0.
struct Stripes {
  uint16_t height;
  uint16_t rows;
  uint8_t top;
};

constexpr uint16_t most_rows = 65535;

inline Stripes all_inside() {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Stripes stripes;
  stripes.height = most_rows;
  stripes.rows = 0;
  stripes.top = 0;
  return stripes;
}

inline Stripes stripes_of(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  Stripes stripes;
  stripes.height = i.in_height;
  stripes.rows = i.out_height;
  stripes.top = i.pad_top;
  return stripes;
}

// Rows of a lane inside the map: the first one, and the one behind the last.
struct LaneWindow {
  uint16_t first;
  uint32_t end;
};
template <class Config>
using Windows = LaneWindow[Config::lanes_p];

inline LaneWindow first_lane(const Stripes& stripes) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  LaneWindow window;
  window.first = stripes.top;
  window.end = static_cast<uint32_t>(stripes.height) + stripes.top;
  return window;
}

inline void next_lane(const Stripes& stripes, LaneWindow& window) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  window.first = static_cast<uint16_t>(window.first < stripes.rows ? 0 : window.first - stripes.rows);
  window.end = window.end < stripes.rows ? 0 : window.end - stripes.rows;
}

template <class Config>
void set_windows(const Stripes& stripes, Windows<Config>& windows) {
  LaneWindow window = first_lane(stripes);
  for (int p = 0; p < Config::lanes_p; ++p) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II=1
#endif
    windows[p] = window;
    next_lane(stripes, window);
  }
}

// Whether a row inside `in_height` lies inside the map in a lane.
template <class Config>
inline bool in_window(const Instruction& i, const LaneWindow& window, int32_t row) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  if (!Config::stripes || !i.striped()) return true;
  return row >= window.first && row < static_cast<int32_t>(window.end);
}

// The rows that a mover moves of one lane: `height` of them from row `first` on, all that it has without STRIPED.
struct LaneRows {
  uint16_t first;
  uint16_t height;
};

template <class Config>
inline LaneRows lane_rows(const Instruction& i, const LaneWindow& window, uint16_t height) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  LaneRows rows;
  rows.first = 0;
  rows.height = height;
  if (Config::stripes && i.striped()) {
    const uint16_t end = window.end < height ? static_cast<uint16_t>(window.end) : height;
    rows.first = window.first;
    rows.height = static_cast<uint16_t>(end > window.first ? end - window.first : 0);
  }
  return rows;
}

// Lanes that a mover serves, of a pass with so many images.
template <class Config>
inline unsigned int lanes_served(const Instruction& i, unsigned int images) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return Config::stripes && i.striped() ? Config::lanes_p : images;
}

// Words from a row of an output map to the next.
inline uint32_t out_row_words(const Instruction& i) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return static_cast<uint32_t>(i.out_width) * i.out_words;
}

// First word in the banks of the rows that a mover moves, `row_words` apart, of which row 0 begins at `base`.
template <class Config>
inline uint32_t first_word(uint32_t base, uint32_t row_words, const LaneRows& rows) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  return Config::stripes ? static_cast<uint32_t>(base + product(row_words, rows.first)) : base;
}

// Byte of a lane's first row that is moved, in the image or the maps: modulo 2^32 with STRIPED.
template <class Config>
inline uint32_t first_byte(uint32_t base, uint32_t pitch, unsigned int lane, uint32_t row_bytes, const LaneRows& rows) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint64_t of_lane = base + product(pitch, static_cast<uint16_t>(lane));
  return static_cast<uint32_t>(Config::stripes ? of_lane + product(row_bytes, rows.first) : of_lane);
}

// Where the rows that a FILL or SPILL moves of a lane begin: beats, counted from the maps.
template <class Config>
inline uint32_t first_beat(const MapRows& rows, unsigned int lane, const LaneRows& lane_rows) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  const uint32_t row_bytes = rows.row_beats * Shape<Config>::bus_bytes;
  return first_byte<Config>(rows.first, rows.pitch, lane, row_bytes, lane_rows) / Shape<Config>::bus_bytes;
}

}  // namespace cascade

#endif
