#!/bin/sh
# sanitizer.sh TEST_CORPUS: kernels of the corpus on a real GPU under NVIDIA's compute-sanitizer: memory outside arrays, races in
# shared memory, barriers that not all threads reach. Exit status 77 (skipped) without a device or without the program.
set -eu
corpus=$1
sanitizer=$(command -v compute-sanitizer || :)
[ -n "$sanitizer" ] || sanitizer=${CUDA_PATH:-${CUDA_HOME:-/usr/local/cuda}}/bin/compute-sanitizer
if [ ! -x "$sanitizer" ]; then
    echo "skipped: compute-sanitizer is not installed" >&2
    exit 77
fi
status=0
"$corpus" --device=cuda:0 logic.txt >/dev/null || status=$?
[ "$status" -eq 0 ] || exit "$status"

"$sanitizer" --tool memcheck --leak-check full --error-exitcode 1 "$corpus" --device=cuda:0 \
    arithmetic.txt subscripts.txt reductions.txt reduction_order.txt loops.txt
for tool in racecheck synccheck; do
    "$sanitizer" --tool "$tool" --error-exitcode 1 "$corpus" --device=cuda:0 reductions.txt reduction_order.txt
done
