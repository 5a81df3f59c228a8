/* nvrtc.c: a libnvrtc.so.13 whose machine code is a shared object made by g++. See control.h for what tests can do. */
#include <pthread.h>

#include "shim.h"

enum {
    NVRTC_SUCCESS,
    NVRTC_ERROR_OUT_OF_MEMORY,
    NVRTC_ERROR_PROGRAM_CREATION_FAILURE,
    NVRTC_ERROR_INVALID_INPUT,
    NVRTC_ERROR_INVALID_PROGRAM,
    NVRTC_ERROR_INVALID_OPTION,
    NVRTC_ERROR_COMPILATION,
};

struct program {
    struct program *next;
    char *source, *name, *log, *ptx;
    void *cubin;
    size_t cubin_size;
    bool done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct program *programs;
static int version[2] = {13, 0}, newest = 121;
static long compilations, fail_in;
static int fail_with;
static char last_options[2000];

static const int archs[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
enum { ARCHS = sizeof archs / sizeof *archs };

/* --- control
 * ------------------------------------------------------------------------------------------------------------- */

EXPORT void shim_nvrtc_set_version(int major, int minor) {
    version[0] = major, version[1] = minor;
}
EXPORT void shim_nvrtc_set_newest(int arch) {
    newest = arch;
}
EXPORT long shim_nvrtc_compilations(void) {
    return __atomic_load_n(&compilations, __ATOMIC_SEQ_CST);
}
EXPORT long shim_nvrtc_programs(void) {
    long n = 0;
    pthread_mutex_lock(&lock);
    for (struct program *p = programs; p; p = p->next) n++;
    pthread_mutex_unlock(&lock);
    return n;
}
EXPORT const char *shim_nvrtc_options(void) {
    return last_options;
}
EXPORT void shim_nvrtc_fail(long nth, int error) {
    pthread_mutex_lock(&lock);
    fail_in = nth;
    fail_with = error;
    pthread_mutex_unlock(&lock);
}

/* --- NVRTC
 * ------------------------------------------------------------------------------------------------------------------ */

EXPORT const char *nvrtcGetErrorString(int result) {
    static const char *const names[] = {"NVRTC_SUCCESS",
                                        "NVRTC_ERROR_OUT_OF_MEMORY",
                                        "NVRTC_ERROR_PROGRAM_CREATION_FAILURE",
                                        "NVRTC_ERROR_INVALID_INPUT",
                                        "NVRTC_ERROR_INVALID_PROGRAM",
                                        "NVRTC_ERROR_INVALID_OPTION",
                                        "NVRTC_ERROR_COMPILATION"};
    return result >= 0 && result < (int)(sizeof names / sizeof *names) ? names[result] : "NVRTC_ERROR unknown";
}

EXPORT int nvrtcVersion(int *major, int *minor) {
    if (!major || !minor) return NVRTC_ERROR_INVALID_INPUT;
    *major = version[0], *minor = version[1];
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetNumSupportedArchs(int *n) {
    if (!n) return NVRTC_ERROR_INVALID_INPUT;
    *n = 0;
    for (int i = 0; i < ARCHS; i++) *n += archs[i] <= newest;
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetSupportedArchs(int *out) {
    if (!out) return NVRTC_ERROR_INVALID_INPUT;
    for (int i = 0; i < ARCHS; i++)
        if (archs[i] <= newest) *out++ = archs[i];
    return NVRTC_SUCCESS;
}

static bool is_program(const struct program *program) {
    bool found = false;
    pthread_mutex_lock(&lock);
    for (struct program *p = programs; p; p = p->next) found |= p == program;
    pthread_mutex_unlock(&lock);
    return found;
}

EXPORT int nvrtcCreateProgram(struct program **out, const char *source, const char *name, int n_headers,
                              const char *const *headers, const char *const *names) {
    (void)headers, (void)names;
    if (!out || !source || n_headers) return NVRTC_ERROR_INVALID_INPUT;
    struct program *p = calloc(1, sizeof *p);
    if (!p) return NVRTC_ERROR_OUT_OF_MEMORY;
    p->source = strdup(source);
    p->name = strdup(name ? name : "default_program");
    p->log = strdup("");
    pthread_mutex_lock(&lock);
    p->next = programs;
    programs = p;
    pthread_mutex_unlock(&lock);
    *out = p;
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcDestroyProgram(struct program **program) {
    if (!program || !is_program(*program)) return NVRTC_ERROR_INVALID_PROGRAM;
    struct program *p = *program;
    pthread_mutex_lock(&lock);
    struct program **link = &programs;
    while (*link != p) link = &(*link)->next;
    *link = p->next;
    pthread_mutex_unlock(&lock);
    free(p->source), free(p->name), free(p->log), free(p->ptx), free(p->cubin);
    free(p);
    *program = NULL;
    return NVRTC_SUCCESS;
}

static int refuse(struct program *p, const char *format, const char *option) {
    free(p->log);
    p->log = malloc(strlen(format) + strlen(option) + 1);
    if (p->log) sprintf(p->log, format, option);
    return NVRTC_ERROR_INVALID_OPTION;
}

static bool begins(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

/* Options that NVRTC has and that change nothing here. */
static bool is_known(const char *option) {
    static const char *const whole[] = {"--fmad=true",
                                        "--fmad=false",
                                        "-fmad=true",
                                        "-fmad=false",
                                        "--std=c++17",
                                        "-std=c++17",
                                        "--std=c++20",
                                        "--device-as-default-execution-space",
                                        "-default-device",
                                        "--restrict",
                                        "--use_fast_math",
                                        "--ftz=true",
                                        "--ftz=false",
                                        "--prec-div=true",
                                        "--prec-div=false",
                                        "--prec-sqrt=true",
                                        "--prec-sqrt=false",
                                        "--generate-line-info",
                                        "-lineinfo",
                                        "--disable-warnings",
                                        "-w",
                                        "--dopt=on",
                                        "--minimal",
                                        "--extra-device-vectorization",
                                        "--display-error-number",
                                        "--no-display-error-number",
                                        "--modify-stack-limit=true",
                                        "--modify-stack-limit=false",
                                        "--no-cache"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!strcmp(option, whole[i])) return true;
    return begins(option, "--maxrregcount=") || begins(option, "--split-compile=");
}

EXPORT int nvrtcCompileProgram(struct program *p, int n, const char *const *options) {
    if (!is_program(p)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (n < 0 || (n && !options)) return NVRTC_ERROR_INVALID_INPUT;
    int fail = 0;
    pthread_mutex_lock(&lock);
    compilations++;
    if (fail_in > 0 && !--fail_in) fail = fail_with;
    last_options[0] = 0;
    for (int i = 0; i < n; i++) {
        strncat(last_options, i ? " " : "", sizeof last_options - strlen(last_options) - 1);
        strncat(last_options, options[i], sizeof last_options - strlen(last_options) - 1);
    }
    pthread_mutex_unlock(&lock);
    if (fail) return fail;
    int arch = 75;
    bool real = false;
    for (int i = 0; i < n; i++) {
        const char *value = begins(options[i], "--gpu-architecture=") ? options[i] + 19
                            : begins(options[i], "-arch=")            ? options[i] + 6
                                                                      : NULL;
        if (!value) {
            if (!is_known(options[i])) return refuse(p, "nvrtc: error: unrecognized option %s found\n", options[i]);
            continue;
        }
        int used = 0;
        real = begins(value, "sm_");
        bool ok = sscanf(value, real ? "sm_%d%n" : "compute_%d%n", &arch, &used) == 1 && !value[used];
        bool known = false;
        for (int k = 0; k < ARCHS; k++) known |= archs[k] == arch && arch <= newest;
        if (!ok || !known) return refuse(p, "nvrtc: error: invalid value for --gpu-architecture (-arch): %s\n", value);
    }
    free(p->log), free(p->ptx), free(p->cubin);
    p->log = p->ptx = NULL;
    p->done = false;
    p->cubin = shim_compile(p->source, p->name, arch, &p->cubin_size, &p->log);
    if (!p->log) p->log = strdup("");
    if (!p->cubin) return NVRTC_ERROR_COMPILATION;
    if (!real) {
        free(p->cubin);
        p->cubin = NULL;
        p->cubin_size = 0;
    }
    p->ptx = malloc(strlen(p->source) + 100);
    if (!p->ptx) return NVRTC_ERROR_OUT_OF_MEMORY;
    sprintf(p->ptx, "// PTX of the fake NVRTC for compute_%d\n%s", arch, p->source);
    p->done = true;
    return NVRTC_SUCCESS;
}

EXPORT int nvrtcGetProgramLogSize(struct program *p, size_t *size) {
    if (!is_program(p)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!size) return NVRTC_ERROR_INVALID_INPUT;
    *size = strlen(p->log) + 1;
    return NVRTC_SUCCESS;
}
EXPORT int nvrtcGetProgramLog(struct program *p, char *log) {
    if (!is_program(p)) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!log) return NVRTC_ERROR_INVALID_INPUT;
    strcpy(log, p->log);
    return NVRTC_SUCCESS;
}
EXPORT int nvrtcGetPTXSize(struct program *p, size_t *size) {
    if (!is_program(p) || !p->done) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!size) return NVRTC_ERROR_INVALID_INPUT;
    *size = strlen(p->ptx) + 1;
    return NVRTC_SUCCESS;
}
EXPORT int nvrtcGetPTX(struct program *p, char *ptx) {
    if (!is_program(p) || !p->done) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!ptx) return NVRTC_ERROR_INVALID_INPUT;
    strcpy(ptx, p->ptx);
    return NVRTC_SUCCESS;
}
EXPORT int nvrtcGetCUBINSize(struct program *p, size_t *size) {
    if (!is_program(p) || !p->done) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!size) return NVRTC_ERROR_INVALID_INPUT;
    *size = p->cubin_size; /* 0 for a virtual architecture */
    return NVRTC_SUCCESS;
}
EXPORT int nvrtcGetCUBIN(struct program *p, char *cubin) {
    if (!is_program(p) || !p->done || !p->cubin) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!cubin) return NVRTC_ERROR_INVALID_INPUT;
    memcpy(cubin, p->cubin, p->cubin_size);
    return NVRTC_SUCCESS;
}
