#include "problems.hpp"

namespace graft::conform {
namespace {

struct Size {
  std::int64_t m, k, n;
};

struct Layouts {
  const char* what;
  Layout a, b, c;
};

void one(Maker& make, const std::string& what, const Shape& leading, Size size,
         const Layouts& layouts, bool with_bias, const Layout& bias_layout = {}) {
  const auto shape = [&](std::int64_t rows, std::int64_t columns) {
    Shape out = leading;
    out.push_back(rows);
    out.push_back(columns);
    return out;
  };
  for (const std::uint32_t to : make.result_types()) {
    std::vector<Operand> in = {make.real(shape(size.m, size.k), layouts.a, -1, 1),
                               make.real(shape(size.k, size.n), layouts.b, -1, 1)};
    if (with_bias) in.push_back(make.real({size.n}, bias_layout));
    std::string text = what + text_of(leading) + (leading.empty() ? "" : " of ") +
                       text_of({size.m, size.k, size.n}) + layouts.what +
                       (with_bias ? ", bias" : "") + (to != make.type() ? ", into f32" : "");
    Problem& problem = make.add(text, in, {Maker::result_as(to, shape(size.m, size.n), layouts.c)},
                                {attr_real("alpha", 0.7)}, magnitudes("matmul/1"));
    const auto rows_axis = static_cast<std::int32_t>(leading.size());
    if (size.m > 2)
      problem.fewer_rows = {{false, 0, rows_axis, size.m / 3}, {true, 0, rows_axis, size.m / 3}};
    make.add_accumulating();
  }
}

}  // namespace

void matmul_problems(Maker& make) {
  const Layouts dense{"", {}, {}, {}};
  const Layouts b_transposed{", b transposed", {}, reversed(2), {}};
  const Layouts a_transposed{", a transposed", reversed(2), {}, {}};
  const Layouts both{", a and b transposed", reversed(2), reversed(2), {}};
  const Layouts padded{", padded", {{}, 1, 3, 0}, {{}, 1, 5, 0}, {{}, 1, 7, 0}};
  const Layouts strided{", a and b of step 2 and 3", {{}, 2, 0, 0}, {{}, 3, 1, 0}, {}};
  const Layouts flat{", a and b of stride 0", {{}, 1, 0, 1}, {{}, 1, 0, 2}, {}};

  for (const Size size : {Size{1, 1, 1}, Size{2, 3, 4}, Size{0, 3, 4}, Size{2, 0, 4}, Size{2, 3, 0},
                          Size{1, 64, 33}, Size{17, 31, 13}, Size{5, 128, 1}, Size{64, 64, 64}}) {
    for (const Layouts& layouts : {dense, b_transposed, a_transposed, both, padded}) {
      one(make, "", {}, size, layouts, false);
      one(make, "", {}, size, layouts, true);
    }
  }
  one(make, "", {}, {9, 14, 11}, strided, true, {{}, 2, 0, 0});
  one(make, "", {}, {9, 14, 11}, flat, true, {{}, 1, 0, 1});

  // Batches: dense, shared operands, heads that lie between the rows.
  one(make, "", {3}, {5, 7, 9}, dense, false);
  one(make, "", {3}, {5, 7, 9}, {", one b", {}, {{}, 1, 0, 1}, {}}, true);
  one(make, "", {3}, {5, 7, 9}, {", one a", {{}, 1, 0, 1}, {}, {}}, false);
  one(make, "", {0}, {5, 7, 9}, dense, false);
  one(make, "", {2, 3}, {4, 6, 8},
      {", a and b shared along other axes", {{}, 1, 0, 1}, {{}, 1, 0, 2}, {}}, false);
  one(make, "", {4}, {33, 16, 20},
      {", heads between rows", {{1, 0, 2}, 1, 0, 0}, {{2, 0, 1}, 1, 0, 0}, {{1, 0, 2}, 1, 0, 0}},
      false);

  // Large enough for threads and tiles; thin as an adapter is.
  one(make, "", {}, {300, 517, 259}, dense, true);
  one(make, "", {}, {300, 517, 259}, b_transposed, false);
  one(make, "", {}, {259, 301, 130}, a_transposed, false);
  one(make, "", {}, {131, 64, 700}, padded, false);
  one(make, "", {}, {513, 96, 16}, b_transposed, false);
  one(make, "", {}, {513, 16, 96}, dense, false);
  one(make, "", {}, {16, 513, 300}, a_transposed, false);
  one(make, "", {}, {1, 600, 1000}, b_transposed, true);
  one(make, "", {9}, {130, 64, 131},
      {", heads between rows", {{1, 0, 2}, 1, 0, 0}, {{2, 0, 1}, 1, 0, 0}, {}}, false);
  quantized_matmul_problems(make);
}

}  // namespace graft::conform
