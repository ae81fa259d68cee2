# Writes FILE into OUT as a string of C, every byte escaped.
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${hex}")
if(bytes MATCHES "x00")
  message(FATAL_ERROR "${FILE}: a NUL byte ends a C string")
endif()
string(REGEX REPLACE "(................................................................)"
  "\\1\"\n\"" bytes "${bytes}")
file(WRITE ${OUT} "\"${bytes}\"\n")
