# Run as a script: cmake -DOUTPUT=file.c -DNAME=symbol -DINPUTS=a;b -P embed.cmake
#
# Writes a C file that defines `const char NAME[]`: the text of the inputs, one after the other, ending with NUL.
set(bytes "")
if(NOT INPUTS)
    message(FATAL_ERROR "embed.cmake: no INPUTS")
endif()
foreach(input ${INPUTS})
    file(READ ${input} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," hex "${hex}")
    string(REGEX REPLACE "(0x0a,)" "\\1\n" hex "${hex}")
    string(APPEND bytes "${hex}\n")
endforeach()
file(WRITE ${OUTPUT} "extern const char ${NAME}[];\nconst char ${NAME}[] = {\n${bytes}0};\n")
