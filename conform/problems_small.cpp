#include "problems.hpp"

namespace graft::conform {
namespace {

struct Small {
  const char* what;
  std::int64_t n, b;
  Layout layout, result_layout;
};

const std::vector<Small>& cases() {
  static const std::vector<Small> kCases = {{"no matrices", 0, 4, {}, {}},
                                            {"one by one", 3, 1, {}, {}},
                                            {"two by two", 1, 2, {}, {}},
                                            {"odd", 5, 7, {}, {}},
                                            {"strided", 3, 5, {{}, 2, 0, 0}, {{}, 3, 0, 0}},
                                            {"large", 40, 32, {}, {}}};
  return kCases;
}

}  // namespace

void skew_problems(Maker& make) {
  for (const Small& c : cases()) {
    make.add(c.what, {make.real({c.n, c.b * (c.b - 1) / 2}, c.layout)},
             {make.result({c.n, c.b, c.b}, c.result_layout)}, {}, relative);
  }
}

namespace {

/// |y_ij| + |y_ji|.
std::vector<Values> unskew_scale(const Problem& problem, const std::vector<Values>&) {
  const Operand& y = problem.in[0];
  const std::int64_t b = y.shape[1];
  const auto at = [&](std::int64_t m, std::int64_t i, std::int64_t j) {
    return std::fabs(y.values[static_cast<std::size_t>((m * b + i) * b + j)]);
  };
  Values scale;
  for (std::int64_t m = 0; m < y.shape[0]; ++m) {
    for (std::int64_t i = 0; i < b; ++i) {
      for (std::int64_t j = i + 1; j < b; ++j) scale.push_back(at(m, i, j) + at(m, j, i));
    }
  }
  return {scale};
}

}  // namespace

void unskew_problems(Maker& make) {
  for (const Small& c : cases()) {
    make.add(c.what, {make.real({c.n, c.b, c.b}, c.layout)},
             {make.result({c.n, c.b * (c.b - 1) / 2}, c.result_layout)}, {}, unskew_scale);
  }
}

// Well conditioned: small against the shift.
void inverse_problems(Maker& make) {
  const auto scale = [](const Problem&, const std::vector<Values>& right) {
    double most = 0;
    for (const double v : right[0]) most = std::max(most, std::fabs(v));
    return std::vector<Values>{Values(right[0].size(), 8 * most)};
  };
  for (const Small& c : cases()) {
    const double size = 0.5 / static_cast<double>(c.b);
    make.add(c.what, {make.real({c.n, c.b, c.b}, c.layout, -size, size)},
             {make.result({c.n, c.b, c.b}, c.result_layout)}, {attr_real("shift", 1.25)}, scale);
  }
}

// At most half as many columns as rows: well conditioned.
void orthonormal_problems(Maker& make) {
  const auto scale = [](const Problem&, const std::vector<Values>& right) {
    return std::vector<Values>{Values(right[0].size(), 8.0)};
  };
  for (const Small& c : cases()) {
    const std::int64_t columns = (c.b + 1) / 2;
    make.add(c.what, {make.real({c.n, c.b, columns}, c.layout)},
             {make.result({c.n, c.b, columns}, c.result_layout)}, {}, scale);
  }
}

}  // namespace graft::conform
