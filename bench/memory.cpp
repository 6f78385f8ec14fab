// bench-memory [THREADS]: GB/s at which this machine reads, and writes, memory that no cache holds. Prints
// one line of JSON.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t kWords = std::size_t{1} << 26;  // 512 MiB
constexpr int kRuns = 7;

/// The best of several runs, in GB/s.
template <class F>
double best_rate(F&& pass) {
  double best = 0;
  for (int i = 0; i < kRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pass();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best =
        std::max(best, static_cast<double>(kWords) * sizeof(std::uint64_t) * 1e-9 / took.count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  omp_set_num_threads(argc > 1 ? std::atoi(argv[1]) : omp_get_num_procs());
  std::vector<std::uint64_t> memory(kWords, 1);
  std::uint64_t sum = 0;
  const double read = best_rate([&] {
#pragma omp parallel for reduction(+ : sum) schedule(static)
    for (std::size_t i = 0; i < kWords; i += 8) {
      std::uint64_t line = 0;
      for (std::size_t k = i; k < i + 8; ++k) line += memory[k];
      sum += line;
    }
  });
  const double write = best_rate([&] {
    constexpr std::size_t piece = std::size_t{1} << 16;
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < kWords; i += piece)
      std::memset(memory.data() + i, 3, piece * sizeof(std::uint64_t));
  });
  std::printf("{\"read_gb_per_s\": %.2f, \"write_gb_per_s\": %.2f}\n", read, write);
  return sum == 0;
}
