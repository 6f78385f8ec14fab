// Files that were cut off or changed: every length, every byte.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "core/base/error.hpp"
#include "core/base/file.hpp"

namespace graft::core::test {

/// A file without the pains that keep it whole: thousands of them are written.
inline fs::path write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
  return path;
}

/// Runs `body`, which may throw an Error, but none that tells of a defect; no other exception.
/// Whether it threw nothing.
template <class Body>
bool must_not_break(const Body& body) {
  try {
    body();
    return true;
  } catch (const Error& e) {
    EXPECT_NE(e.status(), GRAFT_E_INTERNAL) << e.what();
    EXPECT_STRNE(e.what(), "");
  } catch (const std::exception& e) {
    ADD_FAILURE() << e.what();
  }
  return false;
}

/// How many damaged texts were taken as good.
struct Taken {
  std::size_t cuts = 0, changes = 0;
};

/// Calls use(text) with every `step`-th prefix of `whole`, and with every `step`-th byte changed in
/// four ways.
template <class Use>
Taken damage(const std::string& whole, const Use& use, std::size_t step = 1) {
  const auto takes = [&](const std::string& text) {
    const bool taken = must_not_break([&] { use(text); });
    if (!taken && testing::Test::HasFailure()) ADD_FAILURE() << "from: " << text.substr(0, 2000);
    return taken;
  };
  EXPECT_TRUE(takes(whole));
  Taken taken;
  for (std::size_t size = 0; size < whole.size(); size += step) {
    taken.cuts += takes(whole.substr(0, size)) ? 1 : 0;
  }
  for (std::size_t at = 0; at < whole.size(); at += step) {
    for (const unsigned char change : {0x01, 0x10, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      taken.changes += takes(damaged) ? 1 : 0;
    }
  }
  return taken;
}

}  // namespace graft::core::test
