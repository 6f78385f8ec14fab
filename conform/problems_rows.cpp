#include <algorithm>
#include <numeric>

#include "problems.hpp"

namespace graft::conform {
namespace {

struct Rows {
  const char* what;
  std::int64_t n, rows;  // of the table, of x or y
  Shape inner;
  Layout table, x, ids;
};

std::vector<Rows> cases() {
  return {
      {"no rows", 5, 0, {3}, {}, {}, {}},
      {"rows of nothing", 5, 4, {0}, {}, {}, {}},
      {"one element", 1, 1, {1}, {}, {}, {}},
      {"a table of single numbers", 9, 6, {}, {}, {}, {}},
      {"odd", 11, 7, {5}, {}, {}, {}},
      {"more rows than the table has", 3, 29, {7}, {}, {}, {}},
      {"rows of two axes", 6, 5, {3, 4}, {}, {}, {}},
      {"permuted table", 6, 5, {9}, reversed(2), {}, {}},
      {"permuted rows", 6, 5, {9}, {}, reversed(2), {}},
      {"padded", 6, 5, {9}, {{}, 1, 3, 0}, {{}, 1, 2, 0}, {}},
      {"strided", 6, 5, {3, 9}, {{}, 2, 0, 0}, {{}, 3, 0, 0}, {{}, 2, 0, 0}},
      {"large", 601, 517, {257}, {}, {}, {}},
      {"large, padded", 200, 700, {130}, {{}, 1, 9, 0}, {{}, 1, 3, 0}, {{}, 2, 0, 0}},
  };
}

Shape shape_of(std::int64_t rows, const Shape& inner) {
  Shape shape = inner;
  shape.insert(shape.begin(), rows);
  return shape;
}

}  // namespace

void gather_problems(Maker& make) {
  for (const Rows& c : cases()) {
    make.add(c.what,
             {make.real(shape_of(c.n, c.inner), c.table), make.random_ids(c.rows, c.n, c.ids)},
             {make.result(shape_of(c.rows, c.inner), c.x)}, {}, relative)
        .tolerance = one_rounding(GRAFT_F64);
  }
  std::vector<Operand> in = {make.real({4, 6}, {{}, 1, 0, 1}), make.random_ids(9, 4)};
  make.add("a table of stride 0", in, {make.result({9, 6})}, {}, relative).tolerance =
      one_rounding(GRAFT_F64);
  quantized_gather_problems(make);
}

void scatter_add_problems(Maker& make) {
  for (const Rows& c : cases()) {
    for (const std::uint32_t to : make.result_types()) {
      make.add(std::string(c.what) + (to != make.type() ? ", into f32" : ""),
               {make.real(shape_of(c.rows, c.inner), c.x), make.random_ids(c.rows, c.n, c.ids)},
               {Maker::result_as(to, shape_of(c.n, c.inner), c.table)}, {},
               magnitudes("scatter_add/1"));
      make.add_accumulating();
    }
  }
  make.add("all rows to one",
           {make.real({300, 33}), Maker::integers(std::vector<std::int32_t>(300, 2))},
           {make.result({5, 33})}, {}, magnitudes("scatter_add/1"));
  make.add("x of stride 0", {make.real({8, 6}, {{}, 1, 0, 1}), make.random_ids(8, 3)},
           {make.result({3, 6})}, {}, magnitudes("scatter_add/1"));
}

void write_rows_problems(Maker& make) {
  for (const Rows& c : cases()) {
    const std::int64_t rows = std::min(c.rows, c.n);
    // Each id once: which of two rows stays is nowhere said.
    std::vector<std::int32_t> ids(static_cast<std::size_t>(c.n));
    std::iota(ids.begin(), ids.end(), 0);
    for (std::size_t i = ids.size(); i > 1; --i)
      std::swap(ids[i - 1],
                ids[static_cast<std::size_t>(make.integer(0, static_cast<std::int64_t>(i) - 1))]);
    ids.resize(static_cast<std::size_t>(rows));
    Result table = make.result(shape_of(c.n, c.inner), c.table);
    table.before = make.real(shape_of(c.n, c.inner)).values;
    make.add(c.what, {make.real(shape_of(rows, c.inner), c.x), Maker::integers(ids, c.ids)},
             {table}, {}, relative)
        .tolerance = one_rounding(GRAFT_F64);
  }
}

}  // namespace graft::conform
