// States in a file: the same numbers, a part of them at a time.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/optim/bench.hpp"

namespace graft::core {
namespace {

using test::Bench;

const Bench::Named kNamed = {{"m.mlp.a", {100, 130}}, {"m.bias", {7}}, {"m.mlp.b", {90, 51}}};
constexpr std::int64_t kPiece = 4096;  // elements of an elementwise update, at least

std::string bytes_of(const std::shared_ptr<void>& memory, std::uint64_t n) {
  return {static_cast<const char*>(memory.get()), n};
}

/// Master values and states after some steps.
std::vector<std::string> after(Bench& bench) {
  const auto n = static_cast<std::size_t>(bench.layout().trained);
  auto* master = static_cast<float*>(bench.memory().master.get());
  auto* gradients = static_cast<float*>(bench.memory().gradients.get());
  for (std::size_t k = 0; k < n; ++k) master[k] = std::sin(static_cast<float>(k) * 0.3f + 1);
  for (int step = 1; step <= 3; ++step) {
    bench.optimizer().zero_gradients();
    for (std::size_t i = 0; i < kNamed.size(); ++i) {
      const auto begin = static_cast<std::size_t>(bench.layout().offset[i]);
      for (std::size_t k = begin; k < begin + bench.size(i); ++k) {
        gradients[k] = std::cos(static_cast<float>(k) * 0.7f + static_cast<float>(step));
      }
    }
    bench.optimizer().step(step, 0.01, 0.5);
  }
  std::vector<std::string> all = {bytes_of(bench.memory().master, n * sizeof(float))};
  for (std::size_t k = 0; k < bench.memory().states.size(); ++k) {
    all.push_back(bytes_of(bench.memory().states[k], bench.memory().ranges[k].bytes()));
  }
  return all;
}

class Paged : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(Paged, GivesTheSameBits) {
  const auto [optimizer, backend] = GetParam();
  const Device device = open_device(backend, 2);
  const Json options = std::string(optimizer) == "sgd" ? Json{{"momentum", 0.9}} : Json::object();
  const std::vector<bool> decays = {true, false, true};
  Bench whole(optimizer, options, kNamed, decays, GRAFT_F32, device);
  const std::vector<std::string> right = after(whole);
  EXPECT_FALSE(whole.memory().pages);
  EXPECT_EQ(whole.optimizer().part_bytes() > 0, right.size() > 1);
  for (const std::uint64_t resident :
       {std::uint64_t{1}, std::uint64_t{50000}, std::uint64_t{1} << 30}) {
    Bench paged(optimizer, options, kNamed, decays, GRAFT_F32, device, resident);
    EXPECT_TRUE(paged.memory().pages);
    EXPECT_EQ(paged.optimizer().states(), whole.optimizer().states());
    EXPECT_EQ(after(paged), right) << resident;
  }
}

/// Under clang's sanitizers cpu is left out: its OpenMP runtime would be a second one.
std::vector<const char*> backends() {
#if defined(__clang__) && defined(__has_feature)
#if __has_feature(address_sanitizer)
  return {"ref"};
#endif
#endif
  return {"ref", "cpu"};
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Paged,
                         testing::Combine(testing::Values("adamw", "sgd", "lion", "adafactor",
                                                          "muon", "galore", "adamw8bit"),
                                          testing::ValuesIn(backends())),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::get<1>(test.param);
                         });

TEST(Paged, APartIsNoLargerThanWhatMayBeResident) {
  const auto part = [](const char* optimizer, std::uint64_t resident) {
    const Bench bench(optimizer, Json::object(), kNamed, {true, true, true}, GRAFT_F32,
                      ref_device(), resident);
    return static_cast<std::int64_t>(bench.part_bytes());
  };
  // Elementwise: cut at multiples of a piece, two states of 4 bytes. Others: between parameters.
  EXPECT_EQ(part("adamw", 1), kPiece * 8);
  EXPECT_EQ(part("adamw", 70000), 2 * kPiece * 8);
  EXPECT_EQ(part("muon", 1), 13000 * 4);
  EXPECT_EQ(part("muon", 60000), 13000 * 4 + 7 * 8);
}

}  // namespace
}  // namespace graft::core
