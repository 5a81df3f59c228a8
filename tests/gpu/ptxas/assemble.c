/* assemble.c: see assemble.h. */
#include "gpu/ptxas/assemble.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BATCH = 48,       /* kernels compiled as one text: NVRTC takes 12 ms for a text without any */
    SAMPLE_BATCH = 8, /* there are few, and each goes through NVRTC for every architecture */
    VECTOR_BYTES = 16,
    MOST_PROCESSES = 16,
};
const int assemble_archs[ARCHS] = {75, 80, 90, 100, 120};

/* Architectures, by index, that get the same PTX. */
struct arch_group {
    int arch[ARCHS];
    int n;
};

enum part { SAMPLE, APART, REST };
enum { PHASES = 2 }; /* the sample, the others */

/* Of entries that were met: hash << KERNEL_BITS | 1 + the first kernel that has it; 0: free. */
enum { MET = 1 << 17, KERNEL_BITS = 20 };

struct assembled {
    size_t bytes;
    _Atomic uint64_t met[MET];
    atomic_int next[PHASES]; /* the first batch that no process took */
    atomic_int compared;     /* kernels of the sample */
    atomic_int apart;        /* kernels that are not shared */
    int same;                /* kernels, by architecture, that another one was assembled for */
    atomic_bool differ[ARCHS][ARCHS];
    struct verdict verdicts[];
};

