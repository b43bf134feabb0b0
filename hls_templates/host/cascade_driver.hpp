// Driver of a cascade accelerator, plain C++17: nothing but the standard library.
// Registers and memory are reached through two small interfaces, so that the same code runs over /dev/mem on a Zynq
// (devmem.hpp), on a soft core, over a driver of your own, or over a simulated device. Formats are those of PROGRAM.md.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace cascade {

// The 32-bit registers of one engine.
class Registers {
 public:
  virtual ~Registers() = default;
  virtual std::uint32_t read(std::uint32_t offset) = 0;
  virtual void write(std::uint32_t offset, std::uint32_t value) = 0;
};

// Memory that both the processor and the engine see.
struct Buffer {
  std::uint8_t* data = nullptr;  // for the processor
  std::uint64_t address = 0;     // for the engine, a multiple of 4096
  std::size_t bytes = 0;
};

class Memory {
 public:
  virtual ~Memory() = default;
  virtual Buffer allocate(std::size_t bytes) = 0;
  virtual void to_device(const Buffer&) {}    // after the processor wrote
  virtual void from_device(const Buffer&) {}  // before the processor reads
};

// What differs between units; design.hpp holds the instances of a project. Units of one control_base are two programs
// of one engine.
struct UnitFormat {
  const char* name;
  std::uint64_t control_base;
  std::uint64_t signature;
  const char* program_file;  // relative to the project's folder
  const char* weights_file;
  std::size_t height, width, channels, pixel_bytes, image_pitch;
  std::size_t classes, result_header_bytes, result_pitch;
  std::size_t map_bytes;  // 0: the program keeps no maps in memory
  std::size_t batch;      // images of a start that the engine was planned for
};

struct Result {
  std::uint32_t klass = 0;
  bool confident = false;
  std::int32_t numerator = 0;
  std::uint32_t total = 0;
  bool by_high = false;
  std::vector<std::int16_t> logits;
};

class EngineError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline const char* error_text(std::uint32_t code) {
  static const char* const texts[] = {
      "no error",
      "the program's magic or version is wrong",
      "the program is for another engine: bitstream and weights folder do not belong together",
      "the program's CRC is wrong: the file is damaged",
      "the program holds an instruction that the engine does not have",
      "the program leaves a memory of the engine, or an address is not aligned",
      "a read on the memory bus failed",
      "a write on the memory bus failed",
      "a layer has too many weight rows for the engine, or a count is wrong",
      "the number of images was 0",
      "the weight stream holds a weight that the engine's packed multipliers do not take"};
  return code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : "unknown";
}

// One program of an engine, with its buffers. Two programs of one engine share its registers, and run in turn.
class Engine {
 public:
  // `batch`: images that the buffers hold. `check_signature`: the RTL engine has a register for it.
  Engine(const UnitFormat& format, Registers& registers, Memory& memory, const std::vector<std::uint8_t>& program,
         const std::vector<std::uint8_t>& weights, std::size_t batch, bool check_signature = false)
      : format_(format), registers_(registers), memory_(memory), batch_(batch) {
    if (check_signature) {
      const std::uint64_t found = registers_.read(kSignature) |
                                  static_cast<std::uint64_t>(registers_.read(kSignature + 4)) << 32;
      if (found != format_.signature) throw EngineError("the bitstream holds another engine than this project's");
    }
    program_ = filled(program);
    weights_ = filled(weights);
    images_ = aligned(memory_.allocate(batch * format.image_pitch));
    results_ = aligned(memory_.allocate(batch * format.result_pitch));
    if (format.map_bytes != 0) maps_ = aligned(memory_.allocate(format.map_bytes));
  }

  const UnitFormat& format() const { return format_; }
  std::size_t batch() const { return batch_; }
  bool shares_engine(const Engine& other) const { return &registers_ == &other.registers_; }
  std::size_t image_bytes() const { return format_.height * format_.width * format_.channels; }

  // Starts on 1 to batch() images; images[i] points to height * width * channels bytes.
  void start(const std::vector<const std::uint8_t*>& images) {
    if (images.empty() || images.size() > batch_)
      throw EngineError("a start takes 1 to " + std::to_string(batch_) + " images, not " + std::to_string(images.size()));
    for (std::size_t n = 0; n < images.size(); n++) pack(images[n], images_.data + n * format_.image_pitch);
    memory_.to_device(images_);
    started_ = images.size();
    set_address(kProgram, program_);
    set_address(kWeights, weights_);
    set_address(kImages, images_);
    set_address(kResults, results_);
    set_address(kMaps, maps_);
    registers_.write(kCount, static_cast<std::uint32_t>(started_));
    registers_.write(kControl, 1);
  }

