# cmake -DNM=nm -DFILE=plugin.so -P check-plugin-exports.cmake
# A plugin exports graft_plugin_entry_v0 and nothing else, and needs no symbol of libgraft.
execute_process(COMMAND ${NM} -D --format=posix ${FILE} OUTPUT_VARIABLE symbols
                COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" symbols "${symbols}")
set(exported "")
foreach(line IN LISTS symbols)
  if(line MATCHES "^([^ ]+) +([A-Za-z])")
    set(name ${CMAKE_MATCH_1})
    set(kind ${CMAKE_MATCH_2})
    if(kind MATCHES "^[Uwv]$")
      if(name MATCHES "^graft_")
        message(SEND_ERROR "${FILE} needs the symbol ${name}: a plugin is given tables, it links "
                           "nothing of libgraft")
      endif()
    else()
      list(APPEND exported ${name})
    endif()
  endif()
endforeach()
if(NOT exported STREQUAL "graft_plugin_entry_v0")
  message(SEND_ERROR "${FILE} exports [${exported}]; it must export graft_plugin_entry_v0 alone")
endif()
