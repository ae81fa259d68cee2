# What cmake --install puts where: programs with their units, libbelt with its
# header, and how pkg-config and find_package(belt) find it; documents and
# examples. The components are the packages of package.cmake: belt, lib, dev,
# examples, and etc, which is installed only if asked for; and man, which has the
# pages that packages take compressed from etc.
include(CMakePackageConfigHelpers)

install(TARGETS belt belt-serve belt-worker RUNTIME
  DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT belt)
install(TARGETS belt_shared EXPORT beltTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT lib
    NAMELINK_COMPONENT dev)
install(DIRECTORY common/include/belt
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.h")

# The same as one archive, for programs that are to need no libbelt.so. What is
# not of <belt/belt.h> is made local to it, so that it collides with nothing.
if(NOT BELT_SANITIZE)
  set(parts $<TARGET_FILE:belt_redis> $<TARGET_FILE:belt_job>
    $<TARGET_FILE:belt_base>)
  set(archive ${PROJECT_BINARY_DIR}/lib/libbelt.a)
  add_custom_command(OUTPUT ${archive}
    COMMAND ${CMAKE_LINKER} -r -o belt.o $<TARGET_OBJECTS:belt_client> ${parts}
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden belt.o
    COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CMAKE_AR} qcs ${archive} belt.o
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/lib
    DEPENDS belt_client $<TARGET_OBJECTS:belt_client> ${parts}
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(belt_archive ALL DEPENDS ${archive})
  add_dependencies(belt_archive belt_shared) # which makes the directory
  install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
endif()

# Relative to where the file lies: the prefix may be said at install time.
file(RELATIVE_PATH to_prefix
  /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(cmake/belt.pc.in belt.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/belt.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/belt)
install(EXPORT beltTargets NAMESPACE belt:: DESTINATION ${package}
  COMPONENT dev)
configure_package_config_file(cmake/beltConfig.cmake.in beltConfig.cmake
  INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_LIBDIR
    CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(beltConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/beltConfig.cmake
  ${PROJECT_BINARY_DIR}/beltConfigVersion.cmake DESTINATION ${package}
  COMPONENT dev)

# ---- for systemd ----

# Units name programs by their whole path, which is known at install time. Each
# installation has a directory of its own for them: some may run side by side.
install(CODE "
  string(MD5 id \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
  set(BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  set(DOCDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR}\")
  foreach(unit belt-worker@.service belt-serve.service)
    configure_file(\"${PROJECT_SOURCE_DIR}/deploy/systemd/\${unit}.in\"
      \"${PROJECT_BINARY_DIR}/units/\${id}/\${unit}\" @ONLY)
    file(INSTALL \"${PROJECT_BINARY_DIR}/units/\${id}/\${unit}\"
      DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\"
      TYPE FILE)
  endforeach()
  file(REMOVE_RECURSE \"${PROJECT_BINARY_DIR}/units/\${id}\")"
  COMPONENT belt)
install(FILES deploy/systemd/belt.sysusers DESTINATION lib/sysusers.d
  RENAME belt.conf COMPONENT belt)

# ---- documents; manual pages and completion are in manual.cmake ----

install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT belt)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs
  COMPONENT belt PATTERN model EXCLUDE)
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR}
  USE_SOURCE_PERMISSIONS COMPONENT examples)
install(FILES deploy/belt.conf.example
  DESTINATION ${CMAKE_INSTALL_DOCDIR}/deploy COMPONENT belt)
install(DIRECTORY deploy/docker deploy/prometheus DESTINATION ${CMAKE_INSTALL_DOCDIR}/deploy
  USE_SOURCE_PERMISSIONS COMPONENT belt)
