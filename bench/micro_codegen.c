/* micro_codegen.c: the CPU back end alone: time to machine code and time to run, against plain C compiled by gcc.
 * One thread, no runtime around it. Link with the rooms base, ir and codegen/cpu; compile with -O3 -march=native.
 *
 *     micro_codegen [ISA [FILTER]]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codegen/cpu/cpu.h"
#include "ir/parse.h"

enum { N = 10000000, SIDE = 4096, PIXELS = 1024, ROUNDS = 7 };

static double *x, *y, *out;
static float *image, *out32;
static int64_t counts[PIXELS * PIXELS];
static volatile int32_t counts32[PIXELS * PIXELS]; /* volatile: or the compiler would drop the whole loop */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* of this thread alone: other work on the machine counts little */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- plain C ------------------------------------------------------------------------------------------------------ */

static void c_triad(void) {
    for (int i = 0; i < N; i++) out[i] = 2.5 * x[i] + 1.5 * y[i];
}
static void c_functions(void) {
    for (int i = 0; i < N; i++) out[i] = exp(-x[i] * x[i]) * sin(3 * x[i]) + log1p(fabs(x[i]));
}
static void c_sum(void) {
    double lane[32] = {0}, sum = 0;
    for (int i = 0; i + 32 <= N; i += 32)
        for (int l = 0; l < 32; l++) lane[l] += x[i + l];
    for (int l = 0; l < 32; l++) sum += lane[l];
    out[0] = sum;
}
static void c_extremes(void) {
    double low[32], high[32];
    for (int l = 0; l < 32; l++) low[l] = high[l] = x[l];
    for (int i = 0; i + 32 <= N; i += 32)
        for (int l = 0; l < 32; l++) {
            low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
            high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
        }
    for (int l = 1; l < 32; l++) low[0] = fmin(low[0], low[l]), high[0] = fmax(high[0], high[l]);
    out[0] = low[0] + high[0];
}
static void c_argmax(void) {
    int best = 0;
    for (int block = 0; block < N; block += 2000) {
        double lane[16];
        for (int l = 0; l < 16; l++) lane[l] = x[block + l];
        for (int i = block; i < block + 2000; i += 16)
            for (int l = 0; l < 16; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        double most = lane[0];
        for (int l = 1; l < 16; l++) most = lane[l] > most ? lane[l] : most;
        if (most > x[best])
            for (best = block; x[best] != most;) best++;
    }
    out[0] = best;
}
static void c_columns(void) {
    memset(out32, 0, SIDE * sizeof *out32);
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) out32[j] += image[(size_t)i * SIDE + j];
}
static void c_mandelbrot(void) {
    for (int i = 0; i < PIXELS; i++)
        for (int j = 0; j < PIXELS; j++) {
            double cr = -2 + 3.0 * j / PIXELS, ci = -1.5 + 3.0 * i / PIXELS, zr = 0, zi = 0;
            int n = 0;
            while (n < 200 && zr * zr + zi * zi <= 4) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
                n++;
            }
            counts32[i * PIXELS + j] = n;
        }
}

/* --- kernels ------------------------------------------------------------------------------------------------------ */

#define MAP2(body)                                                                                                     \
    "kernel \"k0\" map par 1 red 0 sizes 0 { operand 0 read f64 rank 0 uses 0 operand 1 read f64 rank 0 uses 0 "       \
    "operand 2 write f64 rank 0 body {" body "yield } }"
#define REDUCE1(type, body, reductions, epilogue)                                                                      \
    "kernel \"k0\" lanes par 0 red 1 sizes 0 width 32 { operand 0 read f64 rank 0 uses 0 operand 1 write " type        \
    " rank 0 body {" body "}" reductions "epilogue" epilogue " }"

#define TRIAD                                                                                                          \
    MAP2("%0 = const 2.5 : f64 %1 = read 0 : f64 %2 = const 1.5 : f64 %3 = read 1 : f64 %4 = mul %2, %3 : f64 "        \
         "%5 = fma %0, %1, %4 : f64 store 2, %5 ")
#define FUNCTIONS                                                                                                      \
    MAP2("%0 = read 0 : f64 %1 = neg %0 : f64 %2 = mul %1, %0 : f64 %3 = exp %2 : f64 %4 = const 3 : f64 "             \
         "%5 = mul %4, %0 : f64 %6 = sin %5 : f64 %7 = abs %0 : f64 %8 = log1p %7 : f64 %9 = fma %3, %6, %8 : f64 "    \
         "store 2, %9 ")

static const char columns[] =
    "kernel \"k0\" columns par 1 red 1 sizes 0 { operand 0 read f32 rank 0 uses 0, 1 operand 1 write f32 rank 0 "
    "body { %0 = read 0 : f32 yield %0 } reduce sum f32 of 0 epilogue(%1: f32) { store 1, %1 yield } }";

