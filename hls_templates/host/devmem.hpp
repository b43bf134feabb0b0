// Registers through /dev/mem and buffers in a u-dma-buf device (a contiguous, reserved piece of memory):
// Linux on the Zynq without XRT and without PYNQ. Run as root. The u-dma-buf device must be opened with O_SYNC,
// which makes the mapping uncached, so that no cache has to be written back.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "cascade_driver.hpp"

namespace cascade {

class Mapping {
 public:
  Mapping(const std::string& path, std::uint64_t offset, std::size_t bytes) : bytes_(bytes) {
    const int file = ::open(path.c_str(), O_RDWR | O_SYNC);
    if (file < 0) throw EngineError(path + " cannot be opened: " + std::strerror(errno));
    void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(offset));
    ::close(file);
    if (mapped == MAP_FAILED) throw EngineError(path + " cannot be mapped: " + std::strerror(errno));
    data_ = static_cast<std::uint8_t*>(mapped);
  }
  ~Mapping() { ::munmap(data_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::uint8_t* data() const { return data_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_;
};

class DevMemRegisters : public Registers {
 public:
  explicit DevMemRegisters(std::uint64_t base) : mapping_("/dev/mem", base, 0x10000) {}
  std::uint32_t read(std::uint32_t offset) override {
    return *reinterpret_cast<volatile std::uint32_t*>(mapping_.data() + offset);
  }
  void write(std::uint32_t offset, std::uint32_t value) override {
    *reinterpret_cast<volatile std::uint32_t*>(mapping_.data() + offset) = value;
  }

 private:
  Mapping mapping_;
};

// Hands out pieces of /dev/<name> from the first to the last; nothing is given back before the end.
class UdmabufMemory : public Memory {
 public:
  explicit UdmabufMemory(const std::string& name = "udmabuf0")
      : address_(attribute(name, "phys_addr")), bytes_(attribute(name, "size")), mapping_("/dev/" + name, 0, bytes_) {}
  Buffer allocate(std::size_t bytes) override {
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    if (used_ + rounded > bytes_)
      throw EngineError("the buffers need more than the " + std::to_string(bytes_) + " bytes of the u-dma-buf device");
    const Buffer buffer{mapping_.data() + used_, address_ + used_, bytes};
    used_ += rounded;
    return buffer;
  }

 private:
  static std::uint64_t attribute(const std::string& name, const std::string& key) {
    const std::string path = "/sys/class/u-dma-buf/" + name + "/" + key;
    std::ifstream file(path);
    std::string text;
    if (!(file >> text)) throw EngineError(path + " cannot be read: load the u-dma-buf module");
    return std::stoull(text, nullptr, 0);
  }

  std::uint64_t address_;
  std::size_t bytes_;
  Mapping mapping_;
  std::size_t used_ = 0;
};

}  // namespace cascade
