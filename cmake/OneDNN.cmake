# graft_onednn: oneDNN 3 on GNU OpenMP, as scripts/deps.sh unpacks it to .deps/onednn.
include_guard(GLOBAL)
set(GRAFT_ONEDNN_ROOT ${PROJECT_SOURCE_DIR}/.deps/onednn CACHE PATH
    "Folder with include/oneapi/dnnl/dnnl.h and lib/libdnnl.so.3")
if(NOT EXISTS ${GRAFT_ONEDNN_ROOT}/lib/libdnnl.so.3
   OR NOT EXISTS ${GRAFT_ONEDNN_ROOT}/include/oneapi/dnnl/dnnl.h)
  message(FATAL_ERROR "oneDNN is not in '${GRAFT_ONEDNN_ROOT}'. Run scripts/deps.sh, or set "
                      "GRAFT_ONEDNN_ROOT to a folder with include/ and lib/libdnnl.so.3.")
endif()
add_library(graft_onednn SHARED IMPORTED GLOBAL)
set_target_properties(graft_onednn PROPERTIES
  IMPORTED_LOCATION ${GRAFT_ONEDNN_ROOT}/lib/libdnnl.so.3
  IMPORTED_SONAME libdnnl.so.3
  INTERFACE_INCLUDE_DIRECTORIES ${GRAFT_ONEDNN_ROOT}/include
  GRAFT_BUNDLE ON)
