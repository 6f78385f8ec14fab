# graft_precompiled(TARGET HEADERS...): TARGET is compiled with the headers read beforehand; targets that
# give the same list in the same folder share them. Only in the build with sanitizers, whose time is mostly
# spent in the library's headers; the other builds see whether each file includes what it uses.
include_guard(GLOBAL)
set(GRAFT_PRECOMPILED <algorithm> <filesystem> <functional> <map> <memory> <optional> <set> <span> <string>
    <string_view> <vector> ${PROJECT_SOURCE_DIR}/core/base/json.hpp)

function(graft_precompiled target)
  if(NOT GRAFT_SANITIZE)
    return()
  endif()
  string(MD5 key "${CMAKE_CURRENT_SOURCE_DIR};${ARGN}")
  get_property(first GLOBAL PROPERTY graft_precompiled_${key})
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
    set_property(GLOBAL PROPERTY graft_precompiled_${key} ${target})
  endif()
endfunction()
