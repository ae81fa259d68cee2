# Debian packages: cpack, in a build directory that was configured for /usr.
#
#     cmake -B build/deb -DCMAKE_INSTALL_PREFIX=/usr … && cmake --build build/deb
#     cd build/deb && cpack
#
# deploy/check-deb does that, and tries them in a clean system. The packages are
# the components of install.cmake.
set(debian ${PROJECT_SOURCE_DIR}/deploy/debian)
set(packages belt lib dev examples)
set(name_belt belt)
set(name_lib libbelt0)
set(name_dev libbelt-dev)
set(name_examples belt-examples)

# What only a package has: what is under /etc, and what Debian asks of each.
install(FILES deploy/belt.conf.example DESTINATION /etc/belt COMPONENT etc
  EXCLUDE_FROM_ALL)
configure_file(${debian}/changelog.in debian/changelog @ONLY)
find_program(GZIP gzip)
set(changelog ${PROJECT_BINARY_DIR}/debian/changelog.gz)
if(GZIP)
  add_custom_command(OUTPUT ${changelog}
    COMMAND ${GZIP} -9nkf debian/changelog
    DEPENDS ${PROJECT_BINARY_DIR}/debian/changelog VERBATIM)
  add_custom_target(debian_changelog ALL DEPENDS ${changelog})
endif()
if(GZIP)
  foreach(page ${manual_pages})
    set(plain ${PROJECT_BINARY_DIR}/man/${page})
    add_custom_command(OUTPUT ${plain}.gz COMMAND ${GZIP} -9nkf ${plain}
      DEPENDS ${plain} VERBATIM)
    list(APPEND compressed ${plain}.gz)
  endforeach()
  add_custom_target(debian_manual ALL DEPENDS ${compressed})
  add_dependencies(debian_manual belt_manual)
  install(FILES ${compressed} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
    COMPONENT etc EXCLUDE_FROM_ALL)
endif()
foreach(package ${packages})
  set(component etc-${package})
  if(package STREQUAL belt)
    set(component etc)
  endif()
  set(doc ${CMAKE_INSTALL_DATADIR}/doc/${name_${package}})
  install(FILES LICENSE DESTINATION ${doc} RENAME copyright
    COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES ${changelog} DESTINATION ${doc} COMPONENT ${component}
    EXCLUDE_FROM_ALL OPTIONAL)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE
  OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_NAME belt)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Belt developers <belt@localhost.invalid>"
  CACHE STRING "Maintainer of the packages")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_COMPONENTS_ALL belt etc lib etc-lib dev etc-dev examples
  etc-examples)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_BELT_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_BELT_PACKAGE_NAME belt)
set(CPACK_DEBIAN_BELT_PACKAGE_SECTION admin)
# procps has the kill of ExecReload.
set(CPACK_DEBIAN_BELT_PACKAGE_DEPENDS
  "systemd | systemd-standalone-sysusers | systemd-sysusers, procps")
# They are looked up when a handler of kind http, or another time zone than
# UTC, asks for them.
set(CPACK_DEBIAN_BELT_PACKAGE_RECOMMENDS "libcurl4, libglib2.0-0, tzdata")
set(CPACK_DEBIAN_BELT_PACKAGE_SUGGESTS "redis-server | valkey-server")
set(CPACK_DEBIAN_BELT_PACKAGE_CONTROL_EXTRA ${debian}/conffiles
  ${debian}/postinst ${debian}/prerm ${debian}/postrm)
set(CPACK_DEBIAN_BELT_DESCRIPTION
  "distributed job queue on Redis
Producers put jobs on Redis lists; workers on any number of hosts run them in
a bounded pool of threads and never lose sight of one. Any executable is a
handler, any Redis client a producer.
.
This package has the worker, the command line, the HTTP interface, and units
for systemd. No service is started before it is configured.")

set(CPACK_DEBIAN_LIB_PACKAGE_NAME libbelt0)
set(CPACK_DEBIAN_LIB_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIB_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIB_PACKAGE_CONTROL_EXTRA ${debian}/triggers)
set(CPACK_DEBIAN_LIB_DESCRIPTION
  "client library of the Belt job queue
Push jobs, wait for them, read their results and cancel them, from C and C++.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libbelt-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "libbelt0 (= ${PROJECT_VERSION}), libhiredis-dev, libevent-dev")
set(CPACK_DEBIAN_DEV_DESCRIPTION
  "client library of the Belt job queue, to build programs with
The headers <belt/belt.h> and <belt/plugin.h>, a static library, and what
pkg-config and CMake need to find them.")

set(CPACK_DEBIAN_EXAMPLES_PACKAGE_NAME belt-examples)
set(CPACK_DEBIAN_EXAMPLES_PACKAGE_SECTION doc)
set(CPACK_DEBIAN_EXAMPLES_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_EXAMPLES_PACKAGE_DEPENDS "belt (>= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_EXAMPLES_DESCRIPTION
  "examples for the Belt job queue
Handlers in several languages, a plugin, a client, effects that happen exactly
once, and two applications.")

include(CPack)
foreach(package ${packages})
  cpack_add_component_group(${package})
  cpack_add_component(${package} GROUP ${package})
  if(NOT package STREQUAL belt)
    cpack_add_component(etc-${package} GROUP ${package})
  endif()
endforeach()
cpack_add_component(etc GROUP belt)
