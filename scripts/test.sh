#!/bin/sh
# test.sh [preset]: from a fresh Debian 12 to a tested Weft: installs what is missing, builds, runs all tests. The preset is
# release if none is named; its closing line is the number of tests that passed.
set -eu
cd "$(dirname "$0")/.."
preset=${1-release}

sh scripts/deps.sh tests
cmake --preset "$preset" -DWEFT_TESTS=ON
cmake --build --preset "$preset" --parallel "$(nproc)"

log=build/$preset/test.log
status=0
ctest --preset "$preset" --no-label-summary --parallel "$(nproc)" --output-log "$log" || status=$?
# Once more, because a list of skipped or failed tests stands below ctest's own.
grep 'tests passed,' "$log" || status=1
exit "$status"
