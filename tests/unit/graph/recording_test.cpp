// What may be recorded and what is refused; views; the op table of plugins.
#include <gtest/gtest.h>

#include <random>

#include "core/graph/ctx.hpp"
#include "core/graph/layout.hpp"
#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

class RecordingTest : public testing::Test {
 protected:
  ValueId weight(Shape shape, std::uint32_t dtype = GRAFT_F32) {
    return r.leaf(Role::kWeight, slots_++, dtype, std::move(shape), "w");
  }

  Graph graph;
  Recorder r{graph};

 private:
  std::int32_t slots_ = 0;
};

TEST_F(RecordingTest, RefusalsNameSiteAndShapes) {
  r.at("model.layers.3.mlp.up_proj", 3);
  const ValueId a = weight({Symbol::kRows, 4}), b = weight({5, 6});
  EXPECT_ERROR(r.matmul(a, b), "matmul at 'model.layers.3.mlp.up_proj'");
  EXPECT_ERROR(r.matmul(a, b), "the inner extents 4 and 5 differ");
  EXPECT_ERROR(r.matmul(a, b), "[rows, 4]");
  EXPECT_ERROR(r.add(a, b), "extents 4 and 6 do not broadcast");
  EXPECT_ERROR(r.reshape(a, {4, 3}), "the number of elements differs");
  EXPECT_ERROR(r.slice(a, 0, 0, 1), "cannot be sliced");
  EXPECT_ERROR(r.slice(b, 1, 4, 7), "[4, 7)");
  EXPECT_ERROR(r.concat({b, a}, 0), "varies");
  EXPECT_ERROR(r.permute(b, {0, 0}), "permutation");
  EXPECT_ERROR(r.sum(b, 2, true), "axis 2 does not exist");
  EXPECT_ERROR(r.dropout(b, 1.0), "p is 1");
  EXPECT_ERROR(r.act(b, 99), "unknown kind 99");
  EXPECT_ERROR_STATUS(r.one("mull", {a, b}), GRAFT_E_NOT_FOUND, "'mull'");
  EXPECT_ERROR(r.one("add", {a}), "takes 2 to 2 inputs, not 1");
  EXPECT_ERROR(r.one("act", {a}), "needs the attribute 'kind'");
  EXPECT_ERROR(r.one("add", {a, a}, {{"alpha", 0, 1}}), "has no attribute 'alpha'");
}

TEST_F(RecordingTest, RefusesMixedDtypes) {
  const ValueId wide = weight({4, 4}), narrow = weight({4, 4}, GRAFT_BF16);
  EXPECT_ERROR(r.add(wide, narrow), "input 1 is bf16 but input 0 is f32; cast one of them");
  EXPECT_ERROR(r.matmul(narrow, wide), "cast");
  EXPECT_EQ(r.dtype(r.add(wide, r.cast(narrow, GRAFT_F32))), std::uint32_t{GRAFT_F32});
}

TEST_F(RecordingTest, ExtentsAreLinearForms) {
  const Extent rows = Symbol::kRows, sequences = Symbol::kSequences;
  Bindings b;
  b.value = {7, 3, 2};
  EXPECT_EQ((rows * 2 + sequences + 1).at(b), 18);
  EXPECT_EQ(to_string(rows * 2 + sequences + 1), "2*rows + sequences + 1");
  EXPECT_EQ(to_string(Shape{rows, 64}), "[rows, 64]");
  // Equal numbers by accident are not equal extents.
  const ValueId x = weight({Symbol::kRows, 4});
  EXPECT_ERROR(r.add(x, weight({Symbol::kSupervised, 4})), "rows and supervised do not broadcast");
  EXPECT_EQ(r.shape(r.reshape(x, {Extent(Symbol::kRows) * 2, 2})), (Shape{rows * 2, 2}));
}

