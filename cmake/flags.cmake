add_library(weft_flags INTERFACE)
# No contraction anywhere: which operations become an fma is decided by the program's text, and the constant folder and the
# reference evaluator must round as the generated code does.
target_compile_options(weft_flags INTERFACE
    -std=gnu11 -Wall -Wextra -fvisibility=hidden -ffp-contract=off)
if(WEFT_WERROR)
    target_compile_options(weft_flags INTERFACE -Werror)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(WEFT_SANITIZE STREQUAL "fuzzer")
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "WEFT_SANITIZE=fuzzer needs clang (-DCMAKE_C_COMPILER=clang)")
    endif()
    set(weft_sanitizers -fsanitize=fuzzer-no-link,address,undefined)
elseif(WEFT_SANITIZE)
    set(weft_sanitizers -fsanitize=${WEFT_SANITIZE})
endif()
if(WEFT_SANITIZE)
    target_compile_options(weft_flags INTERFACE ${weft_sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(weft_flags INTERFACE ${weft_sanitizers})
endif()
