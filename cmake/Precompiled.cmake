# graft_precompiled(<target> <shared> LIBRARIES <target>... [HEADERS <header>...]): `target` is compiled with
# common headers, and these, read beforehand: once, by the library `shared`. Only in the build with
# sanitizers, whose time is mostly spent in the library's headers; the other builds see whether each file
# includes what it uses.
include_guard(GLOBAL)

function(graft_precompiled target shared)
  if(NOT GRAFT_SANITIZE)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 2 ARG "" "" "LIBRARIES;HEADERS")
  if(NOT TARGET ${shared})
    add_library(${shared} OBJECT ${PROJECT_SOURCE_DIR}/cmake/empty.cpp)
    target_link_libraries(${shared} PRIVATE ${ARG_LIBRARIES})
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE")
      set_target_properties(${shared} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${shared} PRIVATE -fPIE)
    endif()
    target_precompile_headers(${shared} PRIVATE
      <algorithm> <filesystem> <functional> <map> <memory> <optional> <set> <span> <string>
      <string_view> <vector> ${PROJECT_SOURCE_DIR}/core/base/json.hpp ${ARG_HEADERS})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${shared})
endfunction()
