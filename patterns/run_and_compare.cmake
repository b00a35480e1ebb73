# Runs PROGRAM with ARGUMENTS; it has to succeed and print what is in EXPECTED.
execute_process(COMMAND ${PROGRAM} ${ARGUMENTS} OUTPUT_VARIABLE printed RESULT_VARIABLE status)
file(READ ${EXPECTED} expected)
if(NOT status EQUAL 0 OR NOT printed STREQUAL expected)
  message(FATAL_ERROR "exit status ${status}; printed:\n${printed}\nexpected:\n${expected}")
endif()
