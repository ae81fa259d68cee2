# Flags of every target of ours, and nobody else's.
add_library(belt_flags INTERFACE)
target_compile_definitions(belt_flags INTERFACE _GNU_SOURCE
  BELT_VERSION="${PROJECT_VERSION}")
target_include_directories(belt_flags INTERFACE ${PROJECT_SOURCE_DIR}
  ${PROJECT_SOURCE_DIR}/common/include)
target_compile_options(belt_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wwrite-strings -Wcast-qual -Wformat=2 -Wvla -Wundef
  -Wimplicit-fallthrough -fno-common)
if(BELT_WERROR)
  target_compile_options(belt_flags INTERFACE -Werror)
endif()
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  target_compile_options(belt_flags INTERFACE -Wthread-safety)
endif()
if(BELT_SANITIZE)
  # gcc loses the ranges of numbers among the checks it inserts, and then warns
  # of texts that cannot be cut; the plain build has the warning.
  if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    target_compile_options(belt_flags INTERFACE -Wno-format-truncation)
  endif()
  target_compile_options(belt_flags INTERFACE
    -fsanitize=${BELT_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(belt_flags INTERFACE -fsanitize=${BELT_SANITIZE})
endif()
if(BELT_HARDEN)
  target_compile_options(belt_flags INTERFACE -fstack-protector-strong
    -D_FORTIFY_SOURCE=2 -fstack-clash-protection -fcf-protection
    -Wformat -Werror=format-security)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  target_link_options(belt_flags INTERFACE LINKER:-z,relro,-z,now
    $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()

# belt_library(name SOURCES... LINK libs...): one static library per layer, of
# objects that can be part of libbelt.so. There nothing is seen but what
# <belt/belt.h> declares.
function(belt_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden)
  target_link_libraries(${name} PUBLIC belt_flags ${A_LINK})
endfunction()
