// The reference kernels against torch (tests/golden/make_kernels.py). They are the oracle of
// graft-conform, so nothing there can find them wrong.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "conform/tensor.hpp"
#include "plugins/backends/ref/kernels.hpp"

namespace graft::conform {
namespace {

using Json = nlohmann::json;

const Json& cases() {
  static const Json all =
      Json::parse(std::ifstream(GRAFT_SOURCE_DIR "/tests/golden/data/kernels.json"));
  return all;
}

Values values_of(const Json& operand) {
  Values values;
  for (const Json& value : operand.at("values")) values.push_back(value.get<double>());
  return values;
}

std::uint32_t dtype_of(const Json& operand) {
  const std::string type = operand.at("type");
  return type == "i32"    ? GRAFT_I32
         : type == "f32"  ? GRAFT_F32
         : type == "bf16" ? GRAFT_BF16
                          : GRAFT_F64;
}

Tensor tensor_of(const Json& operand) {
  return {dtype_of(operand), operand.at("shape").get<Shape>(), {}, false};
}

std::vector<Values> run(const Json& one) {
  const std::string kernel = one.at("kernel");
  std::vector<Tensor> in, out;
  for (const Json& x : one.at("in")) {
    in.push_back(tensor_of(x));
    in.back().reset(values_of(x));
  }
  for (const Json& y : one.at("out")) {
    const Json& before = one.at("before");
    out.push_back(tensor_of(y));
    out.back().reset(before.empty() ? Values() : values_of(before.at(out.size() - 1)));
  }
  std::vector<graft_view> in_views, out_views;
  for (Tensor& x : in) in_views.push_back(x.view(x.bytes(), 1));
  for (Tensor& y : out) out_views.push_back(y.view(y.bytes(), 1));
  std::vector<graft_attr> attrs;
  for (const auto& [name, value] : one.at("attrs").items()) {
    const bool whole = value.is_number_integer();
    attrs.push_back({name.c_str(), nullptr, whole ? value.get<std::int64_t>() : 0,
                     whole ? 0 : value.get<double>()});
  }
  graft_kernel_args args = {};
  args.struct_size = sizeof args;
  args.n_in = static_cast<std::uint32_t>(in.size());
  args.n_out = static_cast<std::uint32_t>(out.size());
  args.n_attr = static_cast<std::uint32_t>(attrs.size());
  args.in = in_views.data();
  args.out = out_views.data();
  args.attr = attrs.data();

  const ref::KernelTable table = ref::kernel_table();
  for (std::uint32_t i = 0; i < table.count; ++i) {
    if (kernel != table.kernels[i].name) continue;
    graft_error error = {};
    EXPECT_EQ(table.kernels[i].run(nullptr, &args, &error), GRAFT_OK) << error.message;
    std::vector<Values> results;
    for (const Tensor& y : out) results.push_back(y.read());
    return results;
  }
  ADD_FAILURE() << "no kernel " << kernel;
  return {};
}

class RefKernel : public testing::TestWithParam<std::size_t> {};

TEST_P(RefKernel, EqualsTorch) {
  const Json& one = cases().at(GetParam());
  SCOPED_TRACE(one.at("kernel").dump() + " " + one.at("attrs").dump());
  const std::vector<Values> got = run(one);
  ASSERT_EQ(got.size(), one.at("out").size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Values right = values_of(one.at("out").at(i));
    ASSERT_EQ(got[i].size(), right.size());

    const std::uint32_t dtype = dtype_of(one.at("out").at(i));
    const double off = dtype == GRAFT_F64 ? 1e-11 : dtype == GRAFT_F32 ? 1e-7 : 0;
    for (std::size_t e = 0; e < right.size(); ++e)
      EXPECT_NEAR(got[i][e], right[e], off * (1 + std::fabs(right[e])))
          << "output " << i << ", element " << e;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, RefKernel, testing::Range<std::size_t>(0, cases().size()),
                         [](const auto& one) {
                           std::string name = cases().at(one.param).at("kernel");
                           name.resize(name.find('/'));
                           return std::to_string(one.param) + "_" + name;
                         });

TEST(RefKernels, AreAllCovered) {
  std::set<std::string> covered;
  for (const Json& one : cases()) covered.insert(one.at("kernel"));
  covered.insert("adam8_update/1");  // steps of bitsandbytes: tests/unit/optim/adamw8bit_test.cpp
  const ref::KernelTable table = ref::kernel_table();
  for (std::uint32_t i = 0; i < table.count; ++i)
    EXPECT_TRUE(covered.count(table.kernels[i].name)) << table.kernels[i].name;
}

TEST(RefKernels, RefuseWhatTheirLineForbids) {
  float numbers[6] = {};
  std::int32_t ids[2] = {0, 5};
  graft_view table = {}, rows = {}, y = {};
  table.data = y.data = numbers;
  rows.data = ids;
  table.dtype = y.dtype = GRAFT_F32;
  rows.dtype = GRAFT_I32;
  table.ndim = y.ndim = 2;
  rows.ndim = 1;
  table.shape[0] = 3;
  y.shape[0] = rows.shape[0] = 2;
  table.shape[1] = y.shape[1] = table.stride[0] = y.stride[0] = 2;
  table.stride[1] = y.stride[1] = rows.stride[0] = 1;
  const graft_view in[] = {table, rows};
  graft_kernel_args args = {};
  args.n_in = 2;
  args.n_out = 1;
  args.in = in;
  args.out = &y;
  graft_error error = {};
  const auto gather = ref::run<ref::gather, 2, 2, 1>;
  EXPECT_EQ(gather(nullptr, &args, &error), GRAFT_E_INVALID);
  EXPECT_STREQ(error.message, "ref: ids[1] is 5, the table has 3 rows");
  args.n_in = 1;
  EXPECT_EQ(gather(nullptr, &args, &error), GRAFT_E_INVALID);
  EXPECT_STREQ(error.message, "ref: 1 inputs and 1 outputs, needs 2 to 2 and 1");
}

}  // namespace
}  // namespace graft::conform
