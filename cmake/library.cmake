# libweft, made of all rooms, and what `cmake --install` puts beside it.
add_library(weft SHARED
    $<TARGET_OBJECTS:weft_base> $<TARGET_OBJECTS:weft_ir> $<TARGET_OBJECTS:weft_frontend>
    $<TARGET_OBJECTS:weft_codegen_cpu> $<TARGET_OBJECTS:weft_codegen_ptx>
    $<TARGET_OBJECTS:weft_runtime_cuda> $<TARGET_OBJECTS:weft_runtime>)
add_library(Weft::weft ALIAS weft)
set_target_properties(weft PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE C
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/weft.map)
target_link_options(weft PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/weft.map)
if(NOT WEFT_SANITIZE) # clang's sanitizers are linked into programs only
    target_link_options(weft PRIVATE -Wl,--no-undefined)
endif()
target_link_libraries(weft PRIVATE weft_flags weft_llvm ${WEFT_LIBOMP} ${CMAKE_DL_LIBS} m)
target_include_directories(weft
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_include_directories(weft SYSTEM
    PUBLIC $<BUILD_INTERFACE:${WEFT_DLPACK_INCLUDE}>)
set_target_properties(weft PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)

include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/Weft)
# The link libraries are private to a shared library, so the package needs none of them.
install(TARGETS weft EXPORT WeftTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/weft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT WeftTargets NAMESPACE Weft:: DESTINATION ${package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/WeftConfig.cmake.in ${PROJECT_BINARY_DIR}/WeftConfig.cmake
    INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/WeftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/WeftConfig.cmake ${PROJECT_BINARY_DIR}/WeftConfigVersion.cmake DESTINATION ${package})
# weft.pc finds its prefix from its own place, so an installed tree can be moved.
file(RELATIVE_PATH WEFT_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" WEFT_PC_UP "${WEFT_PC_UP}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/weft.pc.in ${PROJECT_BINARY_DIR}/weft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
