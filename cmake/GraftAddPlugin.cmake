# graft_add_plugin(<kind> <name> SOURCES <file>... [LIBRARIES <target>...] [INCLUDES <folder>...])
#
# Builds the plugin `name` as a module libgraft-<kind>-<name>.so; kind is backend, method or
# optimizer. Works inside the graft tree and, after find_package(graft), in any other project.
#
#  * It exports graft_plugin_entry_v0 and nothing else, and links nothing of libgraft. The test
#    plugin.<name>.exports checks both.
#  * It lies in ${CMAKE_BINARY_DIR}/lib/graft/plugins/0 and is installed to <libdir>/graft/plugins/0.
#  * A shared library among LIBRARIES whose target has the property GRAFT_BUNDLE is copied beside
#    the plugin and found there.
include_guard(GLOBAL)
include(GNUInstallDirs)
set(GRAFT_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})
set(GRAFT_PLUGIN_SUBDIR graft/plugins/0)

function(graft_add_plugin kind name)
  cmake_parse_arguments(PARSE_ARGV 2 ARG "" "" "SOURCES;LIBRARIES;INCLUDES")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "graft_add_plugin(${kind} ${name}): unknown argument "
                        "'${ARG_UNPARSED_ARGUMENTS}'; there are SOURCES, LIBRARIES and INCLUDES")
  endif()
  if(NOT kind MATCHES "^(backend|method|optimizer)$")
    message(FATAL_ERROR "graft_add_plugin(${kind} ${name}): kind '${kind}' is not backend, method "
                        "or optimizer")
  endif()
  if(NOT ARG_SOURCES)
    message(FATAL_ERROR "graft_add_plugin(${kind} ${name}): no SOURCES")
  endif()

  set(target graft-${kind}-${name})
  set(folder ${CMAKE_BINARY_DIR}/lib/${GRAFT_PLUGIN_SUBDIR})
  set(script ${GRAFT_CMAKE_DIR}/graft-plugin.map)
  add_library(${target} MODULE ${ARG_SOURCES})
  target_include_directories(${target} PRIVATE ${ARG_INCLUDES})
  target_link_libraries(${target} PRIVATE graft::headers ${ARG_LIBRARIES})
  set_target_properties(${target} PROPERTIES
    PREFIX lib OUTPUT_NAME ${target} LIBRARY_OUTPUT_DIRECTORY ${folder}
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN" LINK_DEPENDS ${script})
  # Clang leaves the sanitizers' symbols of a shared object to the executable; -z defs would refuse.
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${script} -Wl,--exclude-libs,ALL
    $<$<NOT:$<BOOL:${GRAFT_SANITIZE}>>:-Wl,-z,defs>)
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/${GRAFT_PLUGIN_SUBDIR})

  foreach(library IN LISTS ARG_LIBRARIES)
    if(NOT TARGET ${library})
      continue()
    endif()
    get_target_property(bundle ${library} GRAFT_BUNDLE)
    if(bundle)
      add_custom_command(TARGET ${target} POST_BUILD COMMENT "" COMMAND
        ${CMAKE_COMMAND} -E copy_if_different $<TARGET_FILE:${library}> ${folder})
      install(PROGRAMS $<TARGET_FILE:${library}>
              DESTINATION ${CMAKE_INSTALL_LIBDIR}/${GRAFT_PLUGIN_SUBDIR})
    endif()
  endforeach()

  add_test(NAME plugin.${name}.exports COMMAND
    ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DFILE=$<TARGET_FILE:${target}>
                     -P ${GRAFT_CMAKE_DIR}/check-plugin-exports.cmake)
  set_tests_properties(plugin.${name}.exports PROPERTIES LABELS guard)
endfunction()
