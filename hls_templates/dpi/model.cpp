// The emitted engine as a DPI model: what `cascade_hls_shim.sv` calls.
//
// CASCADE_HEADER is the unit's header, CASCADE_CONFIG the struct with its parameters.
#include <cstdio>
#include <cstring>
#include <string>

#include "memory_port.hpp"
#include "scheduler.hpp"

#include CASCADE_HEADER
#include "lib/engine.hpp"

namespace cascade_model {
namespace {

using Config = CASCADE_CONFIG;
using Memory = Pointer<ap_uint<Config::bus_bits>, Config::bus_bits>;

Master masters[2] = {Master(Config::bus_bits / 8), Master(Config::bus_bits / 8)};
unsigned int status;

}  // namespace
}  // namespace cascade_model

extern "C" {

void cascade_model_start(unsigned long long program, unsigned long long weights, unsigned long long images,
                         unsigned long long results, unsigned long long maps, unsigned int count) {
  using namespace cascade_model;
  start([=] {
    cascade::run<Config>(Memory(masters[0], program), Memory(masters[1], weights), Memory(masters[0], images),
                         Memory(masters[0], results), Memory(masters[0], maps), count, &status);
    masters[0].drain();
    masters[1].drain();
  });
}

void cascade_model_reset() {
  cascade_model::kill();
  for (auto& master : cascade_model::masters) master.clear();
}

// 0 idle, 1 running, 2 finished, 3 deadlock: the order of State.
int cascade_model_advance(unsigned int* status) {
  const int state = static_cast<int>(cascade_model::advance());
  *status = cascade_model::status;
  return state;
}

unsigned char cascade_model_next_read(int port, unsigned long long* address, unsigned char* length) {
  cascade_model::Burst burst = {0, 1};
  const bool found = cascade_model::masters[port].next_read(burst);
  *address = burst.address;
  *length = static_cast<unsigned char>(burst.beats - 1);
  return found;
}

void cascade_model_bring(int port, const uint32_t* data) {
  cascade_model::BeatWords words;
  std::memcpy(words.data(), data, sizeof words);
  cascade_model::masters[port].bring(words);
}

unsigned char cascade_model_next_write(unsigned long long* address, unsigned char* length) {
  cascade_model::Burst burst = {0, 1};
  const bool found = cascade_model::masters[0].next_write(burst);
  *address = burst.address;
  *length = static_cast<unsigned char>(burst.beats - 1);
  return found;
}

unsigned char cascade_model_next_data(uint32_t* data, unsigned char* last) {
  cascade_model::BeatWords words = {};
  bool is_last = false;
  const bool found = cascade_model::masters[0].next_data(words, is_last);
  std::memcpy(data, words.data(), sizeof words);
  *last = is_last;
  return found;
}

void cascade_model_answer() { cascade_model::masters[0].answer(); }

void cascade_model_report() {
  std::printf("HLS model, error: nothing can go on\n%s", cascade_model::report().c_str());
  std::fflush(stdout);
}
}
