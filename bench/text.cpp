// How fast a tokenizer loads and encodes. bench/text.py sets it beside PyPI's `tokenizers`.
//   bench-text MODEL LINES.jsonl THREADS [PASSES]     each line a JSON string, one text; the seconds of each pass
//   bench-text MODEL --runs                  seconds for a megabyte of one thing
//   bench-text MODEL --load                  seconds to load, as all others say too
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/text/tokenizer.hpp"

using namespace graft::core;

namespace {

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void runs(const Tokenizer& tokenizer) {
  for (const char* unit : {"a", " ", "\n", "!", "0", "e\u0301", "\u0301", "\u4f60", "\U0001f600",
                           " a", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    std::size_t tokens = 0;
    const double seconds = seconds_of([&] { tokens = tokenizer.encode(text, false).size(); });
    std::printf("%s %.4f %zu\n", Json(unit).dump(-1, ' ', true).c_str(), seconds, tokens);
  }
}

int measure(const Tokenizer& tokenizer, const char* file, unsigned threads, int passes) {
  std::vector<std::string> texts;
  std::size_t bytes = 0;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    texts.push_back(Json::parse(line).get<std::string>());
    bytes += texts.back().size();
  }
  std::atomic<std::size_t> next{0}, tokens{0};
  const auto work = [&] {
    for (std::size_t i; (i = next.fetch_add(16)) < texts.size();) {
      for (std::size_t k = i; k < std::min(i + 16, texts.size()); ++k) {
        tokens += tokenizer.encode(texts[k], false).size();
      }
    }
  };
  Json seconds = Json::array();
  for (int pass = 0; pass < passes; ++pass) {
    next = tokens = 0;
    seconds.push_back(seconds_of([&] {
      std::vector<std::thread> others;
      for (unsigned i = 1; i < threads; ++i) others.emplace_back(work);
      work();
      for (std::thread& other : others) other.join();
    }));
  }
  std::printf("{\"seconds\": %s, \"bytes\": %zu, \"tokens\": %zu}\n", seconds.dump().c_str(), bytes,
              tokens.load());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr,
                 "usage: bench-text MODEL LINES.jsonl THREADS [PASSES] | bench-text MODEL --runs | "
                 "bench-text MODEL --load\n");
    return 2;
  }
  try {
    Tokenizer tokenizer;
    const double load = seconds_of([&] { tokenizer = Tokenizer::load(argv[1]); });
    std::fprintf(stderr, "load %.4f\n", load);
    if (std::string(argv[2]) == "--load") return 0;
    if (std::string(argv[2]) != "--runs") {
      return measure(tokenizer, argv[2], argc > 3 ? static_cast<unsigned>(std::stoul(argv[3])) : 1,
                     argc > 4 ? std::stoi(argv[4]) : 3);
    }
    runs(tokenizer);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
