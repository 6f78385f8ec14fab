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
#include "tests/unit/base/temporary_folder.hpp"

namespace graft::core::testing_text {

using test::TemporaryFolder;

inline fs::path golden(const std::string& name) {
  return fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data" / name;
}

inline Json tiny_json() {
  return Json::parse(read_file(golden("tiny-tokenizer/tokenizer.json")));
}

inline Tokenizer load_text(std::string_view tokenizer_json) {
  const TemporaryFolder folder;
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
