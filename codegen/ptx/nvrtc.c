/* nvrtc.c: NVIDIA's run-time compiler, opened at run time. The declarations it needs are its own: no CUDA header is
 * read. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr, secure_getenv */
#endif
#include "codegen/ptx/nvrtc.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct nvrtc_program *nvrtc_program;
enum { NVRTC_OK = 0 };

struct ptx_compiler {
    struct mem *mem;
    void *library;
    int major, minor;
    int *archs; /* ascending, those from PTX_OLDEST_ARCH on */
    int n_archs, archs_room;
    int (*version)(int *major, int *minor);
    int (*n_supported)(int *count);
    int (*supported)(int *archs);
    const char *(*error_string)(int result);
    int (*create)(nvrtc_program *program, const char *source, const char *name, int n_headers,
                  const char *const *headers, const char *const *header_names);
    int (*destroy)(nvrtc_program *program);
    int (*compile)(nvrtc_program program, int n_options, const char *const *options);
    int (*log_size)(nvrtc_program program, size_t *size);
    int (*log)(nvrtc_program program, char *log);
    int (*ptx_size)(nvrtc_program program, size_t *size);
    int (*ptx)(nvrtc_program program, char *ptx);
    int (*cubin_size)(nvrtc_program program, size_t *size);
    int (*cubin)(nvrtc_program program, char *cubin);
};

/* --- opening ------------------------------------------------------------------------------------------------------ */

static bool find_symbols(struct ptx_compiler *compiler) {
    struct {
        const char *name;
        void *to; /* where the function's address goes */
    } const symbols[] = {
        {"nvrtcVersion", &compiler->version},
        {"nvrtcGetNumSupportedArchs", &compiler->n_supported},
        {"nvrtcGetSupportedArchs", &compiler->supported},
        {"nvrtcGetErrorString", &compiler->error_string},
        {"nvrtcCreateProgram", &compiler->create},
        {"nvrtcDestroyProgram", &compiler->destroy},
        {"nvrtcCompileProgram", &compiler->compile},
        {"nvrtcGetProgramLogSize", &compiler->log_size},
        {"nvrtcGetProgramLog", &compiler->log},
        {"nvrtcGetPTXSize", &compiler->ptx_size},
        {"nvrtcGetPTX", &compiler->ptx},
        {"nvrtcGetCUBINSize", &compiler->cubin_size},
        {"nvrtcGetCUBIN", &compiler->cubin},
    };
    bool all = true;
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = dlsym(compiler->library, symbols[i].name);
        memcpy(symbols[i].to, &found, sizeof found);
        all &= found != NULL;
    }
    return all;
}

static bool is_usable(const struct ptx_compiler *compiler) {
    return compiler->major > 11 || (compiler->major == 11 && compiler->minor >= 2);
}

/* What the search has met on its way: for the message if it ends with nothing. */
struct search {
    struct ptx_compiler *compiler;
    int most_major;           /* what is newer is not wanted */
    int old_major, old_minor; /* a version that is too old */
    char old_path[256];
    char broken[512]; /* why a file that is there could not be loaded */
};

/* The library stays loaded for good: it keeps state of its own for each thread, and loading its 100 MB anew takes
 * longer than compiling a small kernel. */
static bool try_library(struct search *search, const char *name) {
    struct ptx_compiler *compiler = search->compiler;
    compiler->library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!compiler->library) {
        const char *why = dlerror();
        bool missing = strchr(name, '/') ? access(name, F_OK) != 0 : !why || strstr(why, "No such file or directory");
        if (!missing && !search->broken[0]) snprintf(search->broken, sizeof search->broken, "%s", why ? why : name);
        return false;
    }
    compiler->major = compiler->minor = 0;
    bool all = find_symbols(compiler);
    if (compiler->version && compiler->version(&compiler->major, &compiler->minor) != NVRTC_OK) all = false;
    if (all && is_usable(compiler) && compiler->major <= search->most_major) return true;
    if (!search->old_path[0] && !(all && is_usable(compiler))) {
        search->old_major = compiler->major, search->old_minor = compiler->minor;
        snprintf(search->old_path, sizeof search->old_path, "%s", name);
    }
    dlclose(compiler->library);
    compiler->library = NULL;
    return false;
}

