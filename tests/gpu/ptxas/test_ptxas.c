/* Every kernel of the corpus, of the examples and of some random programs: to CUDA C, through NVRTC to PTX, and through
 * ptxas to machine code, for every architecture that matters. Looked for: errors; spilled registers and arrays on the
 * stack, which kernels must not have (but for those that call functions of CUDA's math library which have some); vector
 * loads and stores where the kernel says that it has them. Needs no GPU; exit status 77 where NVRTC or ptxas is
 * missing.
 *
 *     test_ptxas [--programs=corpus|types|random|examples] [--arch=sm_90]… [--every=N] [--only=TEXT] [--keep=FOLDER]
 *                [--list]
 *     test_ptxas --wrong        kernels that are wrong in each of these ways: are they found?
 *
 * --every: of the thousands of programs of the corpus that are only there for their types, only each Nth for
 * architectures other than sm_80, another one for each. --only: kernels whose origin holds the text. --keep: CUDA C,
 * PTX and what ptxas says go there. --list: a line for each kernel. WEFT_PTXAS: the program, else it is looked for in
 * $PATH and beside NVRTC.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gpu/ptxas/collect.h"

enum {
    ARCHS = 5,
    BATCH =
        48, /* kernels compiled as one text: NVRTC takes 20 ms for each text, and 5 or so for a small kernel in it */
    VECTOR_BYTES = 16,
    SKIPPED = 77,
    RANDOM_PROGRAMS = 100,
};
static const int all_archs[ARCHS] = {80, 75, 90, 100, 120};

/* What became of a kernel on an architecture; shared by the processes. */
struct verdict {
    unsigned char checked, failed;
    unsigned short registers;
    int stack, spilled;
};

struct batch {
    int first, n; /* of `chosen` */
    int arch;     /* index */
};

