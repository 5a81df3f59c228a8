#!/bin/sh
# quickstart.sh: from a fresh Debian 12 to Weft's first answer. Installs what is missing, builds, and cleans a light curve and
# finds its period. Run again, it only does what is left to do.
set -eu
cd "$(dirname "$0")/.."

sh scripts/deps.sh
cmake --preset release -DWEFT_TESTS=OFF
cmake --build --preset release --parallel "$(nproc)"

mkdir -p out
cp examples/data/t.npy examples/data/flux.npy out/
cd out
rm -f power.npy
echo
echo 'weft run examples/light_curve.weft'
../build/release/cli/weft run ../examples/light_curve.weft
[ -s power.npy ] || { echo "quickstart.sh: the program wrote no power.npy" >&2; exit 1; }
echo "Its power spectrum is in $PWD/power.npy"
