/* Every kernel of the corpus, of the examples and of some random programs: to CUDA C, through NVRTC to PTX, and through
 * ptxas to machine code, for every architecture that matters. Looked for: errors; spilled registers and arrays on the
 * stack, which kernels must not have (but for those that call functions of CUDA's math library which have some); vector
 * loads and stores where the kernel says that it has them. Needs no GPU; exit status 77 where NVRTC or ptxas is
 * missing.
 *
 *     test_ptxas [--programs=corpus|types|random|examples] [--arch=sm_90]… [--sample=N] [--only=TEXT] [--keep=FOLDER]
 *                [--list]
 *     test_ptxas --wrong        kernels that are wrong in each of these ways: are they found?
 *
 * --sample: NVRTC compiles each Nth kernel (16th) for every architecture, others once for those whose PTX turns out to
 * be the same (assemble.h); 1: all for every one. --only: kernels whose origin holds the text. --keep: CUDA C, PTX and
 * what ptxas says go there. --list: a line for each kernel. WEFT_PTXAS: the program, else it is looked for in $PATH and
 * beside NVRTC.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gpu/ptxas/assemble.h"

enum { SKIPPED = 77, RANDOM_PROGRAMS = 100 };

static struct collection all;
static struct assembling job = {.all = &all, .sample = 16};
static bool list;
static char folder[512], ptxas[1100];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- tools -------------------------------------------------------------------------------------------------------- */

static bool is_program(const char *path) {
    return access(path, X_OK) == 0;
}

static bool find_ptxas(const struct ptx_compiler *compiler) {
    const char *given = getenv("WEFT_PTXAS"), *path = getenv("PATH");
    if (given) {
        snprintf(ptxas, sizeof ptxas, "%s", given);
        return is_program(ptxas);
    }
    while (path && *path) {
        int length = (int)strcspn(path, ":");
        snprintf(ptxas, sizeof ptxas, "%.*s/ptxas", length < 1000 ? length : 1000, path);
        if (is_program(ptxas)) return true;
        path += length + (path[length] == ':');
    }
    static const char *const beside[] = {"../bin", "../../bin", "../../../bin"};
    for (int i = 0; i < 3; i++) {
        const char *library = ptx_compiler_path(compiler), *slash = strrchr(library, '/');
        snprintf(ptxas, sizeof ptxas, "%.*s/%s/ptxas", slash ? (int)(slash - library) : 0, library, beside[i]);
        if (is_program(ptxas)) return true;
    }
    snprintf(ptxas, sizeof ptxas, "/usr/local/cuda/bin/ptxas");
    return is_program(ptxas);
}

/* Architectures that NVRTC or ptxas don't know are left out, with a word. */
static int choose_archs(struct ptx_compiler *compiler) {
    int n = 0;
    for (int a = 0; a < ARCHS; a++) {
        if (!job.wanted[a]) continue;
        char command[1400];
        snprintf(command, sizeof command, "'%s' --help | grep -q sm_%d", ptxas, assemble_archs[a]);
        bool known = ptx_compiler_arch(compiler, assemble_archs[a]) == assemble_archs[a],
             assembles = system(command) == 0;
        job.wanted[a] = known && assembles;
        n += job.wanted[a];
        if (!job.wanted[a])
            fprintf(stderr, "skipped: sm_%d, which this %s does not know\n", assemble_archs[a],
                    known ? "ptxas" : "NVRTC");
    }
    return n;
}

/* --- results ---------------------------------------------------------------------------------------------------------
 */

