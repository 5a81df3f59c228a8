#!/bin/sh
# Builds Weft and the references, runs everything, prints one table: sh bench/run.sh [FILTER...]
#
# BUILD=folder   where Weft is built (default build-bench; a Release build is made there)
# CC_REFERENCE   the references' compiler (default gcc)
# PEERS=0        leaves NumExpr and Numba out
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$root/build-bench}
reference=${CC_REFERENCE:-gcc}
objects=$build/bench
mkdir -p "$objects"

cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DWEFT_TESTS=OFF -DWEFT_EXAMPLES=OFF >"$objects/configure.log"
cmake --build "$build" -j "$(nproc)" >"$objects/build.log" || { tail -40 "$objects/build.log" >&2; exit 1; }

for source in elementwise reduce rows roofline; do
    "$reference" -O3 -march=native -mprefer-vector-width=512 -ffast-math -fopenmp -Wall -Wextra \
        -c "$root/bench/reference/$source.c" -o "$objects/$source.o"
done

# LLVM's OpenMP runtime, the one Weft uses, in place of gcc's: one pool of threads for both sides.
libomp=$(sed -n 's/^WEFT_LIBOMP[^=]*=//p' "$build/CMakeCache.txt" | head -n 1)
for found in "$libomp" /usr/lib/llvm-*/lib/libomp.so; do [ -f "$found" ] && break; done
[ -f "$found" ] || { echo "bench/run.sh: libomp was not found" >&2; exit 1; }
library=$(dirname "$(find "$build" -name 'libweft.so' | head -n 1)")

# Linked without -ffast-math, which would flush subnormal numbers to zero in the whole process.
"$reference" -std=gnu11 -O2 -Wall -Wextra -I"$root/include" -I"$root/bench" \
    "$root/bench/bench.c" "$root/bench/workloads.c" "$root/bench/latency.c" "$objects"/elementwise.o "$objects"/reduce.o \
    "$objects"/rows.o "$objects"/roofline.o -o "$objects/bench" -L"$library" -lweft -Wl,-rpath,"$library" "$found" \
    -Wl,-rpath,"$(dirname "$found")" -lmvec -lm

# A thread a core: otherwise the scheduler may leave both on one for whole seconds, and the table says nothing.
export OMP_PROC_BIND="${OMP_PROC_BIND:-true}" OMP_PLACES="${OMP_PLACES:-cores}"
peers=$objects/peers.txt
: >"$peers"
if [ "${PEERS:-1}" != 0 ] && python3 -c 'import numpy' 2>/dev/null; then
    python3 "$root/bench/numexpr_numba.py" >"$peers" || echo "bench/run.sh: NumExpr and Numba are left out" >&2
fi
weft=$(find "$build" -type f -name weft -perm -u+x | head -n 1)
exec "$objects/bench" --peers="$peers" ${weft:+"--weft=$weft"} "$@"
