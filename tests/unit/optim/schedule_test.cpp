// The formulas of transformers' get_*_schedule_with_warmup.
#include "core/optim/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

TEST(Schedule, WarmsUpFromZero) {
  for (const char* kind : {"constant", "linear", "cosine"}) {
    const Schedule s{kind, 4, 20};
    EXPECT_EQ(s.factor(0), 0.0) << kind;
    EXPECT_EQ(s.factor(1), 0.25) << kind;
    EXPECT_EQ(s.factor(3), 0.75) << kind;
    EXPECT_EQ(s.factor(4), 1.0) << kind;
  }
}

TEST(Schedule, StartsAtOneWithoutWarmup) {
  for (const char* kind : {"constant", "linear", "cosine"}) {
    EXPECT_EQ((Schedule{kind, 0, 10}.factor(0)), 1.0) << kind;
  }
}

TEST(Schedule, FallsAsItsNameSays) {
  const Schedule constant{"constant", 4, 20}, linear{"linear", 4, 20}, cosine{"cosine", 4, 20};
  EXPECT_EQ(constant.factor(19), 1.0);
  EXPECT_DOUBLE_EQ(linear.factor(8), 12.0 / 16);
  EXPECT_DOUBLE_EQ(linear.factor(19), 1.0 / 16);
  EXPECT_DOUBLE_EQ(cosine.factor(8), 0.5 * (1 + std::cos(std::acos(-1.0) * 4 / 16)));
  EXPECT_DOUBLE_EQ(cosine.factor(12), 0.5);
  EXPECT_GT(cosine.factor(19), 0.0);
}

TEST(Schedule, StaysAtZeroBehindItsEnd) {
  EXPECT_EQ((Schedule{"linear", 4, 20}.factor(25)), 0.0);
  EXPECT_EQ((Schedule{"linear", 0, 0}.factor(3)), 0.0);  // a total that is not above the warm-up
  EXPECT_NEAR((Schedule{"cosine", 4, 20}.factor(20)), 0.0, 1e-15);
}

TEST(Schedule, RefusesAnUnknownKind) {
  EXPECT_ERROR((Schedule{"step", 0, 10}.factor(1)), "'step' is not constant, linear or cosine");
}

}  // namespace
}  // namespace graft::core