  // Waits for the end of the start and returns its results.
  std::vector<Result> finish(std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while ((registers_.read(kControl) & 2u) == 0) {
      if (std::chrono::steady_clock::now() > deadline) throw EngineError("the engine did not finish in time");
    }
    const std::uint32_t code = registers_.read(kError) & 0xF;
    if (code != 0) throw EngineError("the engine stopped with error " + std::to_string(code) + ": " + error_text(code));
    memory_.from_device(results_);
    std::vector<Result> results(started_);
    for (std::size_t n = 0; n < started_; n++) unpack(results_.data + n * format_.result_pitch, results[n]);
    return results;
  }

 private:
  static constexpr std::uint32_t kControl = 0x00, kProgram = 0x10, kWeights = 0x1C, kImages = 0x28, kResults = 0x34,
                                 kMaps = 0x40, kCount = 0x4C, kError = 0x54, kSignature = 0x70;

  Buffer aligned(const Buffer& buffer) const {
    if (buffer.data == nullptr || buffer.address % 4096 != 0)
      throw EngineError("buffers must exist and be aligned to 4096 bytes");
    return buffer;
  }

  Buffer filled(const std::vector<std::uint8_t>& bytes) {
    const Buffer buffer = aligned(memory_.allocate(bytes.size()));
    std::memcpy(buffer.data, bytes.data(), bytes.size());
    memory_.to_device(buffer);
    return buffer;
  }

  void set_address(std::uint32_t offset, const Buffer& buffer) {
    registers_.write(offset, static_cast<std::uint32_t>(buffer.address));
    registers_.write(offset + 4, static_cast<std::uint32_t>(buffer.address >> 32));
  }

  void pack(const std::uint8_t* image, std::uint8_t* out) const {
    std::memset(out, 0, format_.image_pitch);
    for (std::size_t pixel = 0; pixel < format_.height * format_.width; pixel++)
      std::memcpy(out + pixel * format_.pixel_bytes, image + pixel * format_.channels, format_.channels);
  }

  static std::uint32_t word(const std::uint8_t* bytes) {
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
  }

  void unpack(const std::uint8_t* record, Result& result) const {
    result.klass = word(record);
    result.confident = word(record + 4) != 0;
    result.numerator = static_cast<std::int32_t>(word(record + 8));
    result.total = word(record + 12);
    result.logits.resize(format_.classes);
    for (std::size_t c = 0; c < format_.classes; c++) {
      const std::uint8_t* value = record + format_.result_header_bytes + 2 * c;
      result.logits[c] = static_cast<std::int16_t>(value[0] | value[1] << 8);
    }
  }

  UnitFormat format_;
  Registers& registers_;
  Memory& memory_;
  std::size_t batch_;
  std::size_t started_ = 0;
  Buffer program_, weights_, images_, results_, maps_;
};

// Classifies `count` images of height * width * channels bytes each, one after the other in `images`.
// `high` is null for a single unit; else it works on one chunk's unconfident images while `low` works on the next. If both
// are programs of one engine, unconfident images wait until they fill a start of `high`, or no image is left.
inline std::vector<Result> classify(Engine& low, Engine* high, const std::uint8_t* images, std::size_t count) {
  std::vector<Result> answers(count);
  std::vector<std::size_t> pending;
  const auto pointers = [&](const std::vector<std::size_t>& indices) {
    std::vector<const std::uint8_t*> found;
    for (const std::size_t i : indices) found.push_back(images + i * low.image_bytes());
    return found;
  };
  const auto next = [&] {
    const std::size_t n = pending.size() < high->batch() ? pending.size() : high->batch();
    const std::vector<std::size_t> now(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(n));
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(n));
    return now;
  };
  const auto take_high = [&](const std::vector<std::size_t>& indices) {
    std::vector<Result> results = high->finish();
    for (std::size_t n = 0; n < indices.size(); n++) {
      answers[indices[n]] = results[n];
      answers[indices[n]].by_high = true;
    }
  };
  const auto run_high = [&] {
    const std::vector<std::size_t> now = next();
    high->start(pointers(now));
    take_high(now);
  };
  const bool in_turn = high != nullptr && low.shares_engine(*high);
  for (std::size_t begin = 0; begin < count; begin += low.batch()) {
    std::vector<std::size_t> here;
    for (std::size_t i = begin; i < count && i < begin + low.batch(); i++) here.push_back(i);
    low.start(pointers(here));
    std::vector<std::size_t> now;
    if (high != nullptr && !in_turn) now = next();
    if (!now.empty()) high->start(pointers(now));
    const std::vector<Result> results = low.finish();
    for (std::size_t n = 0; n < here.size(); n++) answers[here[n]] = results[n];
    if (!now.empty()) take_high(now);
    if (high != nullptr)
      for (std::size_t n = 0; n < here.size(); n++)
        if (!results[n].confident) pending.push_back(here[n]);
    while (in_turn && pending.size() >= high->batch()) run_high();
  }
  while (!pending.empty()) run_high();
  return answers;
}

}  // namespace cascade
