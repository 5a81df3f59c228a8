/* table.cu: the references by name. "black-scholes f32" is kernel_black_scholes_f32. */
#include <cstring>

#include "common.cuh"
#include "kernels.h"

#define ROW(name) {#name, kernel_##name},
static const struct {
    const char *name;
    gpu_launch launch;
} table[] = {GPU_KERNELS(ROW)};

gpu_launch gpu_reference_find(const char *name) {
    for (const auto &row : table) {
        size_t i = 0;
        for (; name[i] && row.name[i]; i++)
            if (name[i] != row.name[i] && row.name[i] != '_') break;
        if (!name[i] && !row.name[i]) return row.launch;
    }
    return nullptr;
}

const char *gpu_reference_error(int error) {
    return cudaGetErrorString((cudaError_t)error);
}