struct worker {
    struct assembling *job;
    struct ptx_compiler *compiler;
    struct mem mem;
    int refused;
};

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
static char *batch_text(const struct collection *all, const int *kernels, int n) {
    size_t room = 1, used = 0;
    for (int i = 0; i < n; i++) room += strlen(all->items[kernels[i]]->text) + 64;
    char *text = malloc(room);
    if (!text) abort();
    for (int i = 0; i < n; i++) {
        used += (size_t)sprintf(text + used, "namespace kernel%d {\n", kernels[i]);
        for (const char *from = all->items[kernels[i]]->text; *from;) {
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

/* What stands behind `.target sm_90` in PTX, and how long that is; NULL if there is no such line. */
static const char *find_target(const char *ptx, size_t *length) {
    static const char target[] = "\n.target sm_";
    const char *at = strstr(ptx, target);
    if (!at) return NULL;
    at += sizeof target - 1;
    *length = strspn(at, "0123456789");
    return at;
}

static bool same_ptx(const char *a, const char *b) {
    if (!a || !b) return a == b;
    size_t skip_a, skip_b;
    const char *target_a = find_target(a, &skip_a), *target_b = find_target(b, &skip_b);
    return target_a && target_b && target_a - a == target_b - b && !memcmp(a, b, (size_t)(target_a - a)) &&
           !strcmp(target_a + skip_a, target_b + skip_b);
}

static bool write_file(const char *path, const char *text, size_t size) {
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(text, 1, size, file) == size;
    if (file && fclose(file)) ok = false;
    if (!ok) perror(path);
    return ok;
}

/* PTX for another architecture. */
static bool write_ptx(const char *path, const char *ptx, int arch) {
    size_t length;
    const char *target = find_target(ptx, &length);
    FILE *file = target ? fopen(path, "wb") : NULL;
    bool ok = file && fprintf(file, "%.*s%d%s", (int)(target - ptx), ptx, assemble_archs[arch], target + length) > 0;
    if (file && fclose(file)) ok = false;
    if (!ok) perror(path);
    return ok;
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

void assemble_complain(struct assembling *job, int kernel, int arch, const char *what) {
    enum { ENOUGH = 20 };
    static int said[ARCHS];
    if (said[arch]++ < ENOUGH)
        fprintf(stderr, "sm_%d, kernel %d (%s): %s\n", assemble_archs[arch], kernel, job->all->items[kernel]->origin,
                what);
    job->verdicts[kernel * ARCHS + arch].failed = 1;
}

static void complain_of_all(struct assembling *job, int kernel, const struct arch_group *group, const char *what) {
    for (int i = 0; i < group->n; i++) assemble_complain(job, kernel, group->arch[i], what);
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

static void check_ptx(struct assembling *job, const char *ptx, const struct arch_group *group, const int *kernels,
                      int n) {
    for (int i = 0; i < n; i++) {
        const struct collected *kernel = job->all->items[kernels[i]];
        int most_read = 0, most_written = 0;
        int reads = kernel->reads < VECTOR_BYTES ? kernel->reads : VECTOR_BYTES;
        int writes = kernel->writes < VECTOR_BYTES ? kernel->writes : VECTOR_BYTES;
        char entry[64];
        snprintf(entry, sizeof entry, ".entry k%d(", kernels[i]);
        const char *at = strstr(ptx, entry), *end = at ? strstr(at, "\n}") : NULL;
        if (!end) {
            complain_of_all(job, kernels[i], group, "not found in the PTX");
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
        if (most_read && most_read < reads && strncmp(kernel->origin, "random", 6) != 0)
            complain_of_all(job, kernels[i], group, "no vector loads in the PTX");
        if (kernel->kind == KERNEL_MAP && most_written < writes)
            complain_of_all(job, kernels[i], group, "no vector stores in the PTX");
    }
}

/* The lines that ptxas -v writes: "Compiling entry function 'k12' for 'sm_90'", "Function properties for k12", "0 bytes
 * stack frame, 0 bytes spill stores, 0 bytes spill loads", "Used 16 registers, …". */
static void check_report(struct assembling *job, FILE *report, int arch, FILE *kept) {
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
            if (of < 0 || of >= job->all->n) continue;
            struct verdict *verdict = &job->verdicts[of * ARCHS + arch];
            verdict->stack = a;
            verdict->spilled = b + c;
            verdict->checked = 1;
        } else if ((at = strstr(line, "Used ")) && sscanf(at, "Used %d registers", &a) == 1) {
            if (entry >= 0 && entry < job->all->n) job->verdicts[entry * ARCHS + arch].registers = (unsigned short)a;
        } else if (strstr(line, "error") || strstr(line, "fatal")) {
            if (!said) fprintf(stderr, "ptxas, sm_%d: %s", assemble_archs[arch], line);
            said = true;
        }
    }
}

/* --- the same PTX twice ------------------------------------------------------------------------------------------- */

/* A hash of an entry's text in which its kernel's name and the numbers of labels don't count; 0: the text speaks of
 * something that is declared for this kernel alone. */
static uint64_t entry_hash(const char *at, const char *end, int kernel, uint64_t seed) {
    char name[24], space[24];
    const size_t length = (size_t)snprintf(name, sizeof name, "k%d", kernel);
    const size_t space_length = (size_t)snprintf(space, sizeof space, "kernel%d", kernel);
    static const char label[] = "$L__BB";
    uint64_t hash = 14695981039346656037u + seed;
    while (at < end) {
        if (!strncmp(at, space, space_length)) return 0;
        if (!strncmp(at, name, length) && (at[length] == '(' || at[length] == '_')) at += length;
        if (!strncmp(at, label, sizeof label - 1)) {
            at += sizeof label - 1;
            at += strspn(at, "0123456789");
        }
        hash = (hash ^ (unsigned char)*at++) * 1099511628211u;
    }
    hash <<= KERNEL_BITS;
    return hash ? hash : (uint64_t)1 << KERNEL_BITS;
}

/* The first kernel with this hash: the given one if there was none. */
static int first_met(struct assembled *shared, uint64_t hash, int kernel) {
    for (size_t i = (hash >> KERNEL_BITS) % MET;; i = (i + 1) % MET) {
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&shared->met[i], &there, hash | (uint64_t)(kernel + 1))) return kernel;
        if (there >> KERNEL_BITS == hash >> KERNEL_BITS) return (int)(there & ((1 << KERNEL_BITS) - 1)) - 1;
    }
}

/* Takes the entries out of the PTX whose like was met before. Returns how many are left. */
static int drop_met(struct assembling *job, char *ptx, const struct arch_group *group, const int *kernels, int n) {
    int left = n;
    /* What is the same for one group need not be so for another. */
    const uint64_t seed = (uint64_t)(group->arch[0] + ARCHS * group->n);
    for (int i = 0; i < n; i++) {
        static const char begin[] = ".visible ", end[] = "\n}\n";
        char entry[64];
        snprintf(entry, sizeof entry, "%s.entry k%d(", begin, kernels[i]);
        char *from = strstr(ptx, entry), *to = from ? strstr(from, end) : NULL;
        uint64_t hash = to ? entry_hash(from, to, kernels[i], seed) : 0;
        int first = hash ? first_met(job->shared, hash, kernels[i]) : kernels[i];
        if (first == kernels[i]) continue;
        for (int k = 0; k < group->n; k++) job->verdicts[kernels[i] * ARCHS + group->arch[k]].same_as = first + 1;
        to += sizeof end - 1;
        memmove(from, to, strlen(to) + 1);
        left--;
    }
    return left;
}

/* What was found out about a kernel holds for those with the same PTX. */
static void copy_verdicts(struct assembling *job) {
    for (int i = 0; i < job->all->n * ARCHS; i++) {
        struct verdict *verdict = &job->verdicts[i];
        if (!verdict->same_as) continue;
        const struct verdict *of = &job->verdicts[(verdict->same_as - 1) * ARCHS + i % ARCHS];
        verdict->checked = of->checked;
        verdict->registers = of->registers;
        verdict->stack = of->stack;
        verdict->spilled = of->spilled;
        job->shared->same++;
    }
}

/* --- one batch ---------------------------------------------------------------------------------------------------- */

struct compiling {
    struct worker *worker;
    struct arena *arena;
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
    strbuf_init(&c->why, c->arena);
    c->ok = ptx_compile(c->worker->compiler, c->text, "batch", c->arch, c->fast, PTX_FORMAT_TEXT, c->arena, &c->image,
                        &c->size, &c->why);
}

/* Assembles `ptx`. */
static bool assemble(struct assembling *job, const char *ptx, int first, int arch) {
    char command[4096], name[600], path[620];
    snprintf(name, sizeof name, "%s/sm_%d-%d", job->folder, assemble_archs[arch], first);
    snprintf(path, sizeof path, "%s.ptx", name);
    bool written = write_ptx(path, ptx, arch);
    snprintf(command, sizeof command, "'%s' -v -arch=sm_%d -o '%s.cubin' '%s.ptx' 2>&1", job->ptxas,
             assemble_archs[arch], name, name);
    FILE *report = written ? popen(command, "r") : NULL, *kept = NULL;
    if (report && job->keep) {
        snprintf(path, sizeof path, "%s.txt", name);
        kept = fopen(path, "w");
    }
    if (report) check_report(job, report, arch, kept);
    if (kept) fclose(kept);
    bool ok = report && pclose(report) == 0;
    if (!ok) fprintf(stderr, "ptxas failed on %s.ptx\n", name);
    static const char *const suffixes[] = {"ptx", "cubin"};
    for (int i = 0; i < 2 && !job->keep; i++) {
        snprintf(path, sizeof path, "%s.%s", name, suffixes[i]);
        unlink(path);
    }
    return ok;
}

/* The batch as PTX in the arena; NULL: NVRTC refuses it. */
static const char *compile_batch(struct worker *worker, struct arena *arena, const int *kernels, int n, int arch) {
    enum { MOST_REFUSED = 10 };
    struct assembling *job = worker->job;
    char *text = batch_text(job->all, kernels, n), path[600];
    struct compiling c = {.worker = worker,
                          .arena = arena,
                          .text = text,
                          .arch = assemble_archs[arch],
                          .fast = job->all->items[kernels[0]]->fast};
    bool ok = arena_try(arena, compile, &c) && c.ok;
    if (job->keep) {
        snprintf(path, sizeof path, "%s/sm_%d-%d.cu", job->folder, assemble_archs[arch], kernels[0]);
        write_file(path, text, strlen(text));
    }
    if (!ok && n == 1 && worker->refused++ < MOST_REFUSED)
        fprintf(stderr, "kernel %d (%s): %s\n", kernels[0], job->all->items[kernels[0]]->origin, strbuf_text(&c.why));
    free(text);
    return ok ? c.image : NULL;
}

/* Once through NVRTC, and through ptxas for each architecture of the group. Returns the PTX, in the arena, or NULL. One
 * by one where that fails, so that each bad kernel is named. */
static const char *do_batch(struct worker *worker, struct arena *arena, const int *kernels, int n,
                            const struct arch_group *group) {
    struct assembling *job = worker->job;
    const char *ptx = compile_batch(worker, arena, kernels, n, group->arch[0]);
    bool ok = ptx != NULL;
    if (ptx) {
        check_ptx(job, ptx, group, kernels, n);
        char *rest = strdup(ptx);
        if (!rest) abort();
        const int left = drop_met(job, rest, group, kernels, n);
        for (int i = 0; left && i < group->n; i++) ok = assemble(job, rest, kernels[0], group->arch[i]) && ok;
        free(rest);
    }
    for (int i = 0; !ok && i < n && n > 1; i++) do_batch(worker, arena, kernels + i, 1, group);
    return ptx;
}

/* For every architecture apart, to see where the PTX differs. */
static void do_sample(struct worker *worker, struct arena *arena, const int *kernels, int n) {
    struct assembling *job = worker->job;
    const char *ptx[ARCHS] = {0};
    for (int a = 0; a < ARCHS; a++) {
        if (!job->wanted[a]) continue;
        ptx[a] = do_batch(worker, arena, kernels, n, &(struct arch_group){{a}, 1});
        for (int b = 0; b < a; b++)
            if (job->wanted[b] && !same_ptx(ptx[a], ptx[b]))
                job->shared->differ[a][b] = job->shared->differ[b][a] = true;
    }
    job->shared->compared += n;
}

/* --- all batches -------------------------------------------------------------------------------------------------- */

struct ptx_compiler *assemble_open(struct mem *mem) {
    struct arena arena;
    struct strbuf why;
    arena_init(&arena, mem);
    strbuf_init(&why, &arena);
    struct ptx_compiler *compiler = ptx_compiler_open(mem, 0, &why);
    if (!compiler) fprintf(stderr, "skipped: %s\n", strbuf_text(&why));
    arena_free(&arena);
    return compiler;
}

bool assemble_is_chosen(const struct assembling *job, int kernel) {
    return !job->only || strstr(job->all->items[kernel]->origin, job->only);
}

static enum part part_of(const struct assembling *job, int kernel) {
    const struct collected *item = job->all->items[kernel];
    if (item->calls_library || strstr(item->text, "__CUDA_ARCH__")) return APART;
    return kernel % job->sample == 0 ? SAMPLE : REST;
}

/* Architectures that share their PTX; those of APART share none, and the sample is one group that is taken apart. */
static int group_archs(const struct assembling *job, enum part part, struct arch_group groups[ARCHS]) {
    int n = 0;
    for (int a = 0; a < ARCHS; a++) {
        if (!job->wanted[a]) continue;
        int g = 0;
        while (g < n && part != SAMPLE && (part == APART || job->shared->differ[a][groups[g].arch[0]])) g++;
        if (g == n) groups[n++].n = 0;
        groups[g].arch[groups[g].n++] = a;
    }
    return n;
}

/* What one process does: batches that no other has taken, until there are none. */
static int work(struct assembling *job, int phase) {
    struct worker worker = {.job = job};
    if (!(worker.compiler = assemble_open(&worker.mem))) return 1;
    int turn = 0, mine = job->shared->next[phase]++;
    for (enum part part = phase ? APART : SAMPLE; part <= (phase ? REST : SAMPLE); part++) {
        struct arch_group groups[ARCHS];
        const int n_groups = group_archs(job, part, groups), size = part == SAMPLE ? SAMPLE_BATCH : BATCH;
        for (int g = 0; g < n_groups; g++)
            for (int fast = 0; fast < 2; fast++)
                for (int i = 0; i < job->all->n;) {
                    int kernels[BATCH], n = 0;
                    for (; i < job->all->n && n < size; i++)
                        if (job->all->items[i]->fast == fast && part_of(job, i) == part && assemble_is_chosen(job, i))
                            kernels[n++] = i;
                    if (n == 0 || turn++ != mine) continue;
                    struct arena arena;
                    arena_init(&arena, &worker.mem);
                    if (part == SAMPLE)
                        do_sample(&worker, &arena, kernels, n);
                    else
                        do_batch(&worker, &arena, kernels, n, &groups[g]);
                    if (part == APART && g == 0) job->shared->apart += n;
                    arena_free(&arena);
                    mine = job->shared->next[phase]++;
                }
    }
    ptx_compiler_close(worker.compiler);
    printf("%s: CPU time of a process: NVRTC %.1f s, ptxas %.1f s\n", phase ? "others" : "sample",
           cpu_seconds(RUSAGE_SELF), cpu_seconds(RUSAGE_CHILDREN));
    fflush(stdout);
    return 0;
}

static bool run_workers(struct assembling *job, int phase) {
    int count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) count = 1;
    if (count > MOST_PROCESSES) count = MOST_PROCESSES;
    pid_t children[MOST_PROCESSES];
    fflush(NULL);
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(work(job, phase));
    }
    bool ok = true;
    for (int i = 0; i < count; i++) {
        int status = 1;
        if (children[i] < 0 || waitpid(children[i], &status, 0) < 0 || status != 0) ok = false;
    }
    return ok;
}