static bool find_library(struct search *search, bool system, const char *const *folders) {
    static const struct {
        const char *name;
        int major;
    } names[] = {{"libnvrtc.so.13", 13},
                 {"libnvrtc.so.12", 12},
                 {"libnvrtc.so.11.2", 11}, /* every 11.x from 11.2 on */
                 {"libnvrtc.so", 0}};      /* which a development package adds */
    enum { NAMES = sizeof names / sizeof *names };
    for (int i = 0; system && i < NAMES; i++)
        if (names[i].major <= search->most_major && try_library(search, names[i].name)) return true;
    for (; *folders; folders++)
        for (int i = 0; i < 2 * NAMES; i++) {
            char path[4096];
            if (names[i % NAMES].major > search->most_major) continue;
            int length =
                snprintf(path, sizeof path, "%s/%s/%s", *folders, i < NAMES ? "lib64" : "lib", names[i % NAMES].name);
            if (length < (int)sizeof path && try_library(search, path)) return true;
        }
    return false;
}

enum { PTX_OLDEST_ARCH = 75, MOST_ARCHS = 10000 };

/* False: no memory, or NVRTC does not answer. */
static bool read_archs(struct ptx_compiler *compiler) {
    int count = 0;
    bool told = compiler->n_supported(&count) == NVRTC_OK && count > 0 && count <= MOST_ARCHS;
    compiler->archs_room = told ? count : 1;
    compiler->archs = mem_zalloc(compiler->mem, (size_t)compiler->archs_room, sizeof *compiler->archs);
    if (!compiler->archs || !told || compiler->supported(compiler->archs) != NVRTC_OK) return false;
    for (int i = 0; i < count; i++)
        if (compiler->archs[i] >= PTX_OLDEST_ARCH) compiler->archs[compiler->n_archs++] = compiler->archs[i];
    for (int i = 1; i < compiler->n_archs; i++) /* they come sorted; nobody promises it */
        for (int k = i; k > 0 && compiler->archs[k - 1] > compiler->archs[k]; k--) {
            int arch = compiler->archs[k];
            compiler->archs[k] = compiler->archs[k - 1];
            compiler->archs[k - 1] = arch;
        }
    return true;
}

static void say_not_found(const struct search *search, bool system, const char *const *folders, struct strbuf *why) {
    if (search->old_path[0] && search->old_major) {
        strbuf_printf(why, "NVRTC %d.%d (%s) is too old: 11.2 or later is needed", search->old_major, search->old_minor,
                      search->old_path);
    } else if (search->old_path[0]) {
        strbuf_printf(why, "%s is no NVRTC of version 11.2 or later", search->old_path);
    } else if (search->broken[0]) {
        strbuf_printf(why, "NVRTC could not be loaded: %s", search->broken);
    } else {
        strbuf_puts(why, "NVRTC was not found: libnvrtc.so.13, .12, .11.2 or .so");
        if (system) strbuf_puts(why, " where the system looks for libraries");
        if (system && *folders) strbuf_puts(why, " and");
        if (*folders) strbuf_puts(why, " in lib64 or lib of");
        for (int i = 0; folders[i]; i++) strbuf_printf(why, "%s %s", i ? "," : "", folders[i]);
        strbuf_puts(why, "; it comes with CUDA, whose folder $CUDA_PATH may name");
    }
}

struct ptx_compiler *nvrtc_open(struct mem *mem, int most_major, bool system, const char *const *folders,
                                struct strbuf *why) {
    struct ptx_compiler *compiler = mem_zalloc(mem, 1, sizeof *compiler);
    if (!compiler) return NULL;
    compiler->mem = mem;
    struct search search = {.compiler = compiler, .most_major = most_major ? most_major : INT_MAX};
    bool found = find_library(&search, system, folders);
    if (!found && most_major) { /* better one whose code the driver may refuse than none */
        search.most_major = INT_MAX;
        found = find_library(&search, system, folders);
    }
    if (found && read_archs(compiler)) return compiler;
    bool silent = found && compiler->archs; /* NVRTC would not tell what it knows */
    ptx_compiler_close(compiler);
    /* Last: `why` may leave by longjmp. */
    if (!found) say_not_found(&search, system, folders, why);
    if (silent) strbuf_puts(why, "NVRTC does not tell which architectures it knows");
    return NULL;
}

