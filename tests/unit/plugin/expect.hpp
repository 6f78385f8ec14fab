#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "core/base/error.hpp"

namespace graft::core::test {

/// f() throws Error of this status, and its text has all the parts.
template <class F>
void expect_error(F&& f, graft_status status, std::initializer_list<std::string> parts) {
  try {
    f();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), status) << e.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
          << "the error says: " << e.what() << "\nand should say: " << part;
    }
  }
}

}  // namespace graft::core::test
