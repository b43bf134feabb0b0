// What of hls::stream every HLS compiler takes, as declarations: no name, no depth, no empty(), no << and >>.
#pragma once

namespace hls {

template <class Word>
class stream {
 public:
  stream();
  Word read();
  void read(Word& word);
  void write(const Word& word);
  bool read_nb(Word& word);
  bool write_nb(const Word& word);

 private:
  stream(const stream&);
  stream& operator=(const stream&);
};

}  // namespace hls
