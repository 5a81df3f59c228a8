#!/bin/sh
# Builds Weft, the hand-written CUDA and the benchmark, runs everything on the GPU, prints one table:
#
#   sh bench/gpu/run.sh [FILTER…]          only the rows whose names hold one of the FILTERs
#   sh bench/gpu/run.sh --build            only builds, which needs no GPU
#   sh bench/gpu/run.sh --run [FILTER…]    only runs, what --build made
#
# Without a GPU it says so and ends with status 77. CUDA_VISIBLE_DEVICES chooses the device.
#
# Where there is a GPU but no LLVM, CMake or nvcc: build on a machine that has them with
#   CARRY=1 ARCH=sm_90 sh bench/gpu/run.sh --build
# where ARCH is the one that it will run on (for another one the driver would translate the hand-written CUDA, or refuse
# it). Copy the sources and the folder $BUILD/bench-gpu, which is complete in itself, to the same places there; then
# --run. With LLVM in it the folder has 190 MB, of which `tar cJ` makes 45.
#
# BUILD=folder   where Weft is built (default build-bench; a Release build is made there)
# NVCC=program   CUDA's compiler (default: on the PATH, or /usr/local/cuda/bin/nvcc); without one the hand-written CUDA is left out
# ARCH=sm_90     what it compiles for (default: native, the GPU at hand; with --build sm_80)
# CARRY=1        with --build: the libraries that Weft needs, LLVM's and theirs, are copied to $BUILD/bench-gpu/lib
# CC_HOST=cc     the benchmark's compiler
# PEERS=0        leaves CuPy, Numba, JAX and PyTorch out
# GPU_N, GPU_SIDE, GPU_ROWS, GPU_PIXELS, GPU_FREQS, GPU_SAMPLES: smaller sizes (defaults 1e8, 16384, 65536, 4096, 100000, 3000)
# GPU_ROUNDS     rounds (default 15, at most 101)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/bench/gpu
build=${BUILD:-$root/build-bench}
objects=$build/bench-gpu
mode=both
case ${1-} in
--build | --run)
    mode=${1#--}
    shift
    ;;
--*)
    echo "usage: run.sh [--build|--run] [FILTER...]" >&2
    exit 2
    ;;
esac

cc=${CC_HOST:-cc}
compile_host() {
    "$cc" -std=gnu11 -O2 -Wall -Wextra -I"$root/include" -I"$here" "$@"
}

probe() {
    "$objects/probe" || { echo "bench/gpu/run.sh: nothing to measure on: this machine has no usable GPU" >&2; exit 77; }
}

# $1: the library, the rest: options. A compiler per file: CUB alone takes as long as all others.
reference() {
    made=$1
    shift
    list='' started=''
    for source in table elementwise reduce rows loops; do
        "$nvcc" -std=c++17 --extended-lambda -O3 -arch="$arch" -Xcompiler -fPIC,-O2 "$@" -c "$here/reference/$source.cu" \
            -o "$made.$source.o" &
        started="$started $!"
        list="$list $made.$source.o"
    done
    for process in $started; do wait "$process"; done
    # shellcheck disable=SC2086  # a list of files
    "$nvcc" -arch="$arch" -shared -cudart static $list -o "$made"
    # shellcheck disable=SC2086
    rm -f $list
}

# What is in the C library's package is left to the machine, and so is the C++ library, which others there may need newer.
carry() {
    rm -rf "${objects:?}/lib"
    mkdir "$objects/lib"
    ldd "$objects/libweft.so.0" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
        grep -vE '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s)\.so' | while read -r file; do cp -L "$file" "$objects/lib"; done
}

if [ "$mode" != run ]; then
    mkdir -p "$objects"
    compile_host "$here/probe.c" "$here/driver.c" -o "$objects/probe" -ldl
    [ "$mode" = build ] || probe
    cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DWEFT_TESTS=OFF -DWEFT_EXAMPLES=OFF \
        >"$objects/configure.log" 2>&1 || { tail -40 "$objects/configure.log" >&2; exit 1; }
    cmake --build "$build" -j "$(nproc)" >"$objects/build.log" 2>&1 || { tail -40 "$objects/build.log" >&2; exit 1; }
    # The program finds its copy of the library beside it, wherever the folder is.
    cp -L "$build/libweft.so.0" "$objects/libweft.so.0"
    compile_host "$here/gpu.c" "$here/workloads.c" "$here/latency.c" "$here/driver.c" -o "$objects/gpu" \
        "$objects/libweft.so.0" -Wl,-rpath,"\$ORIGIN" -ldl -lm
    [ -z "${CARRY-}" ] || carry

    nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
    arch=${ARCH:-native}
    [ "$mode" != build ] || arch=${ARCH:-sm_80}
    rm -f "$objects/libreference.so" "$objects/libstrict.so"
    if [ -x "$nvcc" ]; then
        reference "$objects/libreference.so"
        reference "$objects/libstrict.so" -fmad=false
    else
        echo "bench/gpu/run.sh: nvcc was not found (NVCC=...): hand-written CUDA is left out" >&2
    fi
fi
if [ "$mode" = build ]; then
    echo "built in $objects"
    exit 0
fi

if [ "$mode" = run ]; then
    [ -x "$objects/gpu" ] || { echo "bench/gpu/run.sh: nothing to run in $objects: --build makes it" >&2; exit 2; }
    probe
fi
peers=$objects/peers.txt
: >"$peers"
if [ "${PEERS:-1}" != 0 ] && python3 -c 'import numpy' 2>/dev/null; then
    # A process each: they hold on to the device's memory.
    for engine in cupy numba jax torch; do
        python3 "$here/peers.py" $engine "$@" >>"$peers" 2>"$objects/$engine.log" ||
            echo "bench/gpu/run.sh: $engine: $(tail -n 1 "$objects/$engine.log") (more in $objects/$engine.log)" >&2
    done
fi
for library in reference strict; do
    [ ! -e "$objects/lib$library.so" ] || set -- "--$library=$objects/lib$library.so" "$@"
done
# Not for Python above: its libraries are its own.
LD_LIBRARY_PATH=$objects/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$objects/gpu" --rounds="${GPU_ROUNDS:-15}" --peers="$peers" "$@"