TEST_F(RecordingTest, TheSameLeafIsOneValue) {
  const ValueId a = r.leaf(Role::kParameter, 3, GRAFT_F32, {4}, "p");
  EXPECT_EQ(r.leaf(Role::kParameter, 3, GRAFT_F32, {4}, "p"), a);
  EXPECT_NE(r.leaf(Role::kWeight, 3, GRAFT_F32, {4}, "p"), a);
  EXPECT_EQ(r.input("ids", GRAFT_I32, {4}), r.input("ids", GRAFT_I32, {4}));
}

// ---- views: every chain looks at the elements that a copy would have ---------------------------

std::vector<std::int64_t> elements(const Layout& l) {
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < l.count(); ++i) {
    std::int64_t rest = i, at = l.offset;
    for (int k = l.axes - 1; k >= 0; --k) {
      const auto axis = static_cast<std::size_t>(k);
      at += rest % l.shape[axis] * l.stride[axis];
      rest /= l.shape[axis];
    }
    result.push_back(at);
  }
  return result;
}

TEST_F(RecordingTest, ReshapesOfViewsAreViewsExactlyWhereStridesExist) {
  const std::vector<Shape> shapes = {{24},         {4, 6},       {2, 3, 4}, {1, 24}, {3, 1, 8},
                                     {2, 2, 2, 3}, {6, 1, 4, 1}, {12, 2},   {8, 3}};
  const Bindings none;
  int views = 0, copies = 0;
  const auto check = [&](ValueId x, const Layout& l) {
    const std::vector<std::int64_t> before = elements(l);
    for (const Shape& shape : shapes) {
      if (count(shape, none) != l.count()) continue;
      const ValueId y = r.reshape(x, shape);
      if (y == x) continue;
      const auto made = view_layout(graph.nodes.back(), l, shape, none);
      // Whether any strides walk the elements in order: try those of the first step of each axis.
      Layout tried = dense_layout(shape, none);
      tried.offset = l.offset;
      std::int64_t step = 1;
      for (std::size_t k = shape.size(); k-- > 0;) {
        const auto at = static_cast<std::size_t>(step);
        tried.stride[k] = tried.shape[k] == 1 ? 0 : before[at] - before[0];
        step *= tried.shape[k];
      }
      const bool possible = elements(tried) == before;
      EXPECT_EQ(made.has_value(), possible) << to_string(r.shape(x)) << " to " << to_string(shape);
      if (made) {
        EXPECT_EQ(elements(*made), before);
      }
      ++(made ? views : copies);
    }
  };
  const ValueId cube = weight({2, 3, 4}), wide = weight({4, 9}), flat = weight({3, 8});
  for (const std::vector<std::int32_t>& axes : std::vector<std::vector<std::int32_t>>{
           {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    const ValueId x = r.permute(cube, axes);
    check(x, *view_layout(graph.nodes.back(), dense_layout({2, 3, 4}, none), r.shape(x), none));
  }
  const ValueId cut = r.slice(wide, 1, 2, 8);
  check(cut, *view_layout(graph.nodes.back(), dense_layout({4, 9}, none), r.shape(cut), none));
  const ValueId one = r.slice(flat, 0, 1, 2);
  const ValueId many = r.expand(one, {3, 8});
  Layout l = dense_layout({3, 8}, none);
  l.offset = 8;
  l.shape[0] = 1;
  check(many, *view_layout(graph.nodes.back(), l, r.shape(many), none));
  EXPECT_GT(views, 10);
  EXPECT_GT(copies, 10);
}

// ---- graft_ctx ---------------------------------------------------------------------------------

class OpsContextTest : public RecordingTest {
 protected:
  OpsContext ctx{r, [](std::int32_t) -> ValueId { throw Error(GRAFT_E_INVALID, "no parameters"); }};
  graft_ctx* c = ctx.c_ctx();
  const graft_ops_api& ops = *c->ops;
};

TEST_F(OpsContextTest, TheFirstErrorSticks) {
  graft_tensor* a = ctx.handle(weight({2, 3}));
  graft_tensor* b = ctx.handle(weight({4, 5}));
  EXPECT_EQ(ops.status(c), GRAFT_OK);
  EXPECT_EQ(ops.matmul(c, a, b, 0), nullptr);
  EXPECT_EQ(ops.status(c), GRAFT_E_INVALID);
  const std::size_t nodes = graph.nodes.size();
  EXPECT_EQ(ops.add(c, a, a), nullptr);  // nothing is recorded any more
  EXPECT_EQ(graph.nodes.size(), nodes);
  ops.fail(c, GRAFT_E_STATE, "later");
  EXPECT_EQ(ops.dim(c, a, 0), 0);
  EXPECT_ERROR(ctx.rethrow("method x"), "method x: matmul");
}

TEST_F(OpsContextTest, NullFlowsThroughAsAnError) {
  graft_tensor* a = ctx.handle(weight({2, 3}));
  EXPECT_EQ(ops.add(c, a, nullptr), nullptr);
  EXPECT_EQ(ops.act(c, ops.mul(c, nullptr, a), GRAFT_ACT_RELU), nullptr);
  EXPECT_ERROR(ctx.rethrow("x"), "NULL");
}

TEST_F(OpsContextTest, NullListsAreErrors) {
  graft_tensor* a = ctx.handle(weight({2, 3}));
  {
    OpsContext own(r, nullptr);
    EXPECT_EQ(ops.permute(own.c_ctx(), a, nullptr, 2), nullptr);
    EXPECT_EQ(own.status(), GRAFT_E_INVALID);
  }
  OpsContext own(r, nullptr);
  EXPECT_EQ(ops.concat(own.c_ctx(), nullptr, 2, 0), nullptr);
  EXPECT_EQ(own.status(), GRAFT_E_INVALID);
}

TEST_F(OpsContextTest, RefusesValuesOfAnotherRecording) {
  Graph other_graph;
  Recorder other(other_graph);
  OpsContext foreign(other, nullptr);
  graft_tensor* theirs = foreign.handle(other.input("x", GRAFT_F32, {3}));
  graft_tensor* ours = ctx.handle(weight({3}));
  EXPECT_EQ(ops.add(c, ours, theirs), nullptr);
  EXPECT_ERROR_STATUS(ctx.rethrow("x"), GRAFT_E_STATE, "another recording");
}

TEST_F(OpsContextTest, ExtentsThatVaryAreSymbolsNotNumbers) {
  graft_tensor* x = ctx.handle(r.input("x", GRAFT_F32, {Symbol::kRows, 6}));
  const std::int64_t rows = ops.dim(c, x, 0);
  EXPECT_LT(rows, 0);
  EXPECT_EQ(ops.dim(c, x, -2), rows);
  EXPECT_EQ(ops.dim(c, x, 1), 6);
  EXPECT_EQ(ops.rank(c, x), 2u);
  EXPECT_EQ(ops.dtype(c, x), std::uint32_t{GRAFT_F32});
  const std::int64_t dims[] = {rows, 2, 3};
  graft_tensor* y = ops.reshape(c, x, dims, 3);
  ASSERT_NE(y, nullptr);
  EXPECT_EQ(r.shape(ctx.value(y)), (Shape{Symbol::kRows, 2, 3}));
  const std::int64_t unknown[] = {-77, 6};
  EXPECT_EQ(ops.reshape(c, x, unknown, 2), nullptr);
  EXPECT_ERROR(ctx.rethrow("x"), "-77 is no symbol");
}

TEST_F(OpsContextTest, CallRecordsAnyOpByName) {
  graft_tensor* in[] = {ctx.handle(weight({2, 3})), ctx.handle(weight({3, 4}))};
  graft_tensor* out[] = {nullptr};
  graft_attr attrs[] = {{"alpha", nullptr, 0, 0.5}};
  EXPECT_EQ(ops.call(c, "matmul", in, 2, attrs, 1, out, 1), GRAFT_OK);
  ASSERT_NE(out[0], nullptr);
  EXPECT_EQ(attr(graph.nodes.back().params, "alpha").f, 0.5);
  EXPECT_EQ(ops.call(c, "matmull", in, 2, nullptr, 0, out, 1), GRAFT_E_NOT_FOUND);
}

}  // namespace
}  // namespace graft::core