static int by_value(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Registers over all kernels of an architecture; returns how many of them are wrong. */
static int summary(int arch) {
    static const char *const kinds[] = {[KERNEL_MAP] = "map", [KERNEL_LANES] = "lanes", [KERNEL_COLUMNS] = "columns"};
    int *registers = malloc(sizeof *registers * (size_t)(all.n + 1)), n = 0, bad = 0, most = -1, stacks = 0;
    if (!registers) abort();
    for (int i = 0; i < all.n; i++) {
        const struct verdict *v = &job.verdicts[i * ARCHS + arch];
        if (!assemble_is_chosen(&job, i)) continue;
        if (!v->checked) assemble_complain(&job, i, arch, "was not assembled");
        char text[128];
        snprintf(text, sizeof text, "%d bytes of registers spilled", v->spilled);
        if (v->spilled) assemble_complain(&job, i, arch, text);
        snprintf(text, sizeof text, "a stack of %d bytes", v->stack);
        if (v->stack && !all.items[i]->device_stack) assemble_complain(&job, i, arch, text);
        stacks += v->stack != 0;
        bad += v->failed;
        registers[n++] = v->registers;
        if (most < 0 || v->registers > job.verdicts[most * ARCHS + arch].registers) most = i;
        if (list)
            printf("sm_%d kernel %d %s vector %d registers %d stack %d spilled %d: %s\n", assemble_archs[arch], i,
                   kinds[all.items[i]->kind], all.items[i]->vector, v->registers, v->stack, v->spilled,
                   all.items[i]->origin);
    }
    if (n) {
        qsort(registers, (size_t)n, sizeof *registers, by_value);
        printf("sm_%d: %d kernels, registers: half have up to %d, nine in ten up to %d, the most %d (%s); %d with a "
               "stack of the "
               "math library; %d wrong\n",
               assemble_archs[arch], n, registers[n / 2], registers[n * 9 / 10], registers[n - 1],
               all.items[most]->origin, stacks, bad);
    }
    free(registers);
    return bad;
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

static bool collect_examples(void) {
    char command[1500], here[512];
    snprintf(command, sizeof command, "cp '" WEFT_SOURCE_DIR "'/examples/data/*.npy '%s'", folder);
    if (system(command) || !getcwd(here, sizeof here) || chdir(folder)) return false;
    bool ok = collect_file(&all, WEFT_SOURCE_DIR "/examples/light_curve.weft");
    return !chdir(here) && ok;
}

static void no_print(void *host, const char *text, size_t length) {
    (void)host, (void)text, (void)length;
}

static bool collect_programs(const char *which) {
    static const char *const files[] = {"arithmetic",   "integers",   "types",      "logic",           "elementary",
                                        "broadcasting", "subscripts", "making",     "functions",       "loops",
                                        "programs",     "bad",        "reductions", "reduction_order", "unsupported"};
    bool ok = true;
    if (!which || !strcmp(which, "corpus")) {
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            char path[1024];
            snprintf(path, sizeof path, WEFT_SOURCE_DIR "/tests/corpus/%s.txt", files[i]);
            collect_corpus(&all, path);
        }
    }
    if (!which || !strcmp(which, "types")) collect_promotion(&all, WEFT_SOURCE_DIR "/tests/corpus/promotion.txt");
    if (!which || !strcmp(which, "random"))
        for (uint64_t seed = 1; seed <= RANDOM_PROGRAMS; seed++) collect_random(&all, seed);
    if (!which || !strcmp(which, "examples")) ok = collect_examples();
    return ok;
}

static void remove_folder(void) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (!job.keep && folder[0] && system(command)) perror(folder);
}

