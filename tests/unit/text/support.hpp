// What the tests of core/text share.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "core/text/tokenizer.hpp"

namespace graft::core::testing_text {

inline fs::path golden(const std::string& name) {
  return fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data" / name;
}

/// A folder that is removed with the object.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "graft-text-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path write(const std::string& name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline Json tiny_json() {
  return Json::parse(read_file(golden("tiny-tokenizer/tokenizer.json")));
}

inline Tokenizer load_text(std::string_view tokenizer_json) {
  const Folder folder;
  folder.write("tokenizer.json", tokenizer_json);
  return Tokenizer::load(folder.path());
}

/// The tiny tokenizer with a change in the form of RFC 7396.
inline Tokenizer load_patched(const Json& patch) {
  Json file = tiny_json();
  file.merge_patch(patch);
  return load_text(file.dump());
}

/// The message of the Error that `action` throws.
template <class Action>
std::string error_of(Action action, graft_status status = GRAFT_E_INVALID) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), status) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Where the shared data lies, or skips the test.
#define SHARED_DATA_OR_SKIP(folder)                                 \
  const char* shared_root = std::getenv("GRAFT_SHARED");            \
  if (shared_root == nullptr) GTEST_SKIP() << "needs GRAFT_SHARED"; \
  const fs::path folder = fs::path(shared_root) / "data"

}  // namespace graft::core::testing_text
