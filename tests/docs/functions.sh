#!/bin/sh
# functions.sh GENERATOR PAGE: docs/functions.md is what the generator writes. UPDATE_SNAPSHOTS=1 rewrites it.
set -eu
generator=$1 page=$2

if [ -n "${UPDATE_SNAPSHOTS-}" ]; then
    "$generator" >"$page.new"
    mv "$page.new" "$page"
    exit 0
fi
"$generator" | diff -u "$page" - || {
    echo "docs/functions.md is not what ir/ops.def and frontend/builtins.def say: UPDATE_SNAPSHOTS=1 ctest -R docs_functions"
    exit 1
}
