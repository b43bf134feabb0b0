// Processes of the simulation model: each has a stack of its own and runs until it must wait.
//
// One process runs at a time, so the schedule depends on the program only, and a deadlock is a state that is seen,
// not a time that has passed: no process can run and none waits for memory or for the clock.
#ifndef CASCADE_DPI_SCHEDULER_HPP
#define CASCADE_DPI_SCHEDULER_HPP

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace cascade_model {

class Process;

// What the scheduler knows of a stream.
class Channel {
 public:
  Channel();
  virtual ~Channel();
  virtual std::size_t held() const = 0;
  virtual std::size_t depth() const = 0;

  const char* name_ = "unnamed";
  Process* reader_ = nullptr;  // waiting for an item
  Process* writer_ = nullptr;  // waiting for room
};

void wait_to_read(Channel& channel);
void wait_to_write(Channel& channel);
void was_read(Channel& channel);
void was_written(Channel& channel);
void wait_for_clock();
void wait_for_memory();  // until wake_memory_waiters
Process* current_process();

// A dataflow region: its processes run concurrently, and join returns when all have ended.
class Region {
 public:
  void process(const char* name, std::function<void()> body);
  void join();

 private:
  std::size_t running_ = 0;
  Process* parent_ = nullptr;
};

enum class State { Idle, Running, Finished, Deadlock };

// For the model's host, outside of every process.
void start(std::function<void()> top);  // the first process
State advance();                        // everything runs until all wait
void wake_memory_waiters();
void kill();  // a reset: every process is gone, wherever it was
std::string report();  // who waits for what

}  // namespace cascade_model

#endif
