// EXPECT_ERROR(statement, part): the statement throws Error(GRAFT_E_INVALID) whose text has `part`.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.hpp"

#define EXPECT_ERROR_STATUS(statement, code, part)                             \
  try {                                                                        \
    statement;                                                                 \
    ADD_FAILURE() << "no error from " #statement;                              \
  } catch (const ::graft::core::Error& error) {                                \
    EXPECT_EQ(error.status(), code);                                           \
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)         \
        << "the error says: " << error.what() << "\nand should say: " << part; \
  }

#define EXPECT_ERROR(statement, part) EXPECT_ERROR_STATUS(statement, GRAFT_E_INVALID, part)
