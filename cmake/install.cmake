# What `cmake --install` lays down; relocatable: nothing in it knows the prefix.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/graft)

install(DIRECTORY abi/include/graft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS graft graft_headers EXPORT graftTargets)
install(EXPORT graftTargets NAMESPACE graft:: DESTINATION ${package_dir})
install(FILES cmake/GraftAddPlugin.cmake cmake/graft-plugin.map cmake/check-plugin-exports.cmake
        DESTINATION ${package_dir})

configure_package_config_file(cmake/graftConfig.cmake.in ${CMAKE_BINARY_DIR}/graftConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# While the ABI major is 0 every minor may break.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/graftConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/graftConfig.cmake ${CMAKE_BINARY_DIR}/graftConfigVersion.cmake
        DESTINATION ${package_dir})

file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
configure_file(cmake/graft.pc.in ${CMAKE_BINARY_DIR}/graft.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/graft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
