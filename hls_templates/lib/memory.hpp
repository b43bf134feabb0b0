// External memory: one beat an index, through pointer types that a simulation may replace.
#ifndef CASCADE_MEMORY_HPP
#define CASCADE_MEMORY_HPP

#include "shape.hpp"

namespace cascade {

typedef unsigned long long Address;  // of a beat, counted from the pointer

// Says that `count` beats from `first` on will be read (written) in order. Nothing to do for a plain pointer, but in
// a native program, which knows where its buffers end and stops a program that leaves them.
#if defined(CASCADE_BOUNDS) && !defined(__SYNTHESIS__)
void check_read(const void* begin, Address first, unsigned int count);
void check_write(const void* begin, Address first, unsigned int count);
template <class Word>
inline void announce_read(const Word* memory, Address first, unsigned int count) {
  check_read(memory, first, count);
}
template <class Word>
inline void announce_write(Word* memory, Address first, unsigned int count) {
  check_write(memory, first, count);
}
#else
template <class Word>
inline void announce_read(const Word*, Address, unsigned int) {}
template <class Word>
inline void announce_write(Word*, Address, unsigned int) {}
#endif

// Waits until what was written is in memory. Of a plain pointer it is, when the writing function has returned.
template <class Word>
inline void await_writes(Word*) {}

// A beat as chunks of 64 bits, and its bytes.
template <class Config>
inline void cut_beat(const Beat<Config>& beat, UInt<chunk_bits> (&chunk)[Shape<Config>::chunks]) {
  for (int i = 0; i < Shape<Config>::chunks; ++i) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    chunk[i] = ap_uint<chunk_bits>(beat.range(i * chunk_bits + chunk_bits - 1, i * chunk_bits));
  }
}

template <class Config>
inline void cut_bytes(const Beat<Config>& beat, UInt<8> (&byte)[Shape<Config>::bus_bytes]) {
  UInt<chunk_bits> chunk[Shape<Config>::chunks];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=chunk complete
#endif
  cut_beat<Config>(beat, chunk);
  for (int i = 0; i < Shape<Config>::bus_bytes; ++i) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    byte[i] = keep_unsigned<8>(chunk[i / 8] >> (i % 8 * 8));
  }
}

template <class Config>
inline Beat<Config> join_bytes(const UInt<8> (&byte)[Shape<Config>::bus_bytes]) {
  Beat<Config> beat = 0;
  for (int i = 0; i < Shape<Config>::bus_bytes; ++i) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
    beat.range(i * 8 + 7, i * 8) = ap_uint<8>(byte[i]);
  }
  return beat;
}

// Copies `count` beats from memory into a stream: one burst.
template <class Config, class Memory>
inline void stream_beats(Memory memory, Address first, unsigned int count, hls::stream<Beat<Config> >& beats) {
  announce_read(memory, first, count);
  for (unsigned int i = 0; i < count; ++i) {
#ifdef __SYNTHESIS__
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1
#endif
    beats.write(memory[first + i]);
  }
}

// Reads header or instruction number `index`: a block of 16 words.
template <class Config, class Memory>
inline void read_block(Memory memory, unsigned int index, uint32_t (&word)[block_words]) {
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=word complete
#endif
  const int words_per_beat = Config::bus_bits / 32;
  const Address first = static_cast<Address>(index) * Shape<Config>::block_beats;
  announce_read(memory, first, Shape<Config>::block_beats);
  for (int beat = 0; beat < Shape<Config>::block_beats; ++beat) {
#ifdef __SYNTHESIS__
#pragma HLS PIPELINE II=1
#endif
    UInt<chunk_bits> chunk[Shape<Config>::chunks];
#ifdef __SYNTHESIS__
#pragma HLS ARRAY_PARTITION variable=chunk complete
#endif
    cut_beat<Config>(memory[first + beat], chunk);
    for (int i = 0; i < words_per_beat; ++i) {
#ifdef __SYNTHESIS__
#pragma HLS UNROLL
#endif
      word[beat * words_per_beat + i] = static_cast<uint32_t>(chunk[i / 2] >> (i % 2 * 32));
    }
  }
}

}  // namespace cascade

#endif
