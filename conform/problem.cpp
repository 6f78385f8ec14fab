#include "problem.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "oracle.hpp"

namespace graft::conform {

Maker::Maker(std::string_view kernel, std::uint32_t type) : type_(type), state_(type) {
  for (const char c : kernel) state_ = state_ * 131 + static_cast<unsigned char>(c);
}

// splitmix64
std::uint64_t Maker::bits() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

double Maker::uniform(double low, double high) {
  return low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53;
}

std::int64_t Maker::integer(std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(high - low + 1));
}

std::vector<std::uint32_t> Maker::result_types() const {
  if (type_ == GRAFT_BF16) return {GRAFT_BF16, GRAFT_F32};
  return {type_};
}

Operand Maker::real_as(std::uint32_t dtype, const Shape& shape, const Layout& layout, double low,
                       double high) {
  // Values for the axes that are there, then each element looks up its own.
  Shape own = shape;
  for (std::size_t d = 0; d < own.size(); ++d)
    if (layout.broadcast >> d & 1) own[d] = std::min<std::int64_t>(own[d], 1);
  Values few(count_of(own));
  for (double& value : few) value = uniform(low, high);
  few = rounded(std::move(few), dtype);
  Values values(count_of(shape));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::size_t rest = i, at = 0, step = 1;
    for (std::size_t d = shape.size(); d-- > 0;) {
      const auto place = rest % static_cast<std::size_t>(shape[d]);
      rest /= static_cast<std::size_t>(shape[d]);
      if (own[d] == shape[d]) at += place * step;
      step *= static_cast<std::size_t>(own[d]);
    }
    values[i] = few[at];
  }
  return {dtype, shape, layout, std::move(values)};
}

Operand Maker::real(const Shape& shape, const Layout& layout, double low, double high) {
  return real_as(type_, shape, layout, low, high);
}

Operand Maker::integers(const std::vector<std::int32_t>& values, const Layout& layout) {
  return {GRAFT_I32,
          {static_cast<std::int64_t>(values.size())},
          layout,
          Values(values.begin(), values.end())};
}

Operand Maker::random_ids(std::int64_t rows, std::int64_t below, const Layout& layout) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(rows));
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(integer(0, below - 1));
  return integers(ids, layout);
}

Result Maker::result(const Shape& shape, const Layout& layout) const {
  return {type_, shape, layout, -1, {}};
}

Result Maker::result_as(std::uint32_t dtype, const Shape& shape, const Layout& layout) {
  return {dtype, shape, layout, -1, {}};
}

Result Maker::in_place(const std::vector<Operand>& in, std::size_t input) {
  const Operand& x = in[input];
  return {x.dtype, x.shape, x.layout, static_cast<std::int32_t>(input), x.values};
}

Problem& Maker::add(std::string what, std::vector<Operand> in, std::vector<Result> out,
                    std::vector<graft_attr> attrs, Scale scale) {
  Problem problem;
  problem.what = std::move(what);
  problem.in = std::move(in);
  problem.out = std::move(out);
  problem.attrs = std::move(attrs);
  problem.scale = std::move(scale);
  return problems_.emplace_back(std::move(problem));
}

Problem& Maker::add_accumulating() {
  Problem problem = problems_.back();
  problem.what += ", accumulate";
  problem.attrs.push_back(attr("accumulate", 1));
  for (Result& result : problem.out) result.before = real_as(result.dtype, result.shape).values;
  return problems_.emplace_back(std::move(problem));
}

Layout reversed(std::size_t rank) {
  Layout layout;
  layout.order.resize(rank);
  std::iota(layout.order.rbegin(), layout.order.rend(), 0);
  return layout;
}

std::string text_of(const Shape& shape) {
  std::string out;
  for (const std::int64_t extent : shape) {
    if (!out.empty()) out += 'x';
    out += std::to_string(extent);
  }
  return out;
}

std::vector<Values> relative(const Problem&, const std::vector<Values>& right) {
  std::vector<Values> scale = right;
  for (Values& values : scale)
    for (double& value : values) value = std::fabs(value);
  return scale;
}

Scale magnitudes(std::string kernel) {
  return [kernel = std::move(kernel)](const Problem& problem, const std::vector<Values>&) {
    Problem positive = problem;
    for (Operand& in : positive.in)
      for (double& value : in.values) value = std::fabs(value);
    for (Result& out : positive.out)
      for (double& value : out.before) value = std::fabs(value);
    for (graft_attr& one : positive.attrs) one.f = std::fabs(one.f);
    return reference(kernel, positive, Precision::kF64);
  };
}

double one_rounding(std::uint32_t dtype) {
  switch (dtype) {
    case GRAFT_BF16:
      return 0x1.01p-8;
    case GRAFT_F16:
      return 0x1.01p-11;
    case GRAFT_F32:
      return 0x1.01p-24;
    default:
      return 0x1.01p-53;
  }
}

}  // namespace graft::conform
