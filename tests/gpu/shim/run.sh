#!/bin/sh
# run.sh PROGRAM…: runs a test on the fake device; exit status 77 (skipped) where the compiler for its kernels is missing.
if ! command -v "${SHIM_CXX:-g++}" >/dev/null; then
    echo "skipped: the fake CUDA device needs ${SHIM_CXX:-g++}" >&2
    exit 77
fi
exec "$@"