static const char mandelbrot[] =
    "kernel \"k0\" map par 2 red 0 sizes 0 uses_index diverges { operand 0 write i64 rank 0 body {"
    "%0 = index 1 : i64 %1 = convert %0 : f64 %2 = const 3 : f64 %3 = mul %2, %1 : f64 %4 = const 1024 : f64 "
    "%5 = div %3, %4 : f64 %6 = const -2 : f64 %7 = add %6, %5 : f64 %8 = index 0 : i64 %9 = convert %8 : f64 "
    "%10 = mul %2, %9 : f64 %11 = div %10, %4 : f64 %12 = const -1.5 : f64 %13 = add %12, %11 : f64 "
    "%14 = const 0 : f64 %15 = const 0 : i64 "
    "%16 = loop %14, %14, %15 { while(%17: f64, %18: f64, %19: i64) { %20 = mul %18, %18 : f64 "
    "%21 = fma %17, %17, %20 : f64 %22 = const 4 : f64 %23 = le %21, %22 : bool %24 = const 200 : i64 "
    "%25 = lt %19, %24 : bool %26 = and %25, %23 : bool yield %26 } "
    "do(%27: f64, %28: f64, %29: i64) { %30 = mul %28, %28 : f64 %31 = neg %30 : f64 %32 = fma %27, %27, %31 : f64 "
    "%33 = add %32, %7 : f64 %34 = const 2 : f64 %35 = mul %34, %27 : f64 %36 = fma %35, %28, %13 : f64 "
    "%37 = const 1 : i64 %38 = add %29, %37 : i64 yield %33, %36, %38 } } "
    "%39 = result %16, 2 : i64 store 0, %39 yield } }";

struct micro {
    const char *name, *text;
    int64_t extents[2];
    bool nontemporal;
    double bytes; /* moved, at the least */
    void (*plain)(void);
};

static const struct micro micros[] = {
    {"triad", TRIAD, {N}, false, 24.0 * N, c_triad},
    {"triad past cache", TRIAD, {N}, true, 24.0 * N, c_triad},
    {"triad in L2", TRIAD, {20000}, false, 24.0 * 20000, NULL},
    {"exp sin log1p", FUNCTIONS, {N}, false, 16.0 * N, c_functions},
    {"sum",
     REDUCE1("f64", "%0 = read 0 : f64 yield %0 ", "reduce sum f64 of 0 ", "(%1: f64) { store 1, %1 yield }"),
     {N},
     false,
     8.0 * N,
     c_sum},
    {"min + max",
     REDUCE1("f64", "%0 = read 0 : f64 yield %0 ", "reduce min f64 of 0 reduce max f64 of 0 ",
             "(%1: f64, %2: f64) { %3 = add %1, %2 : f64 store 1, %3 yield }"),
     {N},
     false,
     8.0 * N,
     c_extremes},
    {"argmax",
     REDUCE1("i64", "%0 = read 0 : f64 yield %0 ", "reduce argmax i64 of 0 ", "(%1: i64) { store 1, %1 yield }"),
     {N},
     false,
     8.0 * N,
     c_argmax},
    {"sum + var",
     REDUCE1("f64", "%0 = read 0 : f64 %1 = const true : bool yield %0, %0, %1 ",
             "reduce sum f64 of 0 reduce var f64 of 1 ",
             "(%2: f64, %3: f64) { %4 = add %2, %3 : f64 store 1, %4 yield }"),
     {N},
     false,
     8.0 * N,
     NULL},
    {"columns f32", columns, {SIDE, SIDE}, false, 4.0 * SIDE *SIDE, c_columns},
    {"mandelbrot", mandelbrot, {PIXELS, PIXELS}, false, 0, c_mandelbrot},
};

static void run(const struct micro *micro, const struct ir_kernel *kernel, const struct kernel_code *code) {
    static const int64_t along[] = {8}, by_rows[] = {4, 4 * SIDE};
    struct kernel_argument arguments[] = {
        {(char *)x, along, NULL}, {(char *)y, along, NULL}, {(char *)out, along, NULL}};
    if (kernel->kind == KERNEL_LANES) arguments[1].data = (char *)out;
    if (kernel->kind == KERNEL_COLUMNS) {
        arguments[0] = (struct kernel_argument){(char *)image, by_rows, NULL};
        arguments[1].data = (char *)out32;
    }
    if (kernel->n_par == 2) arguments[0].data = (char *)counts;
    int cancel = 0;
    struct kernel_watch watch = {.cancel = &cancel, .error_position = INT64_MAX};
    struct kernel_call call = {arguments, micro->extents, NULL, &watch};
    if (kernel->kind == KERNEL_LANES) {
        int64_t blocks = (micro->extents[0] + code->block - 1) / code->block;
        static char partials[1 << 20];
        code->blocks(&call, 0, 0, blocks, partials);
        code->finish(&call, 0, blocks, partials);
    } else {
        code->range(&call, 0, kernel->n_par == 2 ? micro->extents[0] * micro->extents[1] : micro->extents[0]);
    }
}

