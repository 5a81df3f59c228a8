# weft_room(TARGET FOLDER [SOURCES …] [LIBS …] [PRIVATE_LIBS …])
#
# The static library TARGET of the folder's C files and SOURCES. Its include path holds one entry, a folder in the build tree
# in which a link named after the room leads to the source, so `#include "ir/graph.h"` works exactly for the rooms that a
# target is linked with.
function(weft_room target folder)
    cmake_parse_arguments(ROOM "" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
    string(REPLACE "/" "_" name ${folder})
    string(REGEX REPLACE "/.*" "" top ${folder})
    set(path ${PROJECT_BINARY_DIR}/rooms/${name})
    file(MAKE_DIRECTORY ${path})
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${top} ${path}/${top} SYMBOLIC)

    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
    list(APPEND sources ${ROOM_SOURCES})
    add_library(${target} STATIC ${sources})
    target_include_directories(${target} PUBLIC ${path})
    target_compile_definitions(${target} PRIVATE WEFT_BUILDING) # exports what the public headers declare
    target_link_libraries(${target} PUBLIC ${ROOM_LIBS} PRIVATE weft_flags ${ROOM_PRIVATE_LIBS})
endfunction()
