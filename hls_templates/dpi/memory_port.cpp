#include "memory_port.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace cascade_model {

namespace {

const unsigned int longest_burst = 64;  // beats
const unsigned int most_unread_beats = 16 * longest_burst;  // the adapter's read buffer
const std::size_t most_data = longest_burst;  // the adapter's write buffer

[[noreturn]] void refuse(const char* what, uint64_t address) {
  std::fprintf(stderr, "error: HLS model: %s at address 0x%llx\n", what, static_cast<unsigned long long>(address));
  std::exit(1);
}

}  // namespace

// Bursts end at 4,096 bytes, as AXI demands.
template <class Add>
void Master::split(uint64_t address, unsigned int beats, Add add) const {
  while (beats != 0) {
    const unsigned int page = static_cast<unsigned int>((4096 - address % 4096) / beat_bytes_);
    const unsigned int count = std::min({beats, page, longest_burst});
    add(Burst{address, count});
    address += static_cast<uint64_t>(count) * beat_bytes_;
    beats -= count;
  }
}

void Master::announce_read(uint64_t address, unsigned int beats) {
  if (beats == 0) return;
  Process* owner = current_process();
  reads_[owner].announced.push_back(Burst{address, beats});
  split(address, beats, [&](const Burst& burst) { to_ask_.push_back(Asked{owner, burst}); });
}

BeatWords Master::read(uint64_t address) {
  Process* owner = current_process();
  if (reads_[owner].announced.empty()) announce_read(address, 1);
  Reads& reads = reads_[owner];
  Burst& next = reads.announced.front();
  if (next.address != address) refuse("a read that differs from the burst announced", address);
  while (reads.arrived.empty()) wait_for_memory();
  next.address += beat_bytes_;
  if (--next.beats == 0) reads.announced.pop_front();
  const BeatWords data = reads.arrived.front();
  reads.arrived.pop_front();
  --unread_beats_;
  if (reads.announced.empty() && reads.arrived.empty()) reads_.erase(owner);
  return data;
}

void Master::announce_write(uint64_t address, unsigned int beats) {
  if (beats == 0) return;
  announced_writes_.push_back(Burst{address, beats});
  split(address, beats, [&](const Burst& burst) {
    to_write_.push_back(burst);
    data_of_.push_back(burst);
    ++unanswered_;
  });
}

void Master::write(uint64_t address, const BeatWords& data) {
  if (announced_writes_.empty()) announce_write(address, 1);
  Burst& next = announced_writes_.front();
  if (next.address != address) refuse("a write that differs from the burst announced", address);
  next.address += beat_bytes_;
  if (--next.beats == 0) announced_writes_.pop_front();
  while (data_.size() == most_data) wait_for_memory();
  data_.push_back(data);
}

void Master::await_writes() {
  while (unanswered_ != 0) wait_for_memory();
}

void Master::drain() {
  await_writes();
  if (!reads_.empty()) refuse("beats that were announced and not read", reads_.begin()->second.announced.front().address);
  if (!announced_writes_.empty()) refuse("beats that were announced and not written", announced_writes_.front().address);
}

bool Master::next_read(Burst& burst) {
  if (to_ask_.empty() || unread_beats_ + to_ask_.front().burst.beats > most_unread_beats) return false;
  burst = to_ask_.front().burst;
  unread_beats_ += burst.beats;
  asked_.push_back(to_ask_.front());
  to_ask_.pop_front();
  return true;
}

void Master::bring(const BeatWords& data) {
  Asked& first = asked_.front();
  reads_[first.owner].arrived.push_back(data);
  if (--first.burst.beats == 0) asked_.pop_front();
  wake_memory_waiters();
}

bool Master::next_write(Burst& burst) {
  if (to_write_.empty()) return false;
  burst = to_write_.front();
  to_write_.pop_front();
  return true;
}

bool Master::next_data(BeatWords& data, bool& last) {
  if (data_.empty()) return false;
  data = data_.front();
  data_.pop_front();
  last = --data_of_.front().beats == 0;
  if (last) data_of_.pop_front();
  wake_memory_waiters();
  return true;
}

void Master::answer() {
  --unanswered_;
  wake_memory_waiters();
}

void Master::clear() {
  reads_.clear();
  to_ask_.clear();
  asked_.clear();
  announced_writes_.clear();
  to_write_.clear();
  data_of_.clear();
  data_.clear();
  unread_beats_ = 0;
  unanswered_ = 0;
}

}  // namespace cascade_model
