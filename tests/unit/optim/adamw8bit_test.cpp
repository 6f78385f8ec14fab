// AdamW with states in 8 bits, against bitsandbytes: tests/golden/make_adamw8bit.py. GRAFT_ADAMW8BIT_GOLDEN
// names another file of it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/base/digest.hpp"
#include "core/base/file.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/optim/bench.hpp"

namespace graft::core {
namespace {

using test::Bench;

const Json kOptions = {{"betas", {0.9, 0.99}}, {"eps", 1e-8}, {"weight_decay", 0.1}};

Json golden() {
  const char* other = std::getenv("GRAFT_ADAMW8BIT_GOLDEN");
  return Json::parse(read_file(
      other ? fs::path(other) : fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data/adamw8bit.json"));
}

float noise(std::uint64_t i, std::uint64_t k, std::uint64_t step, std::uint64_t seed) {
  std::uint64_t x =
      (k * 2654435761 + (step * 977 + i * 131 + seed) * 40503) % (std::uint64_t{1} << 32);
  x = (x ^ (x >> 15)) * 2246822519 % (std::uint64_t{1} << 32);
  const auto bits = static_cast<int>((x >> 8) % (1 << 16)) - (1 << 15);
  return static_cast<float>(std::ldexp(bits, -20 - static_cast<int>(k % 9)));
}

struct Steps {
  explicit Steps(const Device& device, std::uint64_t resident = 0)
      : bench("adamw8bit", kOptions, named(), {true, true, true}, GRAFT_F32, device, resident) {
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < bench.size(i); ++k)
        of(bench.memory().master, i)[k] = noise(7 + i, k, 0, seed);
    }
  }
  static Bench::Named named() {
    Bench::Named named;
    const Json file = golden();
    for (const auto& [name, dims] : file["names"].items()) named.push_back({name, dims});
    return named;
  }
  float* of(const std::shared_ptr<void>& memory, std::size_t i) const {
    return static_cast<float*>(memory.get()) + bench.layout().offset[i];
  }
  void step(std::uint64_t index) {
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < bench.size(i); ++k)
        of(bench.memory().gradients, i)[k] = noise(i, k, index, seed);
    }
    bench.optimizer().step(static_cast<std::int64_t>(index), 1e-3, 0);
  }
  /// Codes of m and v, scales of m and v of the first parameter.
  std::string digest() const {
    const auto& states = bench.memory().states;
    const std::size_t n = bench.size(0), blocks = (n + 255) / 256;
    Sha256 digest;
    for (const std::size_t k : {2, 3, 0, 1}) {
      digest.add({static_cast<const char*>(states[k].get()), k < 2 ? 4 * blocks : n});
    }
    return digest.hex();
  }

  std::uint64_t seed = golden().at("seed").get<std::uint64_t>();
  Bench bench;
};

void expect_bitsandbytes(const Device& device) {
  const Json file = golden();
  Steps steps(device);
  for (std::uint64_t k = 1; k <= 100; ++k) {
    steps.step(k);
    ASSERT_EQ(steps.digest(), file["digests"][k - 1].get<std::string>()) << "step " << k;
  }
  const auto& states = steps.bench.memory().states;
  for (std::size_t s = 0; s < 2; ++s) {
    for (std::size_t k = 0; k < file["codes"][s].size(); ++k) {
      EXPECT_EQ(static_cast<const std::uint8_t*>(states[2 + s].get())[k], file["codes"][s][k]);
    }
  }
  const auto near = [](float is, const Json& right) {
    EXPECT_NEAR(is, right.get<double>(), 2e-8 + 2e-6 * std::fabs(right.get<double>()));
  };
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t k = 0; k < file["parameters"][i].size(); ++k) {
      near(steps.of(steps.bench.memory().master, i)[k], file["parameters"][i][k]);
    }
  }
  // Behind the scales of the first, padded to 16: the states of the others in f32.
  std::size_t at = 32;
  for (std::size_t i = 1; i < 3; ++i) {
    for (std::size_t k = 0; k < file["m"][i - 1].size(); ++k) {
      near(static_cast<const float*>(states[0].get())[at + k], file["m"][i - 1][k]);
      near(static_cast<const float*>(states[1].get())[at + k], file["v"][i - 1][k]);
    }
    at += (steps.bench.size(i) + 15) / 16 * 16;
  }
}

TEST(AdamW8Bit, HasTheStatesOfBitsandbytes) {
  expect_bitsandbytes(ref_device());
}

TEST(AdamW8Bit, HasTheStatesOfBitsandbytesOnCpu) {
  expect_bitsandbytes(open_device("cpu"));
}

TEST(AdamW8Bit, TakesAByteForEachNumber) {
  const Steps steps(ref_device());
  const auto& ranges = steps.bench.memory().ranges;
  ASSERT_EQ(ranges.size(), 4u);
  const std::int64_t scales = 32, wide = 4096 + 4112, codes = 4368;  // each padded to 16
  EXPECT_EQ(ranges[0], (StateRange{GRAFT_F32, scales + wide}));
  EXPECT_EQ(ranges[1], (StateRange{GRAFT_F32, scales + wide}));
  EXPECT_EQ(ranges[2], (StateRange{GRAFT_U8, codes}));
  EXPECT_EQ(ranges[3], (StateRange{GRAFT_U8, codes}));
  // Where none is large enough there are no codes.
  const Bench small("adamw8bit", kOptions, {{"w", {4095}}}, {true}, GRAFT_F32, ref_device());
  EXPECT_EQ(small.memory().ranges.size(), 2u);
  const Bench least("adamw8bit", {{"min_8bit_size", 4095}}, {{"w", {4095}}}, {true}, GRAFT_F32,
                    ref_device());
  EXPECT_EQ(least.memory().ranges.size(), 4u);
}

TEST(AdamW8Bit, RefusesF64) {
  EXPECT_ERROR(Bench("adamw8bit", kOptions, {{"w", {4096}}}, {true}), "in f32, bf16 or f16");
}

}  // namespace
}  // namespace graft::core