static double best_of(void (*plain)(void), const struct micro *micro, const struct ir_kernel *kernel,
                      const struct kernel_code *code) {
    double best = INFINITY;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now();
        if (plain)
            plain();
        else
            run(micro, kernel, code);
        double time = now() - start;
        if (time < best) best = time;
    }
    return best;
}

struct options {
    const char *isa, *filter;
    struct arena *arena;
};

static void measure(void *argument) {
    struct options *options = argument;
    struct strbuf why;
    strbuf_init(&why, options->arena);
    double start = now();
    struct cpu_engine_options engine_options = {.ulp = 4, .isa = options->isa};
    struct cpu_engine *engine = cpu_engine_new(options->arena->mem, &engine_options, &why);
    if (!engine) {
        fprintf(stderr, "%s\n", strbuf_text(&why));
        return;
    }
    struct cpu_info info;
    cpu_engine_info(engine, &info);
    printf("%s, %s, LLVM %s; engine %.2f ms\n%-18s %5s %6s %11s %10s %10s %7s %6s\n", info.cpu, info.isa,
           info.llvm_version, 1e3 * (now() - start), "kernel", "width", "bytes", "compile ms", "run ms", "C ms",
           "ratio", "GB/s");
    for (size_t i = 0; i < sizeof micros / sizeof *micros; i++) {
        const struct micro *micro = &micros[i];
        if (options->filter && !strstr(micro->name, options->filter)) continue;
        struct ir_kernel *kernel = parse_kernel(options->arena, micro->text, &why);
        if (!kernel) {
            fprintf(stderr, "%s: %s\n", micro->name, strbuf_text(&why));
            continue;
        }
        body_number(&kernel->body);
        body_number(&kernel->epilogue);
        enum access_class access[] = {ACCESS_UNIT, ACCESS_UNIT, ACCESS_UNIT};
        struct cpu_variant variant = {.access = access,
                                      .nontemporal = micro->nontemporal,
                                      .single_row = !micro->extents[1] || kernel->kind == KERNEL_COLUMNS};
        struct kernel_code code = {0};
        double compile = INFINITY;
        int compiles =
            getenv("MICRO_COMPILES") ? atoi(getenv("MICRO_COMPILES")) : ROUNDS; /* many: to profile the compiler */
        for (int r = 0; kernel && r < compiles; r++) {
            if (r) cpu_kernel_free(engine, &code);
            start = now();
            if (!cpu_kernel_compile(engine, kernel, &variant, &code, &why)) kernel = NULL;
            if (now() - start < compile) compile = now() - start;
        }
        if (!kernel) {
            fprintf(stderr, "%s: %s\n", micro->name, strbuf_text(&why));
            continue;
        }
        double ours = best_of(NULL, micro, kernel, &code),
               plain = micro->plain ? best_of(micro->plain, NULL, NULL, NULL) : 0;
        printf("%-18s %5d %6zu %11.2f %10.3f %10.3f %7.2f %6.1f\n", micro->name, code.vector_width, code.code_bytes,
               1e3 * compile, 1e3 * ours, 1e3 * plain, plain ? plain / ours : 0, 1e-9 * micro->bytes / ours);
        if (options->filter && getenv("MICRO_TEXT")) {
            struct strbuf text;
            strbuf_init(&text, options->arena);
            cpu_kernel_text(engine, kernel, &variant, *getenv("MICRO_TEXT") == 'l' ? CPU_TEXT_LLVM : CPU_TEXT_ASM,
                            &text, &why);
            puts(strbuf_text(&text));
        }
        cpu_kernel_free(engine, &code);
    }
    cpu_engine_free(engine);
}

int main(int argc, char **argv) {
    struct mem mem = {0};
    struct arena arena;
    arena_init(&arena, &mem);
    x = aligned_alloc(64, N * sizeof *x), y = aligned_alloc(64, N * sizeof *y),
    out = aligned_alloc(64, N * sizeof *out);
    image = aligned_alloc(64, (size_t)SIDE * SIDE * sizeof *image), out32 = aligned_alloc(64, SIDE * sizeof *out32);
    if (!x || !y || !out || !image || !out32) return 1;
    for (int i = 0; i < N; i++) x[i] = (double)(i % 9973) / 2500 - 2, y[i] = (double)(i % 7), out[i] = 0;
    for (int i = 0; i < SIDE * SIDE; i++) image[i] = (float)(i % 1001);
    struct options options = {argc > 1 && *argv[1] ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, &arena};
    bool ok = arena_try(&arena, measure, &options);
    arena_free(&arena);
    return ok ? 0 : 1;
}
