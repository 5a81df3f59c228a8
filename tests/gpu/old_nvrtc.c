/* A library that passes for an NVRTC of a version that is too old: for test_nvrtc.c. */
int nvrtcVersion(int *major, int *minor);
__attribute__((visibility("default"))) int nvrtcVersion(int *major, int *minor) {
    *major = 10;
    *minor = 2;
    return 0;
}
