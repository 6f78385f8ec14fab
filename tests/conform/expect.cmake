# cmake -DPROGRAM=graft-conform "-DARGUMENTS=a;b" -DSTATUS=1 "-DOUTPUT=regular expression"
#       -P expect.cmake
execute_process(COMMAND ${PROGRAM} ${ARGUMENTS} RESULT_VARIABLE status OUTPUT_VARIABLE text
                ERROR_VARIABLE text)
message("${text}")
if(NOT status EQUAL ${STATUS})
  message(SEND_ERROR "exit status ${status}, expected ${STATUS}")
endif()
if(NOT text MATCHES "${OUTPUT}")
  message(SEND_ERROR "the output does not match '${OUTPUT}'")
endif()
