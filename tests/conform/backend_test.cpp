// graft/backend.hpp against definitions that are written differently.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <graft/backend.hpp>
#include <random>
#include <vector>

namespace graft::backend {
namespace {

// Sign, exponent and fraction taken apart.
double decode(std::uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(1 + std::ldexp(fraction, -fraction_bits), exponent - bias);
}

TEST(BackendFloats, ReadEveryBitPattern) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const double half = decode(bits, 5), brain = decode(bits, 8);
    if (std::isnan(half)) {
      EXPECT_TRUE(std::isnan(to_double(F16{bits}))) << i;
    } else {
      ASSERT_EQ(to_double(F16{bits}), half) << i;
      ASSERT_EQ(to_f16(half).bits, bits) << i;
      ASSERT_EQ(to_f16(static_cast<float>(half)).bits, bits) << i;
    }
    if (std::isnan(brain)) {
      EXPECT_TRUE(std::isnan(to_double(Bf16{bits}))) << i;
      EXPECT_TRUE(std::isnan(to_double(to_bf16(to_float(Bf16{bits}))))) << i;
    } else {
      ASSERT_EQ(to_double(Bf16{bits}), brain) << i;
      ASSERT_EQ(to_bf16(brain).bits, bits) << i;
    }
  }
}

// Between two neighbours the nearer one wins; in the middle the even one; a little off the middle
// is not the middle, even where that little is lost in a float.
template <typename Round>
void check_rounding(int exponent_bits, std::uint32_t infinity, Round&& round) {
  for (std::uint32_t i = 0; i + 1 < infinity; ++i) {
    const auto low = static_cast<std::uint16_t>(i), high = static_cast<std::uint16_t>(i + 1);
    const double a = decode(low, exponent_bits), b = decode(high, exponent_bits);
    const double middle = a + (b - a) / 2, little = (b - a) * 0x1p-40;
    for (const double sign : {1.0, -1.0}) {
      const auto expect = [&](double value, std::uint16_t bits) {
        ASSERT_EQ(round(sign * value), sign < 0 ? bits | 0x8000 : bits) << i << " " << value;
      };
      expect(middle, i % 2 ? high : low);
      expect(middle - little, low);
      expect(middle + little, high);
      expect(a + (b - a) / 4, low);
    }
  }
}

TEST(BackendFloats, RoundDoublesOnceToNearestEven) {
  check_rounding(5, 0x7c00, [](double value) { return to_f16(value).bits; });
  // The subnormal bf16 numbers' middles lie among the subnormal floats; still exact.
  check_rounding(8, 0x7f80, [](double value) { return to_bf16(value).bits; });
  EXPECT_EQ(to_f16(65520.0).bits, 0x7c00);
  EXPECT_EQ(to_f16(65519.999).bits, 0x7bff);
  EXPECT_EQ(to_bf16(1e300).bits, 0x7f80);
  EXPECT_EQ(to_bf16(-1e300).bits, 0xff80);
}

TEST(BackendFloats, RoundToIntegersTowardZero) {
  EXPECT_EQ(from_double<std::int32_t>(2.9), 2);
  EXPECT_EQ(from_double<std::int32_t>(-2.9), -2);
  EXPECT_EQ(from_double<std::int32_t>(1e10), INT32_MAX);
  EXPECT_EQ(from_double<std::int32_t>(-1e10), INT32_MIN);
  EXPECT_EQ(from_double<std::int32_t>(NAN), 0);
}

