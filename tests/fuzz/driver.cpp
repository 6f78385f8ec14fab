// Runs a fuzz target over seeds and random changes of them, where there is no libFuzzer.
//   fuzz-NAME ROUNDS SEED_FILE...
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void run(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

/// One to three changes: bytes flipped, cut out, doubled, or set to signs that mean something.
std::string changed(std::string text, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (std::size_t i = 0; i <= below(3); ++i) {
    const std::size_t at = below(text.size()),
                      size = below(std::min<std::size_t>(text.size() - at, 40));
    switch (below(5)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text.erase(at, size);
        break;
      case 2:
        text.insert(below(text.size()), text.substr(at, size));
        break;
      case 3:
        if (!text.empty()) text[at] = static_cast<char>(random());
        break;
      default:
        if (!text.empty()) text[at] = "{}[]\"\\:,-9%|e \0\xFF"[below(16)];
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 0;
  std::vector<std::string> seeds;
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (rounds <= 0 || seeds.empty()) {
    std::fprintf(stderr, "usage: %s ROUNDS SEED_FILE...\n", argv[0]);
    return 2;
  }
  std::mt19937 random(17);
  for (const std::string& seed : seeds) {
    run(seed);
    for (int i = 0; i < rounds; ++i) run(changed(seed, random));
  }
  std::printf("%zu seeds, %d changes of each\n", seeds.size(), rounds);
  return 0;
}
