// hls::stream for the simulation model: bounded, and a process that cannot go on lets the others run.
#ifndef CASCADE_DPI_HLS_STREAM_H
#define CASCADE_DPI_HLS_STREAM_H

#include <cstddef>
#include <vector>

#include "scheduler.hpp"

namespace hls {

// Every stream has one process that reads and one that writes. The depth is 2 until `declare` says otherwise.
template <class T>
class stream : public cascade_model::Channel {
 public:
  stream() : items_(default_depth), first_(0), held_(0) {}
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;

  void declare(const char* name, std::size_t depth) {
    name_ = name;
    items_.assign(depth, T());
  }

  T read() {
    while (held_ == 0) cascade_model::wait_to_read(*this);
    return take();
  }
  void read(T& item) { item = read(); }

  void write(const T& item) {
    while (held_ == items_.size()) cascade_model::wait_to_write(*this);
    put(item);
  }

  // A failed attempt costs a clock cycle, as in hardware, so that a polling process does not stop the others.
  bool read_nb(T& item) {
    if (held_ == 0) {
      cascade_model::wait_for_clock();
      return false;
    }
    item = take();
    return true;
  }
  bool write_nb(const T& item) {
    if (held_ == items_.size()) {
      cascade_model::wait_for_clock();
      return false;
    }
    put(item);
    return true;
  }

  std::size_t held() const override { return held_; }
  std::size_t depth() const override { return items_.size(); }

 private:
  static const std::size_t default_depth = 2;

  T take() {
    const T item = items_[first_];
    first_ = first_ + 1 == items_.size() ? 0 : first_ + 1;
    --held_;
    cascade_model::was_read(*this);
    return item;
  }
  void put(const T& item) {
    items_[(first_ + held_) % items_.size()] = item;
    ++held_;
    cascade_model::was_written(*this);
  }

  std::vector<T> items_;
  std::size_t first_;
  std::size_t held_;
};

}  // namespace hls

#endif
