// classify PROJECT IMAGES: classifies raw uint8 images (height * width * channels bytes each, RGB) and prints one
// line each: index, class, the unit that answered.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "design.hpp"
#include "devmem.hpp"

namespace {

std::vector<std::uint8_t> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw cascade::EngineError(path + " cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int run(const std::string& project, const std::string& images_path) {
  cascade::UdmabufMemory memory;
  std::map<std::uint64_t, std::unique_ptr<cascade::DevMemRegisters>> registers;  // of each engine
  std::vector<std::unique_ptr<cascade::Engine>> engines;
  for (const cascade::UnitFormat& unit : cascade::design::units) {
    auto& control = registers[unit.control_base];
    if (!control) control = std::make_unique<cascade::DevMemRegisters>(unit.control_base);
    engines.push_back(std::make_unique<cascade::Engine>(unit, *control, memory,
                                                        contents(project + "/" + unit.program_file),
                                                        contents(project + "/" + unit.weights_file), unit.batch));
  }
  const std::vector<std::uint8_t> images = contents(images_path);
  const std::size_t bytes = engines[0]->image_bytes();
  if (images.empty() || images.size() % bytes != 0)
    throw cascade::EngineError(images_path + " must hold whole images of " + std::to_string(bytes) + " bytes");
  cascade::Engine* high = engines.size() > 1 ? engines[1].get() : nullptr;
  const std::vector<cascade::Result> answers =
      cascade::classify(*engines[0], high, images.data(), images.size() / bytes);
  for (std::size_t n = 0; n < answers.size(); n++)
    std::printf("%zu %u %s\n", n, answers[n].klass,
                cascade::design::units[answers[n].by_high ? 1 : 0].name);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s PROJECT IMAGES\n", argv[0]);
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ERROR: %s\n", error.what());
    return 1;
  }
}
