#include "core/tensor/dtype.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

// Every half as a double, from the definition of the format rather than from bits of a float.
double f16_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value = mantissa == 0 ? HUGE_VAL : std::nan("");
  } else {
    value = std::ldexp(exponent == 0 ? mantissa : 1024 + mantissa, std::max(exponent, 1) - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

TEST(DtypeTest, EveryHalfHasItsDefinedValueAndComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f16_to_float(half);
    const double wanted = f16_by_definition(half);
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_EQ(float_to_f16(value), half | 0x200) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(value), wanted) << bits;
      ASSERT_EQ(float_to_f16(value), half) << bits;
    }
  }
}

TEST(DtypeTest, EveryBf16ComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = bf16_to_float(half);
    ASSERT_EQ(float_to_bf16(value), std::isnan(value) ? half | 0x40 : half) << bits;
  }
}

// Between two neighbours a and b: the middle goes to the even one, its neighbours to a and b.
TEST(DtypeTest, HalvesRoundToNearestEven) {
  for (std::uint16_t a = 0; a < 0x7bff; ++a) {
    const double low = f16_by_definition(a), high = f16_by_definition(a + 1);
    const auto middle = static_cast<float>((low + high) / 2);  // exact: 11 bits and one more
    ASSERT_EQ(float_to_f16(middle), (a & 1) == 0 ? a : a + 1) << a;
    ASSERT_EQ(float_to_f16(std::nextafterf(middle, 0)), a) << a;
    ASSERT_EQ(float_to_f16(std::nextafterf(middle, 1e9f)), a + 1) << a;
    ASSERT_EQ(float_to_f16(-middle), 0x8000 | ((a & 1) == 0 ? a : a + 1)) << a;
  }
  EXPECT_EQ(float_to_f16(std::nextafterf(65520.0f, 0)), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(1e30f), 0x7c00);
}

TEST(DtypeTest, Bf16RoundsToNearestEven) {
  for (std::uint32_t a = 0; a < 0x7f7f; ++a) {
    const float middle = std::bit_cast<float>((a << 16) | 0x8000);
    ASSERT_EQ(float_to_bf16(middle), (a & 1) == 0 ? a : a + 1) << a;
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((a << 16) | 0x7fff)), a) << a;
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>((a << 16) | 0x8001)), a + 1) << a;
  }
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // no NaN becomes infinity
}

TEST(DtypeTest, DoublesAreRoundedOnce) {
  // Just above the middle of two bf16 numbers, by less than a float can tell.
  const double above = 1.0 + std::ldexp(1.0, -8) + std::ldexp(1.0, -40);
  const double values[] = {above, -above, 1e300, -1e300, 1e-300, 0.0, 65519.9999999};
  std::uint16_t out[7];
  convert(GRAFT_BF16, out, GRAFT_F64, values, 7);
  EXPECT_EQ(out[0], 0x3f81);
  EXPECT_EQ(out[1], 0xbf81);
  EXPECT_EQ(out[2], 0x7f80);
  EXPECT_EQ(out[3], 0xff80);
  EXPECT_EQ(out[4], 0);
  convert(GRAFT_F16, out, GRAFT_F64, values, 7);
  EXPECT_EQ(out[6], 0x7bff);
  const std::int64_t big = (std::int64_t{1} << 40) + (std::int64_t{1} << 32) + 1;
  convert(GRAFT_BF16, out, GRAFT_I64, &big, 1);
  EXPECT_EQ(out[0], 0x5381);
}

TEST(DtypeTest, BulkConversionAgreesWithSinglesAtAnyAlignment) {
  std::vector<float> values;
  for (int i = 0; i < 1003; ++i) values.push_back(std::ldexp(1.0f + 0.001f * i, i % 60 - 30));
  std::vector<char> source(values.size() * 4 + 1), target(values.size() * 4 + 1);
  std::memcpy(source.data() + 1, values.data(), values.size() * 4);
  for (const auto& [dtype, single] :
       {std::pair{std::uint32_t{GRAFT_BF16}, &float_to_bf16}, {GRAFT_F16, &float_to_f16}}) {
    convert(dtype, target.data() + 1, GRAFT_F32, source.data() + 1, values.size());
    std::vector<char> back(values.size() * 4 + 1);
    convert(GRAFT_F32, back.data() + 1, dtype, target.data() + 1, values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint16_t half = 0;
      float wide = 0;
      std::memcpy(&half, target.data() + 1 + 2 * i, 2);
      std::memcpy(&wide, back.data() + 1 + 4 * i, 4);
      ASSERT_EQ(half, single(values[i])) << i;
      ASSERT_EQ(wide, dtype == GRAFT_BF16 ? bf16_to_float(half) : f16_to_float(half)) << i;
    }
  }
}

TEST(DtypeTest, IntegersBecomeFloats) {
  const std::int8_t small[] = {-128, 0, 127};
  float out[3];
  convert(GRAFT_F32, out, GRAFT_I8, small, 3);
  EXPECT_EQ(out[0], -128.0f);
  EXPECT_EQ(out[2], 127.0f);
  EXPECT_THROW(convert(GRAFT_I8, out, GRAFT_F32, out, 1), Error);
}

TEST(DtypeTest, NamesAndSizes) {
  EXPECT_EQ(find_dtype("torch.bfloat16"), std::uint32_t{GRAFT_BF16});
  EXPECT_EQ(find_dtype("f16"), std::uint32_t{GRAFT_F16});
  EXPECT_EQ(find_dtype("float8"), std::nullopt);
  EXPECT_EQ(dtype_name(GRAFT_BF16), "bf16");
  EXPECT_EQ(dtype_size(GRAFT_I64), 8u);
  EXPECT_THROW(dtype_size(GRAFT_QUANT), Error);
  try {
    parse_dtype("fp7", "model.dtype");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("model.dtype: 'fp7' is no dtype. Known: f64, f32"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace graft::core
