// STORE_RESULT, STORE_MAP and SPILL: the core makes records of whole beats, the store process writes them (gmem0).
#ifndef CASCADE_STORE_HPP
#define CASCADE_STORE_HPP

#include "banks.hpp"
#include "confidence.hpp"
#include "memory.hpp"

namespace cascade {

// `count` beats from `first` on, of the results or the maps, follow in the stream of beats; `count` = 0 is the end.
struct StoreOrder {
  uint64_t first;
  uint32_t count;
  bool of_maps;
};

// One image's record: head, K results as int16, zeros to the end.
template <class Config>
void send_result(const Header& header, uint32_t image, int lane, const Results<Config>& result,
                 hls::stream<StoreOrder>& orders, hls::stream<Beat<Config> >& beats) {
  typedef Shape<Config> S;
  const Answer answer = answer_of<Config>(header, lane, result);
  const uint32_t head[4] = {answer.klass, answer.confident, static_cast<uint32_t>(answer.numerator), answer.total};
  const unsigned int head_bytes = larger(16, S::bus_bytes);
  StoreOrder order;
  order.of_maps = false;
  order.count = header.result_pitch / S::bus_bytes;
  order.first = static_cast<uint64_t>(image) * order.count;
  orders.write(order);
  UInt<8> byte[S::bus_bytes];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=byte complete
#pragma HLS ARRAY_PARTITION variable=head complete
#endif
  for (unsigned int place = 0; place < header.result_pitch; place += 2) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=16 max=2048
#pragma HLS PIPELINE II=1
#endif
    uint16_t half = 0;
    if (place < 16) {
      const uint32_t word = head[place / 4];
      half = (place & 2) != 0 ? high_half(word) : low_half(word);
    }
    const unsigned int c = (place - head_bytes) / 2;
    if (place >= head_bytes && c < header.classes) half = static_cast<uint16_t>(result_of<Config>(result, lane, c));
    const unsigned int at = place & (S::bus_bytes - 1);
    byte[at] = keep_unsigned<8>(half);
    byte[at + 1] = keep_unsigned<8>(half >> 8);
    if (at + 2 == S::bus_bytes) beats.write(join_bytes<Config>(byte));
  }
}

// Puts a word into a beat, an element a byte: zeros where it is none of a map.
template <class Config>
inline void put_word(UInt<8> (&byte)[Shape<Config>::bus_bytes], unsigned int place, const Elements<Config>& word,
                     bool here) {
#ifdef __SYNTHESIS__
#pragma HLS INLINE
#endif
  for (unsigned int w = 0; w < Shape<Config>::bus_bytes / Config::sub_row; ++w) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    for (int e = 0; e < Config::sub_row; ++e) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      if (w == place) byte[w * Config::sub_row + e] = here ? UInt<8>(word[e]) : UInt<8>(0);
    }
  }
}

// Raw words of one lane, an element a byte, as item `item` of the map.
template <class Config>
void send_map(const Instruction& i, uint64_t item, int lane, bool narrow, const Banks<Config>& bank,
              hls::stream<StoreOrder>& orders, hls::stream<Beat<Config> >& beats) {
  typedef Shape<Config> S;
  const unsigned int words_per_beat = S::bus_bytes / Config::sub_row;
  const unsigned int words = static_cast<unsigned int>(i.in_row_words) * i.in_height;
  StoreOrder order;
  order.of_maps = false;
  order.count = divide_up(words, words_per_beat);
  order.first = i.out_base / S::bus_bytes + item * order.count;
  orders.write(order);
  UInt<8> byte[S::bus_bytes];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=byte complete
#endif
  for (unsigned int n = 0; n < order.count * words_per_beat; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1
#endif
    Elements<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
    read_lane<Config>(bank, lane, n < words ? i.in_base + n : 0, narrow, word);
    const unsigned int slot = n & (words_per_beat - 1);
    put_word<Config>(byte, slot, word, n < words);
    if (slot + 1 == words_per_beat) beats.write(join_bytes<Config>(byte));
  }
}

// Rows of one lane's map, an element a byte, each row rounded up to a beat.
template <class Config>
void send_rows(const Instruction& i, int lane, const LaneRows& lane_rows, bool narrow, const Banks<Config>& bank,
               hls::stream<StoreOrder>& orders, hls::stream<Beat<Config> >& beats) {
  typedef Shape<Config> S;
  const unsigned int words_per_beat = S::bus_bytes / Config::sub_row;
  const MapRows rows = map_rows<Config>(i);
  StoreOrder order;
  order.of_maps = true;
  order.count = lane_rows.height * rows.row_beats;
  order.first = first_beat<Config>(rows, static_cast<unsigned int>(lane), lane_rows);
  if (order.count != 0) orders.write(order);
  UInt<8> byte[S::bus_bytes];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=byte complete
#endif
  const unsigned int row_slots = rows.row_beats * words_per_beat;  // words of a row, and what rounds it up
  unsigned int slot = 0;  // of the row
  unsigned int q = 0;
  uint32_t row = first_word<Config>(i.in_base, i.in_row_words, lane_rows);
  uint32_t pixel = row;
  for (unsigned int n = 0; n < order.count * words_per_beat; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1
#endif
    Elements<Config> word;
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
    const bool here = slot < rows.row_words;
    read_lane<Config>(bank, lane, here ? pixel + q : 0, narrow, word);
    const unsigned int place = n & (words_per_beat - 1);
    put_word<Config>(byte, place, word, here);
    if (place + 1 == words_per_beat) beats.write(join_bytes<Config>(byte));
    if (slot + 1 == row_slots) {
      slot = 0;
      q = 0;
      row += i.in_row_words;
      pixel = row;
    } else {
      ++slot;
      if (q + 1u != i.sub_rows) {
        ++q;
      } else {
        q = 0;
        pixel += i.in_words;
      }
    }
  }
}

template <class Config, class Memory>
inline void write_beats(Memory memory, const StoreOrder& order, hls::stream<Beat<Config> >& beats) {
  announce_write(memory, order.first, order.count);
  for (unsigned int b = 0; b < order.count; ++b) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=2 max=65536
#pragma HLS PIPELINE II=1
#endif
    memory[order.first + b] = beats.read();
  }
}

// When it ends, everything is in memory: what is filled after it reads what was spilled.
template <class Config, class ResultMemory, class MapMemory>
void store_records(ResultMemory results, MapMemory maps, hls::stream<StoreOrder>& orders,
                   hls::stream<Beat<Config> >& beats) {
  bool more = true;
  for (unsigned int n = 0; n < max_instructions * Config::lanes_p + 1 && more; ++n) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#endif
    const StoreOrder order = orders.read();
    more = order.count != 0;
    if (Config::external_maps && order.of_maps) {
      write_beats<Config>(maps, order, beats);
    } else if (more) {
      write_beats<Config>(results, order, beats);
    }
  }
  await_writes(maps);
}

}  // namespace cascade

#endif
