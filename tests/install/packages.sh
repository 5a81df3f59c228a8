#!/bin/sh
# packages.sh CMAKE CC BUILD SCRATCH VERSION: installs BUILD into a folder of its own, moves that, and builds and runs a host program
# against it by each of the two ways a host has: find_package(Weft) and pkg-config.
set -eu
cmake=$1 cc=$2 build=$3 scratch=$4 version=$5
consumer=$(cd "$(dirname "$0")" && pwd)/consumer

rm -rf "$scratch"
mkdir -p "$scratch"
"$cmake" --install "$build" --prefix "$scratch/first" >"$scratch/install.log"
mv "$scratch/first" "$scratch/prefix" # nothing in it may know where it was made
prefix=$scratch/prefix
libdir=$(dirname "$(find "$prefix" -name libweft.so)")

expect() { # NAME GOT: the consumer prints what it computed
    [ "$2" = "6.5" ] || { echo "$1: expected 6.5, got: $2"; exit 1; }
}

"$prefix/bin/weft" info >"$scratch/info" || { echo "the installed program does not run"; exit 1; }
grep -q "$version" "$scratch/info" || { echo "weft info does not tell its version, $version:"; cat "$scratch/info"; exit 1; }

"$cmake" -S "$consumer" -B "$scratch/cmake" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$version" >"$scratch/cmake.log"
"$cmake" --build "$scratch/cmake" >>"$scratch/cmake.log" || { cat "$scratch/cmake.log"; exit 1; }
expect find_package "$("$scratch/cmake/consumer")"

if ! command -v pkg-config >/dev/null; then
    echo "pkg-config is missing"
    exit 77
fi
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion weft)" = "$version" ] || { echo "weft.pc is of another version"; exit 1; }
# shellcheck disable=SC2046  # flags are words
"$cc" -Wall -Werror "$consumer/main.c" -o "$scratch/consumer" $(pkg-config --cflags --libs weft)
expect pkg-config "$(LD_LIBRARY_PATH=$libdir "$scratch/consumer")"