static struct collection all;
static struct verdict *verdicts; /* [kernel * ARCHS + arch] */
static bool arch_wanted[ARCHS], list;
static int every = 1;
static const char *keep, *only;
static char folder[512], ptxas[1100];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of CPU that this process, or those it waited for, took. */
static double cpu_seconds(int who) {
    struct rusage use;
    getrusage(who, &use);
    return (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

/* Several kernels as one text: each in a namespace of its own, so that what they declare twice is no error, its
 * function called k12 after its number. */
static char *batch_text(const int *kernels, int n) {
    size_t room = 1, used = 0;
    for (int i = 0; i < n; i++) room += strlen(all.items[kernels[i]]->text) + 64;
    char *text = malloc(room);
    if (!text) abort();
    for (int i = 0; i < n; i++) {
        used += (size_t)sprintf(text + used, "namespace kernel%d {\n", kernels[i]);
        for (const char *from = all.items[kernels[i]]->text; *from;) {
            const char *name = strstr(from, COLLECT_NAME);
            size_t plain = name ? (size_t)(name - from) : strlen(from);
            memcpy(text + used, from, plain);
            used += plain;
            from += plain;
            if (!name) break;
            used += (size_t)sprintf(text + used, "k%d", kernels[i]);
            from += strlen(COLLECT_NAME);
        }
        used += (size_t)sprintf(text + used, "}\n");
    }
    text[used] = 0;
    return text;
}

static bool write_file(const char *path, const char *text, size_t size) {
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(text, 1, size, file) == size;
    if (file && fclose(file)) ok = false;
    if (!ok) perror(path);
    return ok;
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

static void complain(int kernel, int arch, const char *what) {
    enum { ENOUGH = 20 };
    static int said[ARCHS];
    if (said[arch]++ < ENOUGH)
        fprintf(stderr, "sm_%d, kernel %d (%s): %s\n", all_archs[arch], kernel, all.items[kernel]->origin, what);
    verdicts[kernel * ARCHS + arch].failed = 1;
}

/* Bytes that `ld.global.nc.v4.f32 {...}` moves. */
static int access_bytes(const char *instruction) {
    int lanes = 1, bits = 0;
    const char *end = instruction + strcspn(instruction, " \t\n");
    for (const char *part = instruction; part < end; part += strcspn(part + 1, ". \t\n") + 1) {
        if (sscanf(part, ".v%d", &lanes) == 1) continue;
        sscanf(part, ".%*1[bsuf]%d", &bits);
    }
    return lanes * bits / 8;
}

static void check_ptx(const char *ptx, int arch, const int *kernels, int n) {
    for (int i = 0; i < n; i++) {
        const struct collected *kernel = all.items[kernels[i]];
        int most_read = 0, most_written = 0;
        int reads = kernel->reads < VECTOR_BYTES ? kernel->reads : VECTOR_BYTES;
        int writes = kernel->writes < VECTOR_BYTES ? kernel->writes : VECTOR_BYTES;
        char entry[64];
        snprintf(entry, sizeof entry, ".entry k%d(", kernels[i]);
        const char *at = strstr(ptx, entry), *end = at ? strstr(at, "\n}") : NULL;
        if (!end) {
            complain(kernels[i], arch, "not found in the PTX");
            continue;
        }
        for (const char *line = at; line < end; line += strcspn(line, "\n") + 1) {
            const char *op = line + strspn(line, "\t ");
            if (*op == '@') op += strcspn(op, " ") + 1; /* a predicate */
            op += strspn(op, "\t ");
            int bytes = access_bytes(op);
            if (!strncmp(op, "ld.global", 9) && bytes > most_read) most_read = bytes;
            if (!strncmp(op, "st.global", 9) && bytes > most_written) most_written = bytes;
        }
        /* Some results don't depend on what is read, so that it isn't: `u8 < 300`; random programs have many such.
         * Reductions store a value a row, or once for many columns. */
        if (most_read && most_read < reads && strncmp(kernel->origin, "random", 6) != 0) complain(kernels[i], arch, "no vector loads in the PTX");
        if (kernel->kind == KERNEL_MAP && most_written < writes)
            complain(kernels[i], arch, "no vector stores in the PTX");
    }
}

/* The lines that ptxas -v writes: "Compiling entry function 'k12' for 'sm_90'", "Function properties for k12", "0 bytes
 * stack frame, 0 bytes spill stores, 0 bytes spill loads", "Used 16 registers, …". */
static void check_report(FILE *report, int arch, FILE *kept) {
    char line[2000];
    int entry = -1, of = -1;
    bool said = false;
    while (fgets(line, sizeof line, report)) {
        if (kept) fputs(line, kept);
        int a, b, c;
        const char *at;
        if ((at = strstr(line, "Compiling entry function '"))) {
            entry = sscanf(at, "Compiling entry function 'k%d'", &a) == 1 ? a : -1;
        } else if ((at = strstr(line, "Function properties for "))) {
            of = sscanf(at, "Function properties for k%d", &a) == 1 ? a : -1;
        } else if (sscanf(line, " %d bytes stack frame, %d bytes spill stores, %d bytes spill loads", &a, &b, &c) ==
                   3) {
            if (of < 0 || of >= all.n) continue;
            struct verdict *verdict = &verdicts[of * ARCHS + arch];
            verdict->stack = a;
            verdict->spilled = b + c;
            verdict->checked = 1;
        } else if ((at = strstr(line, "Used ")) && sscanf(at, "Used %d registers", &a) == 1) {
            if (entry >= 0 && entry < all.n) verdicts[entry * ARCHS + arch].registers = (unsigned short)a;
        } else if (strstr(line, "error") || strstr(line, "fatal")) {
            if (!said) fprintf(stderr, "ptxas, sm_%d: %s", all_archs[arch], line);
            said = true;
        }
    }
}

/* --- one batch ---------------------------------------------------------------------------------------------------- */

struct compiling {
    struct ptx_compiler *compiler;
    struct arena arena;
    const char *text;
    int arch;
    bool fast;
    const void *image;
    size_t size;
    struct strbuf why;
    bool ok;
};

static void compile(void *argument) {
    struct compiling *c = argument;
    strbuf_init(&c->why, &c->arena);
    c->ok = ptx_compile(c->compiler, c->text, "batch", c->arch, c->fast, PTX_FORMAT_TEXT, &c->arena, &c->image,
                        &c->size, &c->why);
}

/* Assembles `name`.ptx of the folder. */
static bool assemble(const char *name, int arch) {
    char command[4096], path[600];
    snprintf(command, sizeof command, "'%s' -v -arch=sm_%d -o '%s/%s.cubin' '%s/%s.ptx' 2>&1", ptxas, all_archs[arch],
             folder, name, folder, name);
    FILE *report = popen(command, "r"), *kept = NULL;
    if (!report) return false;
    if (keep) {
        snprintf(path, sizeof path, "%s/%s.txt", folder, name);
        kept = fopen(path, "w");
    }
    check_report(report, arch, kept);
    if (kept) fclose(kept);
    bool ok = pclose(report) == 0;
    snprintf(path, sizeof path, "%s/%s.cubin", folder, name);
    if (!keep) unlink(path);
    return ok;
}

static bool do_batch(struct ptx_compiler *compiler, struct mem *mem, const int *kernels, int n, int arch) {
    enum { MOST_REFUSED = 10 };
    static int refused;
    char name[64], path[600];
    struct compiling c = {.compiler = compiler,
                          .text = batch_text(kernels, n),
                          .arch = all_archs[arch],
                          .fast = all.items[kernels[0]]->fast};
    snprintf(name, sizeof name, "sm_%d-%d", all_archs[arch], kernels[0]);
    arena_init(&c.arena, mem);
    bool ok = arena_try(&c.arena, compile, &c) && c.ok;
    if (keep) {
        snprintf(path, sizeof path, "%s/%s.cu", folder, name);
        write_file(path, c.text, strlen(c.text));
    }
    if (ok) {
        check_ptx(c.image, arch, kernels, n);
        snprintf(path, sizeof path, "%s/%s.ptx", folder, name);
        ok = write_file(path, c.image, c.size - 1) && assemble(name, arch);
        if (!ok) fprintf(stderr, "ptxas failed on %s.ptx\n", name);
        if (!keep) unlink(path);
    } else if (n == 1 && refused++ < MOST_REFUSED) {
        fprintf(stderr, "kernel %d (%s): %s\n", kernels[0], all.items[kernels[0]]->origin, strbuf_text(&c.why));
    }
    arena_free(&c.arena);
    free((void *)c.text);
    return ok;
}

/* One by one where a batch fails, so that each bad kernel is named. */
static void do_batch_or_each(struct ptx_compiler *compiler, struct mem *mem, const int *kernels, int n, int arch) {
    if (do_batch(compiler, mem, kernels, n, arch)) return;
    for (int i = 0; i < n && n > 1; i++) do_batch(compiler, mem, kernels + i, 1, arch);
}

/* --- all batches -------------------------------------------------------------------------------------------------- */

static struct ptx_compiler *open_compiler(struct mem *mem) {
    struct arena arena;
    struct strbuf why;
    arena_init(&arena, mem);
    strbuf_init(&why, &arena);
    struct ptx_compiler *compiler = ptx_compiler_open(mem, 0, &why);
    if (!compiler) fprintf(stderr, "skipped: %s\n", strbuf_text(&why));
    arena_free(&arena);
    return compiler;
}

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
        if (!arch_wanted[a]) continue;
        char command[1400];
        snprintf(command, sizeof command, "'%s' --help | grep -q sm_%d", ptxas, all_archs[a]);
        bool known = ptx_compiler_arch(compiler, all_archs[a]) == all_archs[a], assembles = system(command) == 0;
        arch_wanted[a] = known && assembles;
        n += arch_wanted[a];
        if (!arch_wanted[a])
            fprintf(stderr, "skipped: sm_%d, which this %s does not know\n", all_archs[a], known ? "ptxas" : "NVRTC");
    }
    return n;
}

static bool is_chosen(int kernel, int arch) {
    if (only && !strstr(all.items[kernel]->origin, only)) return false;
    return arch == 0 || !all.items[kernel]->minor || (kernel + arch) % every == 0;
}

/* Worker `number` of `count`: every count-th batch. */
static int work(int number, int count) {
    struct mem mem = {0};
    struct ptx_compiler *compiler = open_compiler(&mem);
    if (!compiler) return 1;
    double before = cpu_seconds(RUSAGE_SELF);
    int turn = 0;
    for (int a = 0; a < ARCHS; a++)
        for (int fast = 0; fast < 2 && arch_wanted[a]; fast++)
            for (int i = 0; i < all.n;) {
                int kernels[BATCH], n = 0;
                for (; i < all.n && n < BATCH; i++)
                    if (all.items[i]->fast == fast && is_chosen(i, a)) kernels[n++] = i;
                if (n && turn++ % count == number) do_batch_or_each(compiler, &mem, kernels, n, a);
            }
    ptx_compiler_close(compiler);
    printf("process %d of %d, CPU time: NVRTC %.1f s, ptxas %.1f s\n", number + 1, count,
           cpu_seconds(RUSAGE_SELF) - before, cpu_seconds(RUSAGE_CHILDREN));
    fflush(stdout);
    return 0;
}

static bool run_workers(void) {
    int count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) count = 1;
    if (count > 16) count = 16;
    pid_t children[16];
    fflush(NULL);
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(work(i, count));
    }
    bool ok = true;
    for (int i = 0; i < count; i++) {
        int status = 1;
        if (children[i] < 0 || waitpid(children[i], &status, 0) < 0 || status != 0) ok = false;
    }
    return ok;
}

