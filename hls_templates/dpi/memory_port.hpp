// External memory as the simulation model sees it: reads and writes of beats become AXI bursts.
#ifndef CASCADE_DPI_MEMORY_PORT_HPP
#define CASCADE_DPI_MEMORY_PORT_HPP

#include <array>
#include <cstdint>
#include <deque>
#include <map>

#include "scheduler.hpp"

namespace cascade_model {

const int longest_beat_words = 16;  // of 32 bits: 512 bits
using BeatWords = std::array<uint32_t, longest_beat_words>;

struct Burst {
  uint64_t address;
  unsigned int beats;
};

// One AXI master: what its processes ask for, and what the shim takes and brings once per clock.
class Master {
 public:
  explicit Master(unsigned int beat_bytes) : beat_bytes_(beat_bytes) {}

  // Processes' side.
  void announce_read(uint64_t address, unsigned int beats);
  void announce_write(uint64_t address, unsigned int beats);
  BeatWords read(uint64_t address);
  void write(uint64_t address, const BeatWords& data);
  void await_writes();  // returns when every write has been answered
  void drain();         // likewise, and nothing that was announced is left

  // Shim's side.
  bool next_read(Burst& burst);
  void bring(const BeatWords& data);
  bool next_write(Burst& burst);
  bool next_data(BeatWords& data, bool& last);
  void answer();
  void clear();

 private:
  // A process's reads in order: addresses announced, and the data that have arrived for them.
  struct Reads {
    std::deque<Burst> announced;
    std::deque<BeatWords> arrived;
  };
  struct Asked {
    Process* owner;
    Burst burst;
  };

  template <class Add>
  void split(uint64_t address, unsigned int beats, Add add) const;

  const unsigned int beat_bytes_;
  std::map<Process*, Reads> reads_;
  std::deque<Asked> to_ask_;
  std::deque<Asked> asked_;  // the first one's beats come next
  std::deque<Burst> announced_writes_;
  std::deque<Burst> to_write_;
  std::deque<Burst> data_of_;  // the first one's beats go next
  std::deque<BeatWords> data_;
  unsigned int unread_beats_ = 0;  // asked for and not yet read by a process
  unsigned int unanswered_ = 0;
};

// What stands in for `ap_uint<bits>*`.
template <class Word, int Bits>
class Pointer {
 public:
  Pointer(Master& master, uint64_t base) : master_(&master), base_(base) {}

  class Beat {
   public:
    Beat(Master* master, uint64_t address) : master_(master), address_(address) {}
    operator Word() const {
      const BeatWords data = master_->read(address_);
      Word word = 0;
      for (int i = 0; i < Bits / 32; ++i) word.range(32 * i + 31, 32 * i) = data[i];
      return word;
    }
    void operator=(const Word& word) {
      BeatWords data = {};
      for (int i = 0; i < Bits / 32; ++i) data[i] = word.range(32 * i + 31, 32 * i).to_uint();
      master_->write(address_, data);
    }

   private:
    Master* master_;
    uint64_t address_;
  };

  Beat operator[](uint64_t index) const { return Beat(master_, address(index)); }
  uint64_t address(uint64_t index) const { return base_ + index * (Bits / 8); }
  Master& master() const { return *master_; }

 private:
  Master* master_;
  uint64_t base_;
};

// Found by argument-dependent lookup where the library announces its bursts.
template <class Word, int Bits>
void announce_read(Pointer<Word, Bits> memory, uint64_t first, unsigned int count) {
  memory.master().announce_read(memory.address(first), count);
}
template <class Word, int Bits>
void announce_write(Pointer<Word, Bits> memory, uint64_t first, unsigned int count) {
  memory.master().announce_write(memory.address(first), count);
}

template <class Word, int Bits>
void await_writes(Pointer<Word, Bits> memory) {
  memory.master().await_writes();
}

}  // namespace cascade_model

#endif