struct ptx_compiler *ptx_compiler_open(struct mem *mem, int most_major, struct strbuf *why) {
    const char *const given[] = {secure_getenv("CUDA_PATH"), secure_getenv("CUDA_HOME"), "/usr/local/cuda"};
    const char *folders[4] = {0};
    for (int i = 0, n = 0; i < 3; i++)
        if (given[i] && given[i][0]) folders[n++] = given[i];
    return nvrtc_open(mem, most_major, true, folders, why);
}

void ptx_compiler_close(struct ptx_compiler *compiler) {
    if (!compiler) return;
    if (compiler->library) dlclose(compiler->library);
    mem_free(compiler->mem, compiler->archs, sizeof *compiler->archs * (size_t)compiler->archs_room);
    mem_free(compiler->mem, compiler, sizeof *compiler);
}

void ptx_compiler_version(const struct ptx_compiler *compiler, int *major, int *minor) {
    *major = compiler->major;
    *minor = compiler->minor;
}

const char *ptx_compiler_path(const struct ptx_compiler *compiler) {
    Dl_info info;
    void *inside;
    memcpy(&inside, &compiler->version, sizeof inside);
    return dladdr(inside, &info) && info.dli_fname ? info.dli_fname : "libnvrtc.so";
}

/* --- architectures ------------------------------------------------------------------------------------------------ */

int ptx_compiler_arch(const struct ptx_compiler *compiler, int arch) {
    int best = 0;
    for (int i = 0; i < compiler->n_archs && compiler->archs[i] <= arch; i++) best = compiler->archs[i];
    return best;
}

void ptx_compiler_archs(const struct ptx_compiler *compiler, struct strbuf *out) {
    for (int i = 0; i < compiler->n_archs; i++) strbuf_printf(out, "%ssm_%d", i ? ", " : "", compiler->archs[i]);
}

int ptx_parse_arch(const char *text) {
    if (!text || strncmp(text, "sm_", 3) != 0) return 0;
    const char *digits = text + 3;
    size_t n = strspn(digits, "0123456789");
    return digits[n] || n < 2 || n > 3 || digits[0] == '0' ? 0 : atoi(digits);
}

/* --- compiling ---------------------------------------------------------------------------------------------------- */

enum { OPTIONS = 9, OPTION_BYTES = 40 };

/* What decides about the code. Division and square root are IEEE's and denormal numbers are kept: NVRTC's defaults, but
 * so much depends on them that they are said. --modify-stack-limit: raising the limit, as NVRTC does unless told,
 * changes it for the host's whole process. --device-as-default-execution-space: or lambdas with `auto` parameters would
 * be the host's (nvcc needs no such option). */
static int write_options(bool fast, int arch, enum ptx_format format, char options[][OPTION_BYTES]) {
    int n = 0;
    snprintf(options[n++], OPTION_BYTES, "--gpu-architecture=%s_%d", format == PTX_FORMAT_CUBIN ? "sm" : "compute",
             arch);
    snprintf(options[n++], OPTION_BYTES, "--fmad=%s", fast ? "true" : "false");
    static const char *const always[] = {"--ftz=false",
                                         "--prec-div=true",
                                         "--prec-sqrt=true",
                                         "--std=c++17",
                                         "--device-as-default-execution-space",
                                         "--disable-warnings",
                                         "--modify-stack-limit=false"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) snprintf(options[n++], OPTION_BYTES, "%s", always[i]);
    return n;
}

void ptx_options_text(bool fast, int arch, enum ptx_format format, struct strbuf *out) {
    char options[OPTIONS][OPTION_BYTES];
    int n = write_options(fast, arch, format, options);
    for (int i = 0; i < n; i++) strbuf_printf(out, "%s%s", i ? " " : "", options[i]);
}

struct compile_job {
    const struct ptx_compiler *compiler;
    nvrtc_program program;
    struct arena *arena;
    const char *source, *name;
    int arch;
    bool fast;
    enum ptx_format format;
    int result; /* of NVRTC */
    const char *doing;
    char *log, *image;
    size_t size;
};