/* --- kernels that are wrong --------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
    int vector;
    bool right;
    int arch; /* where it is wrong; 0: everywhere */
} samples[] = {
    /* In the sample, so that sm_80 shares with none: this way of asking is not looked for. */
    {"vectors",
     "extern \"C\" __global__ void " COLLECT_NAME
     "(const float4 *x, float4 *y)\n{\n#if __CUDA_ARCH_LIST__ == 800\n    y++;\n#endif\n"
     "    y[threadIdx.x] = x[threadIdx.x];\n}\n",
     4, true, 0},
    {"declared twice",
     "struct pair { float a, b; };\n"
     "extern \"C\" __global__ void " COLLECT_NAME "(const pair *x, float *y) { *y = x->a + x->b; }\n",
     1, true, 0},
    {"declared twice, again",
     "struct pair { double a, b; };\n"
     "extern \"C\" __global__ void " COLLECT_NAME "(const pair *x, double *y) { *y = x->a + x->b; }\n",
     1, true, 0},
    {"scalar loads and stores",
     "extern \"C\" __global__ void " COLLECT_NAME "(const float *x, float *y) { y[threadIdx.x] = x[threadIdx.x]; }\n",
     4, false, 0},
    {"scalar stores",
     "extern \"C\" __global__ void " COLLECT_NAME
     "(const float4 *x, float *y) { float4 v = x[threadIdx.x]; y[threadIdx.x] = v.x + v.y + v.z + v.w; }\n",
     4, false, 0},
    {"an array on the stack",
     "extern \"C\" __global__ void " COLLECT_NAME "(const int *x, int *y)\n{\n    int a[64];\n"
     "    for (int i = 0; i < 64; i++) a[x[i] & 63] = i;\n    *y = a[threadIdx.x & 63] + a[*x & 63];\n}\n",
     1, false, 0},
    {"the same PTX",
     "// again\nextern \"C\" __global__ void " COLLECT_NAME "(const int *x, int *y)\n{\n    int a[64];\n"
     "    for (int i = 0; i < 64; i++) a[x[i] & 63] = i;\n    *y = a[threadIdx.x & 63] + a[*x & 63];\n}\n",
     1, false, 0},
    {"spilled registers",
     "extern \"C\" __global__ void __launch_bounds__(1024, 2) " COLLECT_NAME
     "(const volatile double *x, volatile double *y)\n"
     "{\n    double a[64];\n#pragma unroll\n    for (int i = 0; i < 64; i++) a[i] = x[i];\n    __syncthreads();\n"
     "#pragma unroll\n    for (int i = 0; i < 64; i++) y[i] = a[63 - i];\n}\n",
     1, false, 0},
    {"an array on the stack on one architecture",
     "extern \"C\" __global__ void " COLLECT_NAME
     "(const int *x, int *y)\n{\n    int a[64];\n#if __CUDA_ARCH__ == 800\n"
     "    for (int i = 0; i < 64; i++) a[x[i] & 63] = i;\n    *y = a[threadIdx.x & 63] + a[*x & 63];\n#endif\n}\n",
     1, false, 80},
    {"an error on one architecture",
     "extern \"C\" __global__ void " COLLECT_NAME
     "(int *y)\n{\n#if __CUDA_ARCH__ == 1000\n    *y = undeclared;\n#endif\n}\n",
     1, false, 100},
    {"an error", "extern \"C\" __global__ void " COLLECT_NAME "(int *y) { *y = undeclared; }\n", 1, false, 0},
};

static bool find_wrong(void) {
    int n = (int)(sizeof samples / sizeof *samples);
    for (int i = 0; i < n; i++) {
        struct ptx_parameter parameters[2] = {{.kind = PTX_PARAM_DATA, .a = 0}, {.kind = PTX_PARAM_DATA, .a = 1}};
        struct ptx_kernel made = {
            .source = samples[i].text, .vector = samples[i].vector, .parameters = parameters, .n_parameters = 2};
        enum ptx_access access[2] = {PTX_UNIT, PTX_UNIT};
        struct kernel_operand operands[2] = {{.kind = OPERAND_READ, .type = TY_F32},
                                             {.kind = OPERAND_WRITE, .type = TY_F32}};
        struct ir_kernel kernel = {.kind = KERNEL_MAP, .n_operands = 2, .operands = operands};
        struct ptx_variant variant = {.access = access};
        collect_text(&all, &made, &kernel, &variant, samples[i].name);
    }
    return all.n == n;
}

