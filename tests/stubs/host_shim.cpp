// The emitted C++ driver over callbacks, so that a test can stand in for registers and memory.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "design.hpp"

namespace {

using Read = std::uint32_t (*)(int unit, std::uint32_t offset);
using Write = void (*)(int unit, std::uint32_t offset, std::uint32_t value);
using Allocate = std::uint8_t* (*)(std::size_t bytes, std::uint64_t* address);
using Sync = void (*)(std::uint64_t address, int to_device);

struct CallbackRegisters : cascade::Registers {
  CallbackRegisters(int unit, Read read, Write write) : unit_(unit), read_(read), write_(write) {}
  std::uint32_t read(std::uint32_t offset) override { return read_(unit_, offset); }
  void write(std::uint32_t offset, std::uint32_t value) override { write_(unit_, offset, value); }
  int unit_;
  Read read_;
  Write write_;
};

struct CallbackMemory : cascade::Memory {
  CallbackMemory(Allocate allocate, Sync sync) : allocate_(allocate), sync_(sync) {}
  cascade::Buffer allocate(std::size_t bytes) override {
    cascade::Buffer buffer;
    buffer.data = allocate_(bytes, &buffer.address);
    buffer.bytes = bytes;
    return buffer;
  }
  void to_device(const cascade::Buffer& buffer) override { sync_(buffer.address, 1); }
  void from_device(const cascade::Buffer& buffer) override { sync_(buffer.address, 0); }
  Allocate allocate_;
  Sync sync_;
};

std::vector<std::uint8_t> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

// out: class, by_high and the logits of each image. Returns 0, or 1 with the message in `error`.
extern "C" int host_classify(const char* project, const std::uint8_t* images, std::size_t count, std::size_t batch,
                             int check_signature, Read read, Write write, Allocate allocate, Sync sync,
                             std::int32_t* out, char* error, std::size_t error_bytes) {
  try {
    CallbackMemory memory(allocate, sync);
    std::map<std::uint64_t, std::unique_ptr<CallbackRegisters>> registers;  // of each engine
    std::vector<std::unique_ptr<cascade::Engine>> engines;
    for (const cascade::UnitFormat& unit : cascade::design::units) {
      const int number = static_cast<int>(registers.size());
      auto& control = registers[unit.control_base];
      if (!control) control = std::make_unique<CallbackRegisters>(number, read, write);
      engines.push_back(std::make_unique<cascade::Engine>(
          unit, *control, memory, contents(std::string(project) + "/" + unit.program_file),
          contents(std::string(project) + "/" + unit.weights_file), batch, check_signature != 0));
    }
    cascade::Engine* high = engines.size() > 1 ? engines[1].get() : nullptr;
    for (const cascade::Result& answer : cascade::classify(*engines[0], high, images, count)) {
      *out++ = static_cast<std::int32_t>(answer.klass);
      *out++ = answer.by_high ? 1 : 0;
      for (const std::int16_t logit : answer.logits) *out++ = logit;
    }
    return 0;
  } catch (const std::exception& caught) {
    std::snprintf(error, error_bytes, "%s", caught.what());
    return 1;
  }
}
