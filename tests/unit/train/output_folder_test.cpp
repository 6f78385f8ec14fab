// Who may write an output folder, and that a checkpoint is whole or not there.
#include "core/train/output_folder.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/base/damage.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/model/tiny_model.hpp"
#include "tests/unit/train/flat_states.hpp"

namespace graft::core {
namespace {

using test::TemporaryFolder;

struct Saved {
  std::int64_t step;
  Json progress;
  std::vector<std::vector<float>> state;
};

Saved at_step(std::int64_t step) {
  const auto x = static_cast<float>(step);
  return {step, {{"tokens", step}, {"config", Json::object()}}, {{x, 0.5f}, {-x}}};
}

fs::path save(OutputFolder& out, const Saved& s, std::int64_t keep) {
  return out.save(s.step, s.progress, test::flat_states(s.state), keep);
}

TEST(OutputFolder, IsHeldByOneAtATime) {
  const TemporaryFolder folder;
  {
    const OutputFolder out(folder.path(), false, false);
    EXPECT_ERROR_STATUS(FolderLock(folder.path()), GRAFT_E_BUSY, "in use");
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));  // the lock leaves nothing behind
  const FolderLock again(folder.path());
}

TEST(OutputFolder, IsFreeAgainAfterARefusal) {
  const TemporaryFolder folder;
  test::write_file(folder.path() / "metrics.jsonl", "");
  EXPECT_ERROR_STATUS(OutputFolder(folder.path(), false, false), GRAFT_E_BUSY, "--resume");
  const FolderLock lock(folder.path());
}

// Processes that come and go: never two at once, however the removal of the lock file falls.
TEST(OutputFolder, ALockThatIsRemovedIsNotTaken) {
  const TemporaryFolder folder, marks;
  const auto contend = [&] {
    for (int i = 0; i < 400; ++i) {
      try {
        const FolderLock lock(folder.path());
        if (!fs::create_directory(marks.path() / "held")) return 1;
        ::usleep(20);
        fs::remove(marks.path() / "held");
      } catch (const Error& e) {
        if (e.status() != GRAFT_E_BUSY) return 2;
      }
    }
    return 0;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(contend());
    ASSERT_GT(child, 0);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

TEST(OutputFolder, KeepsTheNewestCheckpoints) {
  const TemporaryFolder folder;
  OutputFolder out(folder.path(), false, false);
  std::vector<fs::path> skipped;
  EXPECT_FALSE(out.newest(skipped));
  for (const std::int64_t step : {2, 999999, 1000000}) save(out, at_step(step), 2);
  EXPECT_FALSE(fs::exists(folder.path() / "checkpoints" / "step-000002"));
  const auto found = out.newest(skipped);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 1000000);  // by number, not by name
  EXPECT_EQ(found->progress, at_step(1000000).progress);
  EXPECT_EQ(test::values_of(found->state), at_step(1000000).state);
  EXPECT_TRUE(skipped.empty());
}

TEST(OutputFolder, WhatAKillLeftIsNoCheckpoint) {
  const TemporaryFolder folder;
  OutputFolder out(folder.path(), false, false);
  save(out, at_step(3), 2);
  fs::copy(folder.path() / "checkpoints" / "step-000003",
           folder.path() / "checkpoints" / "step-000004.tmp");
  std::vector<fs::path> skipped;
  EXPECT_EQ(out.newest(skipped)->step, 3);
  save(out, at_step(4), 2);
  EXPECT_EQ(out.newest(skipped)->step, 4);
  EXPECT_FALSE(fs::exists(folder.path() / "checkpoints" / "step-000004.tmp"));
}

}  // namespace
}  // namespace graft::core
