# The manual pages and the completion of bash, written by programs of ours from
# the tables by which they parse their command lines.
add_executable(belt-manual producer/manual_main.c)
target_link_libraries(belt-manual PRIVATE belt_producer)
add_executable(worker-manual worker/manual_main.c)
target_link_libraries(worker-manual PRIVATE belt_worker)

# belt_written(OUT TARGET ARGS...): OUT is what the program prints.
set(written)
function(belt_written out target)
  add_custom_command(OUTPUT ${out}
    COMMAND ${target} ${ARGN} > ${out}.new
    COMMAND ${CMAKE_COMMAND} -E rename ${out}.new ${out}
    DEPENDS ${target} VERBATIM)
  set(written ${written} ${out} PARENT_SCOPE)
endfunction()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/man ${PROJECT_BINARY_DIR}/completion)
belt_written(${PROJECT_BINARY_DIR}/man/belt.1 belt-manual)
belt_written(${PROJECT_BINARY_DIR}/man/belt-worker.1 worker-manual)
belt_written(${PROJECT_BINARY_DIR}/completion/belt belt completion bash)
# belt serve is told by the page of belt.
file(WRITE ${PROJECT_BINARY_DIR}/man/belt-serve.1 ".so man1/belt.1\n")
add_custom_target(belt_manual ALL DEPENDS ${written})

set(manual_pages belt.1 belt-serve.1 belt-worker.1)
foreach(page ${manual_pages}) # in Debian they are compressed: package.cmake
  install(FILES ${PROJECT_BINARY_DIR}/man/${page}
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT man)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/completion/belt
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  COMPONENT belt)
# The same file, found under the name of the other program.
install(FILES ${PROJECT_BINARY_DIR}/completion/belt RENAME belt-worker
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  COMPONENT belt)
