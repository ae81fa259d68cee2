# Writes OUT, which has [SCRIPT_name] = {SHA-1, text} for each name.lua of
# FILES. Every byte is escaped, so nothing in a script can end the string.
set(text "")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${hex}")
  if(bytes MATCHES "x00")
    message(FATAL_ERROR "${file}: a NUL byte ends a C string")
  endif()
  string(REGEX REPLACE "(................................................................)"
    "\\1\"\n\"" bytes "${bytes}")
  file(SHA1 ${file} sha)
  string(APPEND text "[SCRIPT_${name}] = {\"${sha}\",\n\"${bytes}\"},\n")
endforeach()
file(WRITE ${OUT} "${text}")
