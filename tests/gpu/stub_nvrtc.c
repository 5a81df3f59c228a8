/* A library that passes for NVRTC of version STUB_MAJOR.0 and knows one architecture: for test_nvrtc.c. */
#define STUB(name, ...)                                                                                                \
    int name(__VA_ARGS__);                                                                                             \
    __attribute__((visibility("default"))) int name(__VA_ARGS__)

STUB(nvrtcVersion, int *major, int *minor) {
    *major = STUB_MAJOR;
    *minor = 0;
    return 0;
}
STUB(nvrtcGetNumSupportedArchs, int *count) {
    *count = 1;
    return 0;
}
STUB(nvrtcGetSupportedArchs, int *archs) {
    archs[0] = 90;
    return 0;
}
/* Only looked for. */
#define UNUSED(name)                                                                                                   \
    STUB(name, void) {                                                                                                 \
        return 1;                                                                                                      \
    }
UNUSED(nvrtcGetErrorString)
UNUSED(nvrtcCreateProgram)
UNUSED(nvrtcDestroyProgram)
UNUSED(nvrtcCompileProgram)
UNUSED(nvrtcGetProgramLogSize)
UNUSED(nvrtcGetProgramLog)
UNUSED(nvrtcGetPTXSize)
UNUSED(nvrtcGetPTX)
UNUSED(nvrtcGetCUBINSize)
UNUSED(nvrtcGetCUBIN)
