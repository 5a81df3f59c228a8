#!/bin/sh
# symbols.sh NM LIBRARY: the library offers functions named jit_* and nothing else, and runs on LLVM's OpenMP alone.
set -eu
nm=$1 library=$2

symbols=$("$nm" -D --defined-only "$library" | awk '{ sub(/@.*/, "", $NF); print $NF }')
echo "$symbols" | grep -qx jit_compile || { echo "$library does not export jit_compile"; exit 1; }
others=$(echo "$symbols" | grep -v '^jit_' || :)
[ -z "$others" ] || { echo "exported, but not part of the API:"; echo "$others"; exit 1; }

# Program and library see the same runtime only if one is loaded: two would fight for the cores.
loaded=$(ldd "$library")
echo "$loaded" | grep -q 'libomp\.so' || { echo "libomp is not loaded:"; echo "$loaded"; exit 1; }
if echo "$loaded" | grep 'libgomp'; then
    echo "gcc's OpenMP runtime is loaded as well"
    exit 1
fi
