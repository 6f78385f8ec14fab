#include "problems.hpp"

namespace graft::conform {
namespace {

double p_of(const Problem& problem) {
  for (const graft_attr& one : problem.attrs)
    if (std::string_view(one.name) == "p") return one.f;
  return 0;
}

// The formula already fixes every bit; this looks at what the formula is for: a share of 1 - p
// stays, and the mean stays (x is 1 or more, so a 0 was dropped). Five standard deviations.
std::string share_kept(const Problem& problem, const std::vector<Values>& results) {
  const double p = p_of(problem), n = static_cast<double>(results[0].size());
  double kept = 0;
  for (const double y : results[0]) kept += y != 0;
  if (std::fabs(kept / n - (1 - p)) <= 5 * std::sqrt(p * (1 - p) / n)) return "";
  return "a share of " + std::to_string(kept / n) + " is kept, 1 - p is " + std::to_string(1 - p);
}

struct Dropout {
  const char* what;
  Shape shape;
  Layout layout, result_layout;
};

}  // namespace

void dropout_problems(Maker& make) {
  const Dropout cases[] = {
      {"no rows", {0, 5}, {}, {}},
      {"rows of nothing", {5, 0}, {}, {}},
      {"one element", {1, 1}, {}, {}},
      {"rows of single numbers", {9}, {}, {}},
      {"odd", {7, 13}, {}, {}},
      {"rows of two axes", {4, 3, 7}, {}, {}},
      {"permuted", {6, 11}, reversed(2), {}},
      {"permuted result", {6, 11}, {}, reversed(2)},
      {"rows of two axes, permuted", {4, 3, 7}, reversed(3), {}},
      {"strided", {6, 11}, {{}, 2, 0, 0}, {{}, 3, 1, 0}},
      {"padded", {6, 34}, {{}, 1, 5, 0}, {{}, 1, 2, 0}},
      {"x of stride 0", {6, 11}, {{}, 1, 0, 1}, {}},
      {"large", {301, 577}, {}, {}},
  };
  for (const Dropout& c : cases) {
    for (const double p : {0.0, 0.1, 0.5, 0.875}) {
      const std::int64_t rows = c.shape[0];
      std::vector<std::int32_t> words;  // any 32 bits, negative ones too
      for (std::int64_t i = 0; i < 2 * rows + 2; ++i)
        words.push_back(static_cast<std::int32_t>(make.integer(INT32_MIN, INT32_MAX)));
      Operand keys = Maker::integers(words, {{}, p == 0.5 ? 2 : 1, 0, 0});
      keys.values.resize(static_cast<std::size_t>(2 * rows));
      keys.shape = {rows, 2};
      std::vector<Operand> in = {make.real(c.shape, c.layout, 1, 3), keys,
                                 Maker::integers({words[0], words[1]})};
      const std::vector<graft_attr> attrs = {attr_real("p", p),
                                             attr("stream", make.integer(0, 4000000000))};
      const std::string what = std::string(c.what) + ", p " + std::to_string(p).substr(0, 5);
      Problem& problem =
          make.add(what, in, {make.result(c.shape, c.result_layout)}, attrs, relative);
      if (count_of(c.shape) > 100000) problem.also = share_kept;
      if (c.layout.broadcast) continue;
      make.add(what + ", in place", in, {Maker::in_place(in, 0)}, attrs, relative);
    }
  }
}

}  // namespace graft::conform