TEST(BackendPhilox, GivesThePublishedVectors) {
  // kat_vectors of Random123 1.14, philox4x32 10.
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(BackendErrors, CutAtACodePoint) {
  graft_error error = {};
  const std::string text = std::string(502, 'a') + "\xC3\xA4 and more";  // the ä would be cut
  EXPECT_EQ(fail(&error, GRAFT_E_INVALID, "%s", text.c_str()), GRAFT_E_INVALID);
  EXPECT_EQ(error.message, std::string(502, 'a'));
  EXPECT_EQ(fail(&error, GRAFT_E_IO, "%s", (std::string(501, 'a') + "\xC3\xA4 more").c_str()),
            GRAFT_E_IO);
  EXPECT_EQ(error.message, std::string(501, 'a') + "\xC3\xA4");
  EXPECT_EQ(fail(nullptr, GRAFT_E_IO, "nowhere"), GRAFT_E_IO);
  EXPECT_EQ(fail(&error, GRAFT_E_IO, "short %d", 7), GRAFT_E_IO);
  EXPECT_STREQ(error.message, "short 7");
}

graft_view view_of(std::vector<std::int64_t> shape, std::vector<std::int64_t> stride) {
  graft_view view = {};
  view.ndim = static_cast<std::int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), view.shape);
  std::copy(stride.begin(), stride.end(), view.stride);
  return view;
}

TEST(BackendLoop, VisitsEveryElementInOrderAtTheRightPlace) {
  const std::vector<graft_view> views = {
      view_of({2, 3, 4}, {12, 4, 1}), view_of({2, 3, 4}, {24, 8, 2}), view_of({2, 3, 4}, {1, 2, 6}),
      view_of({2, 3, 4}, {0, 4, 1}),  view_of({2, 1, 4}, {4, 9, 1}),  view_of({2, 1, 1}, {1, 5, 5}),
      view_of({2, 3, 4}, {20, 5, 1}),
  };
  for (const graft_view& b : views) {
    std::vector<std::array<std::int64_t, 2>> expected, got;
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t j = 0; j < 3; ++j)
        for (std::int64_t k = 0; k < 4; ++k)
          expected.push_back({i * 12 + j * 4 + k, i * b.stride[0] +
                                                      (b.shape[1] == 1 ? 0 : j * b.stride[1]) +
                                                      (b.shape[2] == 1 ? 0 : k * b.stride[2])});
    for_each(make_loop<2>({&views[0], &b}), [&](const auto& at) { got.push_back(at); });
    EXPECT_EQ(got, expected);
  }
}

TEST(BackendLoop, JoinsAxesAndDropsThoseOfOneElement) {
  const graft_view dense = view_of({2, 1, 3, 4}, {12, 99, 4, 1});
  const Loop<1> one = make_loop<1>({&dense});
  EXPECT_EQ(one.ndim, 1);
  EXPECT_EQ(one.run_length(), 24);
  EXPECT_EQ(one.outer(), 1);
  const graft_view padded = view_of({2, 3, 4}, {15, 5, 1});
  EXPECT_EQ(make_loop<1>({&padded}).outer(), 6);
  const graft_view empty = view_of({3, 0}, {0, 1});
  for_each(make_loop<1>({&empty}), [](const auto&) { FAIL() << "nothing to visit"; });
  const graft_view scalar = view_of({}, {});
  int visits = 0;
  for_each(make_loop<1>({&scalar}), [&](const auto& at) { visits += at[0] == 0; });
  EXPECT_EQ(visits, 1);
}

TEST(BackendLoop, RowsAreTheLastAxisAway) {
  const graft_view x = view_of({2, 3, 4}, {12, 4, 1}), y = view_of({2, 3}, {1, 2});
  std::vector<std::array<std::int64_t, 2>> got;
  for_each_row<2>({&x, &y}, [&](const auto& at) { got.push_back(at); });
  const std::vector<std::array<std::int64_t, 2>> expected = {{0, 0},  {4, 2},  {8, 4},
                                                             {12, 1}, {16, 3}, {20, 5}};
  EXPECT_EQ(got, expected);
}

TEST(BackendViews, KnowDenseFromNot) {
  EXPECT_TRUE(is_dense(view_of({2, 1, 3}, {3, 77, 1})));
  EXPECT_FALSE(is_dense(view_of({2, 3}, {4, 1})));
  EXPECT_FALSE(is_dense(view_of({2, 3}, {1, 2})));
  EXPECT_FALSE(is_dense(view_of({3}, {0})));
}

}  // namespace
}  // namespace graft::backend
