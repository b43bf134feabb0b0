#include "scheduler.hpp"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>

namespace cascade_model {

const std::size_t stack_bytes = std::size_t(16) << 20;  // reserved, not used: pages come when they are touched

enum class Wait { Nothing, Reads, Writes, Clock, Memory, Join };

class Process {
 public:
  ucontext_t context;
  void* stack = nullptr;
  std::function<void()> body;
  const char* name = "";
  Wait wait = Wait::Nothing;
  Channel* channel = nullptr;
  bool ended = false;
};

namespace {

ucontext_t host;
Process* current = nullptr;
std::vector<std::unique_ptr<Process>> processes;
std::deque<Process*> ready;
std::vector<void*> free_stacks;
std::vector<Channel*> channels;

void* take_stack() {
  if (!free_stacks.empty()) {
    void* stack = free_stacks.back();
    free_stacks.pop_back();
    return stack;
  }
  void* stack =
      mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) {
    std::fprintf(stderr, "error: no memory for the stack of a process of the HLS model\n");
    std::exit(1);
  }
  return stack;
}

void run_current() {
  current->body();
  current->ended = true;
  swapcontext(&current->context, &host);
}

Process* create(const char* name, std::function<void()> body) {
  processes.push_back(std::make_unique<Process>());
  Process* process = processes.back().get();
  process->name = name;
  process->body = std::move(body);
  process->stack = take_stack();
  getcontext(&process->context);
  process->context.uc_stack.ss_sp = process->stack;
  process->context.uc_stack.ss_size = stack_bytes;
  process->context.uc_link = nullptr;
  makecontext(&process->context, run_current, 0);
  ready.push_back(process);
  return process;
}

void pause(Wait wait, Channel* channel) {
  Process* self = current;
  self->wait = wait;
  self->channel = channel;
  swapcontext(&self->context, &host);
}

void wake(Process* process) {
  process->wait = Wait::Nothing;
  process->channel = nullptr;
  ready.push_back(process);
}

void wake_all(Wait wait) {
  for (auto& process : processes) {
    if (process->wait == wait) wake(process.get());
  }
}

bool any_waits_for(Wait wait) {
  return std::any_of(processes.begin(), processes.end(), [wait](const auto& process) { return process->wait == wait; });
}

}  // namespace

Channel::Channel() { channels.push_back(this); }
Channel::~Channel() { channels.erase(std::remove(channels.begin(), channels.end(), this), channels.end()); }

void wait_to_read(Channel& channel) {
  channel.reader_ = current;
  pause(Wait::Reads, &channel);
  channel.reader_ = nullptr;
}

void wait_to_write(Channel& channel) {
  channel.writer_ = current;
  pause(Wait::Writes, &channel);
  channel.writer_ = nullptr;
}

void was_read(Channel& channel) {
  if (channel.writer_ != nullptr && channel.writer_->wait == Wait::Writes) wake(channel.writer_);
}

void was_written(Channel& channel) {
  if (channel.reader_ != nullptr && channel.reader_->wait == Wait::Reads) wake(channel.reader_);
}

void wait_for_clock() { pause(Wait::Clock, nullptr); }
void wait_for_memory() { pause(Wait::Memory, nullptr); }
Process* current_process() { return current; }
void wake_memory_waiters() { wake_all(Wait::Memory); }

void Region::process(const char* name, std::function<void()> body) {
  parent_ = current;
  ++running_;
  create(name, [this, body = std::move(body)] {
    body();
    if (--running_ == 0 && parent_->wait == Wait::Join) wake(parent_);
  });
}

void Region::join() {
  while (running_ != 0) pause(Wait::Join, nullptr);
}

void start(std::function<void()> top) { create("top", std::move(top)); }

State advance() {
  if (processes.empty()) return State::Idle;
  wake_all(Wait::Clock);
  while (!ready.empty()) {
    current = ready.front();
    ready.pop_front();
    swapcontext(&host, &current->context);
    if (current->ended) {
      free_stacks.push_back(current->stack);
      processes.erase(std::find_if(processes.begin(), processes.end(),
                                   [](const auto& process) { return process.get() == current; }));
    }
    current = nullptr;
  }
  if (processes.empty()) return State::Finished;
  return any_waits_for(Wait::Memory) || any_waits_for(Wait::Clock) ? State::Running : State::Deadlock;
}

// The stacks' objects are not destroyed, as a reset in hardware runs no code; what their streams held is lost.
void kill() {
  for (auto& process : processes) free_stacks.push_back(process->stack);
  processes.clear();
  ready.clear();
  channels.clear();
}

std::string report() {
  std::string text;
  for (const auto& process : processes) {
    text += std::string("  process ") + process->name;
    switch (process->wait) {
      case Wait::Reads: text += std::string(" waits for an item of ") + process->channel->name_; break;
      case Wait::Writes: text += std::string(" waits for room in ") + process->channel->name_; break;
      case Wait::Memory: text += " waits for memory"; break;
      case Wait::Join: text += " waits for its processes"; break;
      default: text += " runs"; break;
    }
    text += "\n";
  }
  for (const Channel* channel : channels) {
    const char* state = channel->held() == 0 ? "empty" : channel->held() == channel->depth() ? "full" : "";
    text += std::string("  stream ") + channel->name_ + " holds " + std::to_string(channel->held()) + " of " +
            std::to_string(channel->depth()) + (*state != 0 ? std::string(", ") + state : std::string()) + "\n";
  }
  return text;
}

}  // namespace cascade_model