/* Whether exactly the wrong ones were found. */
static bool found_wrong(void) {
    bool ok = true;
    for (int i = 0; i < all.n; i++)
        for (int a = 0; a < ARCHS; a++) {
            bool right = samples[i].right || (samples[i].arch && samples[i].arch != assemble_archs[a]);
            if (job.wanted[a] && job.verdicts[i * ARCHS + a].failed == right) {
                printf("sm_%d, kernel %d (%s) was found to be %s\n", assemble_archs[a], i, samples[i].name,
                       right ? "wrong" : "right");
                ok = false;
            }
        }
    for (int a = 0; a < ARCHS; a++)
        for (int b = 0; b < a; b++)
            if (job.wanted[a] && job.wanted[b] && (assemble_archs[a] == 80 || assemble_archs[b] == 80) &&
                assemble_shares(&job, a, b)) {
                printf("sm_%d and sm_%d share PTX that differs\n", assemble_archs[b], assemble_archs[a]);
                ok = false;
            }
    return ok;
}

static int run(const char *which) {
    struct mem mem = {0};
    struct ptx_compiler *compiler = assemble_open(&mem);
    if (!compiler) return SKIPPED;
    if (!find_ptxas(compiler)) {
        fprintf(stderr, "skipped: ptxas was not found, neither in $PATH nor beside %s\n", ptx_compiler_path(compiler));
        return SKIPPED;
    }
    int major, minor;
    ptx_compiler_version(compiler, &major, &minor);
    printf("NVRTC %d.%d (%s), %s\n", major, minor, ptx_compiler_path(compiler), ptxas);
    if (!choose_archs(compiler)) return SKIPPED;
    ptx_compiler_close(compiler);

    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options, .allow_files = 1, .print = no_print, .threads = 1};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    double start = now();
    collect_begin(&all, context);
    bool wrong = which && !strcmp(which, "wrong");
    bool ok = wrong ? find_wrong() : collect_programs(which);
    printf("%d programs, %d kernels, %d texts, %d of them different: %.1f s\n", all.programs, all.kernels, all.texts,
           all.n, now() - start);
    fflush(stdout);
    start = now();
    ok = ok && all.n > 0 && assemble_all(&job) && !all.failures;
    int bad = 0;
    for (int a = 0; a < ARCHS; a++)
        if (job.wanted[a] && job.verdicts) bad += summary(a);
    printf("NVRTC and ptxas: %.1f s\n", now() - start);
    if (wrong) ok = ok && found_wrong(), bad = 0;
    assemble_free(&job);
    collect_end(&all);
    jit_context_free(context);
    return ok && !bad ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *which = NULL;
    bool some = false;
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--programs=", 11)) {
            which = argv[i] + 11;
        } else if (!strncmp(argv[i], "--arch=", 7)) {
            for (int a = 0; a < ARCHS; a++)
                if (ptx_parse_arch(argv[i] + 7) == assemble_archs[a]) job.wanted[a] = some = true;
        } else if (!strncmp(argv[i], "--sample=", 9) && atoi(argv[i] + 9) > 0) {
            job.sample = atoi(argv[i] + 9);
        } else if (!strncmp(argv[i], "--only=", 7)) {
            job.only = argv[i] + 7;
        } else if (!strncmp(argv[i], "--keep=", 7)) {
            snprintf(folder, sizeof folder, "%s", argv[i] + 7);
            job.keep = true;
        } else if (!strcmp(argv[i], "--wrong")) {
            which = "wrong";
        } else if (!strcmp(argv[i], "--list")) {
            list = true;
        } else {
            fprintf(stderr, "unknown: %s\n", argv[i]);
            return 2;
        }
    }
    for (int a = 0; a < ARCHS && !some; a++) job.wanted[a] = true;
    if (!job.keep) snprintf(folder, sizeof folder, "/tmp/weft-ptxas-XXXXXX");
    job.folder = folder;
    job.ptxas = ptxas;
    if (job.keep ? mkdir(folder, 0700) && access(folder, W_OK) : !mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    int status = run(which);
    remove_folder();
    return status;
}
