# LLVM: 19 by default; -DLLVM_DIR=/usr/lib/llvm-22/lib/cmake/llvm chooses another.
find_package(LLVM REQUIRED CONFIG
    HINTS /usr/lib/llvm-19 /usr/lib/llvm-20 /usr/lib/llvm-21 /usr/lib/llvm-22)
if(LLVM_VERSION_MAJOR LESS 19 OR LLVM_VERSION_MAJOR GREATER 22)
    message(FATAL_ERROR "Weft needs LLVM 19 to 22, found ${LLVM_VERSION} in ${LLVM_DIR}; "
        "install llvm-19-dev or name another with -DLLVM_DIR=…/lib/cmake/llvm")
endif()
if(NOT TARGET LLVM)
    message(FATAL_ERROR "LLVM ${LLVM_VERSION} in ${LLVM_DIR} has no shared library (libLLVM.so)")
endif()
message(STATUS "LLVM ${LLVM_VERSION} (${LLVM_DIR})")

# LLVM's OpenMP runtime, whichever compiler builds us: gcc's own hangs after fork() and is slow to wake.
find_library(WEFT_LIBOMP NAMES omp libomp.so.5 omp5
    HINTS ${LLVM_LIBRARY_DIR}
    PATHS /usr/lib/llvm-19/lib /usr/lib/llvm-20/lib /usr/lib/llvm-21/lib /usr/lib/llvm-22/lib
    REQUIRED)
add_library(weft_openmp INTERFACE)
# Only compiled with -fopenmp: linking with it would bring in the compiler's default runtime.
target_compile_options(weft_openmp INTERFACE -fopenmp)
target_link_libraries(weft_openmp INTERFACE ${WEFT_LIBOMP})
find_path(WEFT_OMP_INCLUDE omp.h
    HINTS ${LLVM_LIBRARY_DIR}/clang/${LLVM_VERSION_MAJOR}/include
    PATHS /usr/lib/llvm-19/lib/clang/19/include)
if(CMAKE_C_COMPILER_ID MATCHES Clang AND WEFT_OMP_INCLUDE) # gcc brings an omp.h of its own, which serves as well
    target_compile_options(weft_openmp INTERFACE -idirafter ${WEFT_OMP_INCLUDE})
endif()

find_package(Threads REQUIRED)
find_path(WEFT_DLPACK_INCLUDE dlpack/dlpack.h REQUIRED)
find_program(RE2C re2c REQUIRED)