/* Everything that is allocated while NVRTC holds a program. */
static void compile(void *argument) {
    struct compile_job *job = argument;
    const struct ptx_compiler *compiler = job->compiler;
    char options[OPTIONS][OPTION_BYTES];
    const char *given[OPTIONS + 2];
    int n = write_options(job->fast, job->arch, job->format, options);
    for (int i = 0; i < n; i++) given[i] = options[i];
    /* Options of 12.9 and later that make it faster and don't change the code: a third of the time of a small kernel
     * goes into declarations that none of ours uses; and a cache of NVRTC's would be in the way of the one here. */
    if (compiler->major > 12 || (compiler->major == 12 && compiler->minor >= 9)) {
        given[n++] = "--minimal";
        given[n++] = "--no-cache";
    }
    job->doing = "nvrtcCreateProgram";
    if ((job->result = compiler->create(&job->program, job->source, job->name, 0, NULL, NULL)) != NVRTC_OK) {
        job->program = NULL;
        return;
    }
    job->doing = "nvrtcCompileProgram";
    job->result = compiler->compile(job->program, n, given);
    if (job->result != NVRTC_OK) {
        size_t size = 0;
        if (compiler->log_size(job->program, &size) == NVRTC_OK && size > 1) {
            char *log = ARENA_ARRAY(job->arena, char, size + 1);
            if (compiler->log(job->program, log) == NVRTC_OK) job->log = log;
        }
        return;
    }
    bool text = job->format == PTX_FORMAT_TEXT;
    job->doing = text ? "nvrtcGetPTX" : "nvrtcGetCUBIN";
    job->result = (text ? compiler->ptx_size : compiler->cubin_size)(job->program, &job->size);
    if (job->result != NVRTC_OK) return;
    job->image = ARENA_ARRAY(job->arena, char, job->size + 1);
    job->result = (text ? compiler->ptx : compiler->cubin)(job->program, job->image);
}

/* The source's line `number`, from 1. */
static const char *source_line(const char *source, int number, int *length) {
    for (; number > 1 && source; number--) {
        source = strchr(source, '\n');
        if (source) source++;
    }
    *length = source ? (int)strcspn(source, "\n") : 0;
    return source;
}

/* `NAME(12): error: text`, which is how NVRTC begins a message: the text and the line number; NULL if `line` is none.
 */
static const char *message_of(const char *line, const char *name, int *number) {
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || line[length] != '(') return NULL;
    char *end;
    long value = strtol(line + length + 1, &end, 10);
    if (end == line + length + 1 || value < 1 || value > 100000000 || strncmp(end, "): ", 3) != 0) return NULL;
    *number = (int)value;
    return end + 3;
}

/* NVRTC's log, each message with the generated line that it is about. */
static void explain(const struct compile_job *job, struct strbuf *why) {
    enum { MOST_MESSAGES = 3, MOST_RAW = 1500, MOST_LINE = 160 };
    int shown = 0, number, length;
    strbuf_printf(why, "NVRTC %d.%d refused kernel `%s` for sm_%d", job->compiler->major, job->compiler->minor,
                  job->name, job->arch);
    for (const char *line = job->log; line && *line && shown < MOST_MESSAGES;) {
        size_t size = strcspn(line, "\n");
        const char *message = message_of(line, job->name, &number);
        if (message && strncmp(message, "warning", 7) != 0 && strncmp(message, "remark", 6) != 0) {
            strbuf_printf(why, "\n%s:%d: %.*s", job->name, number, (int)(line + size - message), message);
            const char *text = source_line(job->source, number, &length);
            if (text) strbuf_printf(why, "\n%6d | %.*s", number, length < MOST_LINE ? length : MOST_LINE, text);
            shown++;
        }
        line += size;
        if (*line) line++;
    }
    if (shown) return;
    strbuf_printf(why, ": %s: %s", job->doing, job->compiler->error_string(job->result));
    if (job->log) strbuf_printf(why, "\n%.*s", (int)MOST_RAW, job->log);
    while (why->length && why->text[why->length - 1] == '\n') why->text[--why->length] = 0;
}

bool ptx_compile(struct ptx_compiler *compiler, const char *source, const char *name, int arch, bool fast,
                 enum ptx_format format, struct arena *arena, const void **image, size_t *size, struct strbuf *why) {
    struct compile_job job = {.compiler = compiler,
                              .arena = arena,
                              .source = source,
                              .name = name,
                              .arch = arch,
                              .fast = fast,
                              .format = format};
    bool done = arena_try(arena, compile, &job);
    if (job.program) compiler->destroy(&job.program);
    if (!done) arena_fail(arena);
    if (job.result != NVRTC_OK) {
        explain(&job, why);
        return false;
    }
    *image = job.image;
    *size = job.size;
    return true;
}
