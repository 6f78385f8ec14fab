#include "problems.hpp"

namespace graft::conform {
namespace {

// (|x1| + |x2|) scale, and as much of it as the angle's own rounding in F32 turns the pair.
std::vector<Values> rope_scale(const Problem& problem, const std::vector<Values>&) {
  const Operand& x = problem.in[0];
  const Values &positions = problem.in[1].values, &inv_freq = problem.in[2].values;
  const std::int64_t heads = x.shape[1], d = x.shape[2];
  const std::int64_t half = problem.in[2].shape.back();
  const bool by_row = problem.in[2].shape.size() == 2;
  const double angle_unit = x.dtype == GRAFT_BF16 ? 0x1p-16 : 1;  // of T's own unit
  double factor = 1;
  for (const graft_attr& one : problem.attrs)
    if (std::string_view(one.name) == "scale") factor = one.f;
  Values scale(x.values.size());
  for (std::size_t i = 0; i < scale.size(); ++i) {
    const auto e = static_cast<std::int64_t>(i) % d;
    const auto row = static_cast<std::int64_t>(i) / (d * heads);
    if (e >= 2 * half) {
      scale[i] = std::fabs(x.values[i]);
      continue;
    }
    const std::int64_t pair = e < half ? e : e - half;
    const std::size_t first = i - static_cast<std::size_t>(e - pair);
    const double angle = std::fabs(positions[row] * inv_freq[by_row ? row * half + pair : pair]);
    scale[i] = factor * (1 + 0.1 * angle * angle_unit) *
               (std::fabs(x.values[first]) + std::fabs(x.values[first + half]));
  }
  return {scale};
}

struct Rope {
  const char* what;
  std::int64_t rows, heads, d, rotary;
  Layout layout, result_layout;
};

}  // namespace

void rope_problems(Maker& make) {
  const Rope cases[] = {
      {"no rows", 0, 3, 8, 8, {}, {}},
      {"one pair", 1, 1, 2, 2, {}, {}},
      {"no heads", 4, 0, 8, 8, {}, {}},
      {"nothing rotates", 3, 2, 6, 0, {}, {}},
      {"odd", 7, 3, 10, 10, {}, {}},
      {"a part rotates", 7, 3, 13, 6, {}, {}},
      {"heads between rows", 9, 4, 16, 16, {{1, 0, 2}, 1, 0, 0}, {}},
      {"heads between rows of the result", 9, 4, 16, 16, {}, {{1, 0, 2}, 1, 0, 0}},
      {"out of a wider row", 9, 4, 32, 32, {{}, 1, 11, 0}, {{}, 1, 4, 0}},
      {"every second element", 5, 2, 8, 6, {{}, 2, 0, 0}, {{}, 3, 0, 0}},
      {"permuted", 5, 2, 8, 8, reversed(3), {}},
      {"large", 300, 9, 64, 64, {}, {}},
      {"large, a part rotates", 260, 5, 80, 32, {}, {}},
  };
  for (const Rope& c : cases) {
    for (const bool inverse : {false, true}) {
      const Shape shape = {c.rows, c.heads, c.d};
      std::vector<std::int32_t> positions;
      for (std::int64_t r = 0; r < c.rows; ++r)
        positions.push_back(static_cast<std::int32_t>(r == 0 ? 0 : make.integer(0, 2000)));
      std::vector<Operand> in = {make.real(shape, c.layout),
                                 Maker::integers(positions, {{}, inverse ? 2 : 1, 0, 0}),
                                 make.real_as(GRAFT_F32, {c.rotary / 2}, {}, 0, 1)};
      for (std::size_t i = 0; i < in[2].values.size(); ++i)
        in[2].values[i] =
            std::pow(1e4, -2.0 * static_cast<double>(i) / static_cast<double>(c.rotary));
      in[2].values = rounded(in[2].values, GRAFT_F32);
      in[2].keeps_dtype = true;
      std::vector<graft_attr> attrs = {attr_real("scale", inverse ? 1.25 : 1),
                                       attr("inverse", inverse)};
      const std::string what = c.what + std::string(inverse ? ", inverse, scaled" : "");
      const double share = make.type() == GRAFT_BF16 && count_of(shape) > 5000 ? 0.98 : 0;
      make.add(what, in, {make.result(shape, c.result_layout)}, attrs, rope_scale).equal_share =
          share;
      make.add(what + ", in place", in, {Maker::in_place(in, 0)}, attrs, rope_scale).equal_share =
          share;
    }
  }
  // One position for all rows.
  std::vector<Operand> in = {make.real({6, 2, 8}), Maker::integers({5, 5, 5, 5, 5, 5}),
                             make.real_as(GRAFT_F32, {4}, {}, 0.1, 1)};
  in[1].layout.broadcast = 1;
  in[2].keeps_dtype = true;
  make.add("positions of stride 0", in, {make.result({6, 2, 8})},
           {attr_real("scale", 1), attr("inverse", 0)}, rope_scale);
  // Frequencies of each row.
  in = {make.real({6, 2, 13}), Maker::integers({5, 0, 1, 700, 3, 4}),
        make.real_as(GRAFT_F32, {6, 5}, {}, 0.1, 1)};
  in[2].keeps_dtype = true;
  make.add("frequencies by row", in, {make.result({6, 2, 13})},
           {attr_real("scale", 1.5), attr("inverse", 0)}, rope_scale);
}

}  // namespace graft::conform
