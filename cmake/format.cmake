# Our C sources and clang-format. As a script:
#   cmake -P cmake/format.cmake            fails if a file is not as it formats
#   cmake -DFIX=ON -P cmake/format.cmake   rewrites the files
# Included from a CMakeLists.txt it makes the targets format-check and format.
get_filename_component(root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)

if(NOT CMAKE_SCRIPT_MODE_FILE)
  add_custom_target(format-check
    COMMAND ${CMAKE_COMMAND} -P ${CMAKE_CURRENT_LIST_FILE} VERBATIM)
  add_custom_target(format
    COMMAND ${CMAKE_COMMAND} -DFIX=ON -P ${CMAKE_CURRENT_LIST_FILE} VERBATIM)
  return()
endif()

find_program(CLANG_FORMAT NAMES clang-format-14 clang-format REQUIRED)
set(files)
foreach(dir common producer worker tests examples)
  file(GLOB_RECURSE found ${root}/${dir}/*.c ${root}/${dir}/*.h)
  list(APPEND files ${found})
endforeach()
list(LENGTH files count)
if(count EQUAL 0)
  message(FATAL_ERROR "no C sources under ${root}")
endif()
if(FIX)
  set(mode -i)
else()
  set(mode --dry-run -Werror)
endif()
execute_process(COMMAND ${CLANG_FORMAT} --style=file ${mode} ${files}
  RESULT_VARIABLE rc)
if(NOT rc EQUAL 0)
  message(FATAL_ERROR "not formatted; to repair: cmake -DFIX=ON -P "
    "cmake/format.cmake")
endif()
message(STATUS "${count} files formatted as they should be")
