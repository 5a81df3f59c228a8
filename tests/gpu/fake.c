/* fake.c: see fake.h. */
#include "gpu/fake.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct fake fake;
CUcontext context;

static void find(void *library, const char *name, void *to) {
    void *found = dlsym(library, name);
    if (!found) fail_msg("no %s", name);
    memcpy(to, &found, sizeof found);
}

int fake_set_up(void **state) {
    (void)state;
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *nvrtc = dlopen("libnvrtc.so.13", RTLD_NOW);
    if (!cuda || !nvrtc) fail_msg("%s", dlerror());
#define FIND(name, parameters) find(cuda, #name, &fake.name);
    DRIVER(FIND)
#undef FIND
#define FIND(name, parameters) find(nvrtc, #name, &fake.name);
    NVRTC(FIND)
#undef FIND
#define FIND(type, name, parameters) find(cuda, #name, &fake.name);
    SHIM_CONTROL_FUNCTIONS(FIND)
#undef FIND
#define FIND(type, name, parameters) find(nvrtc, #name, &fake.name);
    SHIM_NVRTC_FUNCTIONS(FIND)
#undef FIND
    return 0;
}

int fake_open(void **state) {
    (void)state;
    fake.shim_reset();
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxPushCurrent_v2(context));
    return 0;
}

int fake_close(void **state) {
    (void)state;
    fake.shim_lose_device(0);
    OK(cuCtxPopCurrent_v2(NULL));
    OK(cuDevicePrimaryCtxRelease_v2(0));
    assert_int_equal(fake.shim_objects(), 0);
    assert_int_equal(fake.shim_nvrtc_programs(), 0);
    return 0;
}

CUmodule fake_compile(const char *source, const char *option, char **log) {
    nvrtcProgram program;
    const char *options[] = {option, "--fmad=false"};
    OK(nvrtcCreateProgram(&program, source, "test.cu", 0, NULL, NULL));
    int result = fake.nvrtcCompileProgram(program, 2, options);
    size_t size;
    OK(nvrtcGetProgramLogSize(program, &size));
    char *text = malloc(size);
    OK(nvrtcGetProgramLog(program, text));
    if (result && !log) fail_msg("%s", text);
    if (log)
        *log = text;
    else
        free(text);
    CUmodule module = NULL;
    if (!result) {
        bool ptx = strstr(option, "compute_") != NULL;
        if (ptx)
            OK(nvrtcGetPTXSize(program, &size));
        else
            OK(nvrtcGetCUBINSize(program, &size));
        char *image = malloc(size);
        if (ptx)
            OK(nvrtcGetPTX(program, image));
        else
            OK(nvrtcGetCUBIN(program, image));
        OK(cuModuleLoadData(&module, image));
        free(image);
    }
    OK(nvrtcDestroyProgram(&program));
    return module;
}

struct kernel fake_kernel_of(const char *source) {
    struct kernel kernel = {fake_compile(source, "--gpu-architecture=sm_90", NULL), NULL};
    OK(cuModuleGetFunction(&kernel.function, kernel.module, "k"));
    return kernel;
}

int fake_launch(CUfunction function, unsigned blocks, unsigned threads, CUstream stream, void **parameters) {
    return fake.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, parameters, NULL);
}
