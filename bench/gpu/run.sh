#!/bin/sh
# Builds Weft, the hand-written CUDA and the benchmark, runs everything on the GPU, prints one table: sh bench/gpu/run.sh [FILTER...]
# Without a GPU it says so and ends with status 77; `sh bench/gpu/run.sh --build` only builds, which needs none.
#
# BUILD=folder   where Weft is built (default build-bench; a Release build is made there)
# NVCC=program   CUDA's compiler (default: on the PATH, or /usr/local/cuda/bin/nvcc); without one the hand-written CUDA is left out
# ARCH=sm_90     what it compiles for (default: native, the GPU at hand; with --build sm_80)
# CC_HOST=cc     the benchmark's compiler
# PEERS=0        leaves CuPy, Numba, JAX and PyTorch out
# GPU_N, GPU_SIDE, GPU_ROWS, GPU_PIXELS, GPU_FREQS, GPU_SAMPLES: smaller sizes (defaults 1e8, 16384, 65536, 4096, 100000, 3000)
# GPU_ROUNDS     rounds (default 15)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/bench/gpu
build=${BUILD:-$root/build-bench}
objects=$build/bench-gpu
cc=${CC_HOST:-cc}
only_build=0
if [ "${1-}" = --build ]; then
    only_build=1
    shift
fi
mkdir -p "$objects"

"$cc" -std=gnu11 -O2 -Wall -Wextra "$here/probe.c" "$here/driver.c" -o "$objects/probe" -ldl
if [ $only_build = 0 ]; then
    "$objects/probe" || { echo "bench/gpu/run.sh: nothing to measure on: this machine has no usable GPU" >&2; exit 77; }
fi

cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DWEFT_TESTS=OFF -DWEFT_EXAMPLES=OFF >"$objects/configure.log"
cmake --build "$build" -j "$(nproc)" >"$objects/build.log" || { tail -40 "$objects/build.log" >&2; exit 1; }
library=$(dirname "$(find "$build" -name 'libweft.so' | head -n 1)")
"$cc" -std=gnu11 -O2 -Wall -Wextra -I"$root/include" -I"$here" "$here/gpu.c" "$here/workloads.c" "$here/latency.c" \
    "$here/driver.c" -o "$objects/gpu" -L"$library" -lweft -Wl,-rpath,"$library" -ldl -lm

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
}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
[ $only_build = 1 ] && arch=${ARCH:-sm_80} || arch=${ARCH:-native}
if [ -x "$nvcc" ]; then
    reference "$objects/libreference.so"
    reference "$objects/libstrict.so" -fmad=false
    set -- --reference="$objects/libreference.so" --strict="$objects/libstrict.so" "$@"
else
    echo "bench/gpu/run.sh: nvcc was not found (NVCC=…): hand-written CUDA is left out" >&2
fi
if [ $only_build = 1 ]; then
    echo "built in $objects"
    exit 0
fi

peers=$objects/peers.txt
: >"$peers"
if [ "${PEERS:-1}" != 0 ] && python3 -c 'import numpy' 2>/dev/null; then
    # A process each: they hold on to the device's memory.
    for engine in cupy numba jax torch; do
        python3 "$here/peers.py" $engine >>"$peers" 2>"$objects/$engine.log" ||
            echo "bench/gpu/run.sh: $engine is left out: $(tail -n 1 "$objects/$engine.log")" >&2
    done
fi
exec "$objects/gpu" --rounds="${GPU_ROUNDS:-15}" --peers="$peers" "$@"
