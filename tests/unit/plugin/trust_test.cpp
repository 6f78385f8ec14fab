#include "core/plugin/trust.hpp"

#include <unistd.h>

#include "tests/unit/plugin/expect.hpp"
#include "tests/unit/plugin/folder.hpp"

namespace graft::core {
namespace {

using test::expect_error;
using test::Folder;
using test::hostile;

TEST(Trust, TakesAFileThatOnlyItsOwnerMayWrite) {
  const Folder folder;
  const fs::path file = folder.add(hostile("good"));
  EXPECT_EQ(trusted_file(folder.path(), file), file);
}

TEST(Trust, RefusesAFileThatOthersMayWrite) {
  const Folder folder;
  const fs::path file = folder.add(hostile("good"));
  for (const unsigned mode : {0666u, 0664u, 0646u}) {
    fs::permissions(file, fs::perms(mode));
    expect_error([&] { trusted_file(folder.path(), file); }, GRAFT_E_DENIED,
                 {"the file may be written by others (mode 0", "chmod go-w '" + file.string()});
  }
}

TEST(Trust, RefusesAFolderAboveThatOthersMayWrite) {
  const Folder folder;
  const fs::path inner = folder.path() / "a" / "b";
  fs::create_directories(inner);
  fs::copy_file(hostile("good"), inner / "x.so");
  fs::permissions(inner / "x.so", fs::perms(0644));
  EXPECT_NO_THROW(trusted_file(inner, inner / "x.so"));
  fs::permissions(folder.path() / "a", fs::perms(0775));
  expect_error(
      [&] { trusted_file(inner, inner / "x.so"); }, GRAFT_E_DENIED,
      {"the folder " + (folder.path() / "a").string() + " may be written by others", "mode 0775"});
}

TEST(Trust, OnlyTheStickyFolderOfRootIsFineForOthersToWrite) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give a folder away";
  const Folder folder;
  const fs::path inner = folder.path() / "a";
  fs::create_directory(inner);
  fs::copy_file(hostile("good"), inner / "x.so");
  fs::permissions(inner / "x.so", fs::perms(0644));
  fs::permissions(inner, fs::perms(01777));
  EXPECT_NO_THROW(trusted_file(inner, inner / "x.so"));
  fs::permissions(inner, fs::perms(0777));
  expect_error([&] { trusted_file(inner, inner / "x.so"); }, GRAFT_E_DENIED, {"mode 0777"});
  fs::permissions(inner, fs::perms(01777));
  ASSERT_EQ(chown(inner.c_str(), 54321, 0), 0);
  expect_error([&] { trusted_file(inner, inner / "x.so"); }, GRAFT_E_DENIED,
               {"may be written by others (mode 1777)"});
}

TEST(Trust, RefusesWhatBelongsToSomebodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  const Folder folder;
  const fs::path file = folder.add(hostile("good"));
  ASSERT_EQ(chown(file.c_str(), 54321, 0), 0);
  expect_error([&] { trusted_file(folder.path(), file); }, GRAFT_E_DENIED,
               {"the file belongs to uid 54321", "chown root '" + file.string()});
}

TEST(Trust, RefusesALinkThatLeavesTheFolder) {
  const Folder folder, elsewhere;
  const fs::path target = elsewhere.add(hostile("good"));
  const fs::path link = folder.path() / "libgraft-method-good.so";
  fs::create_symlink(target, link);
  expect_error([&] { trusted_file(folder.path(), link); }, GRAFT_E_DENIED,
               {"a link that leaves its folder", target.string(), "cp --remove-destination"});
}

TEST(Trust, FollowsALinkInsideTheFolder) {
  const Folder folder;
  const fs::path target = folder.add(hostile("good"), "libgraft-method-good.so.1");
  fs::create_symlink(target.filename(), folder.path() / "libgraft-method-good.so");
  EXPECT_EQ(trusted_file(folder.path(), folder.path() / "libgraft-method-good.so"), target);
}

TEST(Trust, SaysWhenTheFileIsNotThereOrIsNoFile) {
  const Folder folder;
  expect_error([&] { trusted_file(folder.path(), folder.path() / "x.so"); }, GRAFT_E_NOT_FOUND,
               {"x.so", "No such file"});
  fs::create_symlink("nowhere", folder.path() / "broken.so");
  expect_error([&] { trusted_file(folder.path(), folder.path() / "broken.so"); }, GRAFT_E_NOT_FOUND,
               {"broken.so"});
  fs::create_directory(folder.path() / "d.so");
  expect_error([&] { trusted_file(folder.path(), folder.path() / "d.so"); }, GRAFT_E_DENIED,
               {"not a regular file"});
}

}  // namespace
}  // namespace graft::core