static void print_groups(const struct assembling *job) {
    struct arch_group groups[ARCHS];
    const int n = group_archs(job, REST, groups);
    int chosen = 0;
    for (int i = 0; i < job->all->n; i++)
        for (int a = 0; a < ARCHS; a++) chosen += job->wanted[a] && assemble_is_chosen(job, i);
    printf("through NVRTC for each architecture: %d kernels as a sample, %d that may depend on it; others shared by",
           (int)job->shared->compared, (int)job->shared->apart);
    for (int g = 0; g < n; g++)
        for (int i = 0; i < groups[g].n; i++)
            printf("%s sm_%d", i ? " =" : g ? "," : "", assemble_archs[groups[g].arch[i]]);
    printf("\nof %d kernels for all architectures %d have the PTX of another one\n", chosen, job->shared->same);
}

bool assemble_all(struct assembling *job) {
    size_t bytes = sizeof(struct assembled) + sizeof(struct verdict) * (size_t)(job->all->n * ARCHS);
    job->shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (job->shared == MAP_FAILED) {
        perror("mmap");
        job->shared = NULL;
        return false;
    }
    job->shared->bytes = bytes;
    job->verdicts = job->shared->verdicts;
    for (int phase = 0; phase < PHASES; phase++)
        if (!run_workers(job, phase)) return false;
    copy_verdicts(job);
    print_groups(job);
    return true;
}

bool assemble_shares(const struct assembling *job, int arch, int other) {
    return !job->shared->differ[arch][other];
}

void assemble_free(struct assembling *job) {
    if (job->shared) munmap(job->shared, job->shared->bytes);
    job->shared = NULL;
}