static int by_value(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Registers over all kernels of an architecture; returns how many of them are wrong. */
static int summary(int arch) {
    static const char *const kinds[] = {[KERNEL_MAP] = "map", [KERNEL_LANES] = "lanes", [KERNEL_COLUMNS] = "columns"};
    int *registers = malloc(sizeof *registers * (size_t)(all.n + 1)), n = 0, bad = 0, most = -1, stacks = 0;
    if (!registers) abort();
    for (int i = 0; i < all.n; i++) {
        const struct verdict *v = &verdicts[i * ARCHS + arch];
        if (!is_chosen(i, arch)) continue;
        if (!v->checked) complain(i, arch, "was not assembled");
        char text[128];
        snprintf(text, sizeof text, "%d bytes of registers spilled", v->spilled);
        if (v->spilled) complain(i, arch, text);
        snprintf(text, sizeof text, "a stack of %d bytes", v->stack);
        if (v->stack && !all.items[i]->device_stack) complain(i, arch, text);
        stacks += v->stack != 0;
        bad += v->failed;
        registers[n++] = v->registers;
        if (most < 0 || v->registers > verdicts[most * ARCHS + arch].registers) most = i;
        if (list)
            printf("sm_%d kernel %d %s vector %d registers %d stack %d spilled %d: %s\n", all_archs[arch], i,
                   kinds[all.items[i]->kind], all.items[i]->vector, v->registers, v->stack, v->spilled,
                   all.items[i]->origin);
    }
    if (n) {
        qsort(registers, (size_t)n, sizeof *registers, by_value);
        printf("sm_%d: %d kernels, registers: half have up to %d, nine in ten up to %d, the most %d (%s); %d with a "
               "stack of the "
               "math library; %d wrong\n",
               all_archs[arch], n, registers[n / 2], registers[n * 9 / 10], registers[n - 1], all.items[most]->origin,
               stacks, bad);
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
    if (!keep && folder[0] && system(command)) perror(folder);
}

/* --- kernels that are wrong --------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
    int vector;
    bool right;
} samples[] = {
    {"vectors",
     "extern \"C\" __global__ void " COLLECT_NAME "(const float4 *x, float4 *y) { y[threadIdx.x] = x[threadIdx.x]; }\n",
     4, true},
    {"declared twice",
     "struct pair { float a, b; };\n"
     "extern \"C\" __global__ void " COLLECT_NAME "(const pair *x, float *y) { *y = x->a + x->b; }\n",
     1, true},
    {"declared twice, again",
     "struct pair { double a, b; };\n"
     "extern \"C\" __global__ void " COLLECT_NAME "(const pair *x, double *y) { *y = x->a + x->b; }\n",
     1, true},
    {"scalar loads and stores",
     "extern \"C\" __global__ void " COLLECT_NAME "(const float *x, float *y) { y[threadIdx.x] = x[threadIdx.x]; }\n",
     4, false},
    {"scalar stores",
     "extern \"C\" __global__ void " COLLECT_NAME
     "(const float4 *x, float *y) { float4 v = x[threadIdx.x]; y[threadIdx.x] = v.x + v.y + v.z + v.w; }\n",
     4, false},
    {"an array on the stack",
     "extern \"C\" __global__ void " COLLECT_NAME "(const int *x, int *y)\n{\n    int a[64];\n"
     "    for (int i = 0; i < 64; i++) a[x[i] & 63] = i;\n    *y = a[threadIdx.x & 63] + a[*x & 63];\n}\n",
     1, false},
    {"spilled registers",
     "extern \"C\" __global__ void __launch_bounds__(1024, 2) " COLLECT_NAME
     "(const volatile double *x, volatile double *y)\n"
     "{\n    double a[64];\n#pragma unroll\n    for (int i = 0; i < 64; i++) a[i] = x[i];\n    __syncthreads();\n"
     "#pragma unroll\n    for (int i = 0; i < 64; i++) y[i] = a[63 - i];\n}\n",
     1, false},
    {"an error", "extern \"C\" __global__ void " COLLECT_NAME "(int *y) { *y = undeclared; }\n", 1, false},
};

static bool find_wrong(void) {
    int n = (int)(sizeof samples / sizeof *samples);
    for (int i = 0; i < n; i++) {
        struct ptx_parameter parameters[2] = {{PTX_PARAM_DATA, 0, 0}, {PTX_PARAM_DATA, 1, 0}};
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
        for (int a = 0; a < ARCHS; a++)
            if (arch_wanted[a] && verdicts[i * ARCHS + a].failed == samples[i].right) {
                printf("sm_%d, kernel %d (%s) was found to be %s\n", all_archs[a], i, samples[i].name,
                       samples[i].right ? "wrong" : "right");
                ok = false;
            }
    return ok;
}

static int run(const char *which) {
    struct mem mem = {0};
    struct ptx_compiler *compiler = open_compiler(&mem);
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
    size_t bytes = sizeof *verdicts * (size_t)(all.n * ARCHS + 1);
    verdicts = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdicts == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    ok = ok && all.n > 0 && run_workers() && !all.failures;
    int bad = 0;
    for (int a = 0; a < ARCHS; a++)
        if (arch_wanted[a]) bad += summary(a);
    printf("NVRTC and ptxas: %.1f s\n", now() - start);
    if (wrong) ok = found_wrong(), bad = 0;
    munmap(verdicts, bytes);
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
                if (ptx_parse_arch(argv[i] + 7) == all_archs[a]) arch_wanted[a] = some = true;
        } else if (!strncmp(argv[i], "--every=", 8) && atoi(argv[i] + 8) > 0) {
            every = atoi(argv[i] + 8);
        } else if (!strncmp(argv[i], "--only=", 7)) {
            only = argv[i] + 7;
        } else if (!strncmp(argv[i], "--keep=", 7)) {
            keep = argv[i] + 7;
        } else if (!strcmp(argv[i], "--wrong")) {
            which = "wrong";
        } else if (!strcmp(argv[i], "--list")) {
            list = true;
        } else {
            fprintf(stderr, "unknown: %s\n", argv[i]);
            return 2;
        }
    }
    for (int a = 0; a < ARCHS && !some; a++) arch_wanted[a] = true;
    snprintf(folder, sizeof folder, "%s", keep ? keep : "/tmp/weft-ptxas-XXXXXX");
    if (keep ? mkdir(folder, 0700) && access(folder, W_OK) : !mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    int status = run(which);
    remove_folder();
    return status;
}
