/* profile.c: `--profile`. */
#include "cli/cli.h"

void profile_print(const jit_function *function) {
    jit_profile_row row;
    double total = 0;
    int rows = 0, width = 6;
    bool gpu = false;
    for (; jit_profile_get(function, rows, &row); rows++) {
        total += row.seconds;
        gpu |= row.gpu != 0;
        int length = snprintf(NULL, 0, "%s", row.kernel);
        if (length > width) width = length;
    }
    fprintf(stderr, "%-*s %9s %12s %12s %9s %7s%s\n", width, "kernel", "launches", "time", "bytes", "GB/s", "share",
            gpu ? "  on" : "");
    for (int i = 0; jit_profile_get(function, i, &row); i++)
        fprintf(stderr, "%-*s %9lld %9.3f ms %12.0f %9.2f %5.1f %%%s\n", width, row.kernel, (long long)row.launches,
                row.seconds * 1e3, row.bytes, row.seconds > 0 ? row.bytes / row.seconds * 1e-9 : 0.0,
                total > 0 ? 100 * row.seconds / total : 0.0,
                !gpu      ? ""
                : row.gpu ? "  GPU"
                          : "  CPU");
    if (!rows) fputs("(no kernels ran)\n", stderr);
}
