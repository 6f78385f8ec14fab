#include "core/base/page_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <fstream>

#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

std::uint64_t resident() {
  std::uint64_t whole = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> whole >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

TEST(PageFile, WhatIsReleasedIsNotResidentAndNotLost) {
  const test::TemporaryFolder folder;
  const PageFile file = PageFile::make(folder.path(), 32 * kMiB + 5, "test");
  EXPECT_TRUE(fs::is_empty(folder.path()));  // it has no name
  const std::shared_ptr<void> at = file.at(3);
  auto* bytes = static_cast<unsigned char*>(at.get());
  const std::uint64_t before = resident();
  for (std::uint64_t i = 0; i < 32 * kMiB; ++i) {
    ASSERT_EQ(bytes[i], 0);
    bytes[i] = static_cast<unsigned char>(i % 251);
  }
  EXPECT_GT(resident(), before + 30 * kMiB);
  file.release(bytes, 32 * kMiB);
  EXPECT_LT(resident(), before + 2 * kMiB);
  for (std::uint64_t i = 0; i < 32 * kMiB; ++i) ASSERT_EQ(bytes[i], i % 251);
  file.release(bytes + 100, 0);
}

TEST(PageFile, LiesInTheFolderForTemporaryFilesWhereThereIsNoOther) {
  const test::TemporaryFolder folder;
  const PageFile file = PageFile::make(folder.path() / "none", 0, "test");
  EXPECT_TRUE(file);
  EXPECT_FALSE(fs::exists(folder.path() / "none"));
}

TEST(PageFile, SaysThatThereIsNoRoom) {
  const test::TemporaryFolder folder;
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{kMiB, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_ERROR_STATUS(PageFile::make(folder.path(), 3 * kMiB, "optimizer.paged"), GRAFT_E_IO,
                      "optimizer.paged: no file of 3.00 MiB can be made in '");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace graft::core
