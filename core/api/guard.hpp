// The border: C++ inside, statuses outside.
#pragma once
#include <graft/graft.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <new>
#include <string>

#include "core/base/error.hpp"
#include "core/base/put_error.hpp"

/// A text result.
struct graft_text {
  std::string text;
};

namespace graft::core {

/// Runs the body of an exported function: the only place where exceptions become statuses. The body
/// returns nothing (GRAFT_OK) or a graft_status.
template <class Body>
graft_status guard(graft_error* error, Body&& body) noexcept {
  try {
    if constexpr (std::is_void_v<decltype(body())>) {
      body();
      return GRAFT_OK;
    } else {
      return body();
    }
  } catch (const Error& e) {
    // An answer that is no error for a part of the core is one here: the caller gets no result.
    return put_error(error, e.status() < 0 ? e.status() : graft_status{GRAFT_E_INVALID}, e.what());
  } catch (const std::filesystem::filesystem_error& e) {
    const std::string text =
        cat("cannot use '", e.path1().string(), "': ", e.code().message(), ".");
    return put_error(error, GRAFT_E_IO, text.c_str());
  } catch (const std::bad_alloc&) {
    return put_error(error, GRAFT_E_NO_MEMORY, "out of memory.");
  } catch (const std::exception& e) {
    return put_error(error, GRAFT_E_INTERNAL, e.what());
  } catch (...) {
    return put_error(error, GRAFT_E_INTERNAL, "an unknown exception.");
  }
}

/// *pointer, or GRAFT_E_INVALID naming the argument.
template <class T>
T& require(T* pointer, const char* name) {
  if (!pointer) throw Error(GRAFT_E_INVALID, cat("the argument '", name, "' is NULL."));
  return *pointer;
}

inline std::string require_text(const char* text, const char* name) {
  return &require(text, name);
}

/// Hands a text to the caller.
inline void give(graft_text** out, std::string text) {
  require(out, "out");
  *out = new graft_text{std::move(text)};
}

}  // namespace graft::core
