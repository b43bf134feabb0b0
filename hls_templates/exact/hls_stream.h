// hls_stream.h for the check of initiation intervals: what is read and written passes through an empty assembly statement,
// whose text says which of the two it is, so that neither can be folded, moved or left out.
#pragma once

namespace hls {

template <class Word>
class stream {
 public:
  stream() {}
  Word read() {
    asm volatile("hls_stream_read" : "=m"(slot));
    return slot;
  }
  void read(Word& word) { word = read(); }
  void write(const Word& word) {
    slot = word;
    asm volatile("hls_stream_write" : : "m"(slot));
  }

 private:
  stream(const stream&);
  stream& operator=(const stream&);
  Word slot;
};

}  // namespace hls
