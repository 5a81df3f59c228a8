/* kernel_device.c: see kernel_device.h. */
#include "gpu/kernel_device.h"

#include <dlfcn.h>
#include <stdlib.h>

struct kernel_driver cu;
struct arena arena;
struct ptx_compiler *compiler;
static struct mem memory;

void kernel_device_must(int result, const char *what) {
    if (result != CUDA_SUCCESS) fail_msg("%s: error %d", what, result);
}

int kernel_device_open(void **state) {
    (void)state;
    static jmp_buf out_of_memory;
    arena_init(&arena, &memory);
    arena.on_failure = &out_of_memory;
    if (setjmp(out_of_memory)) abort();
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) fail_msg("%s", dlerror());
#define FIND(name, parameters) *(void **)&cu.name = dlsym(library, #name);
    DRIVER(FIND)
#undef FIND
    CUdevice device;
    CUcontext context;
    MUST(cuInit(0));
    MUST(cuDeviceGet(&device, 0));
    MUST(cuDevicePrimaryCtxRetain(&context, device));
    MUST(cuCtxPushCurrent_v2(context));
    struct strbuf why;
    strbuf_init(&why, &arena);
    compiler = ptx_compiler_open(&memory, 0, &why);
    if (!compiler) fail_msg("%s", strbuf_text(&why));
    return 0;
}

int kernel_device_close(void **state) {
    (void)state;
    ptx_compiler_close(compiler);
    arena_free(&arena);
    CUcontext context;
    MUST(cuCtxPopCurrent_v2(&context));
    MUST(cuDevicePrimaryCtxRelease_v2(0));
    return 0;
}

int kernel_device_clear(void **state) {
    (void)state;
    jmp_buf *handler = arena.on_failure;
    arena_free(&arena);
    arena_init(&arena, &memory);
    arena.on_failure = handler;
    return 0;
}
