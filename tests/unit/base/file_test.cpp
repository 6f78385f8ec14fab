#include "core/base/file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "tests/unit/base/expect_error.hpp"

namespace graft::core {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest()
      : folder_(fs::temp_directory_path() / cat("graft-file-", ::getpid())),
        path_(folder_ / "a.txt") {
    fs::create_directories(folder_);
  }
  ~FileTest() override { fs::remove_all(folder_); }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_, path_;
};

TEST_F(FileTest, WritesAndReadsBack) {
  write_file_atomically(path_, "one\n");
  EXPECT_EQ(read_file(path_), "one\n");
  write_file_atomically(path_, [](const Sink& sink) {
    sink("tw", 2);
    sink("o", 1);
  });
  EXPECT_EQ(read_file(path_), "two");
  EXPECT_EQ(MappedFile::open(path_).text(), "two");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, AMappingOutlivesItsFile) {
  write_file_atomically(path_, "kept");
  MappedFile copy;
  {
    const MappedFile file = MappedFile::open(path_);
    copy = file;
  }
  fs::remove(path_);
  EXPECT_EQ(copy.text(), "kept");
}

TEST_F(FileTest, NamesTheFileThatIsMissing) {
  EXPECT_ERROR_STATUS(MappedFile::open(path_), GRAFT_E_NOT_FOUND, path_.string());
  EXPECT_ERROR_STATUS(read_file(path_), GRAFT_E_NOT_FOUND, path_.string());
  EXPECT_ERROR_STATUS(MappedFile::open(folder_), GRAFT_E_IO, "Is a directory");
  EXPECT_ERROR_STATUS(write_file_atomically(folder_ / "no" / "x", "1"), GRAFT_E_NOT_FOUND, "/no/x");
}

TEST_F(FileTest, RefusesAFileThatIsTooLarge) {
  write_file_atomically(path_, "12345");
  EXPECT_EQ(read_file(path_, 5), "12345");
  EXPECT_ERROR(read_file(path_, 4), "larger than 4 bytes");
}

TEST_F(FileTest, EmptyFilesAreEmpty) {
  write_file_atomically(path_, "");
  EXPECT_TRUE(MappedFile::open(path_).bytes().empty());
  EXPECT_EQ(read_file(path_), "");
}

// A limit on file sizes stands for a full disk: write() fails half way.
TEST_F(FileTest, AFailedWriteLeavesWhatWasThere) {
  write_file_atomically(path_, "old");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 100, before.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_ERROR_STATUS(write_file_atomically(path_, std::string(1000, 'x')), GRAFT_E_IO, "a.txt");
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, AProducerThatThrowsLeavesWhatWasThere) {
  write_file_atomically(path_, "old");
  EXPECT_THROW(write_file_atomically(path_,
                                     [](const Sink& sink) {
                                       sink("new", 3);
                                       throw Error(GRAFT_E_INTERNAL, "no");
                                     }),
               Error);
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(files(), 1u);
}

}  // namespace
}  // namespace graft::core
