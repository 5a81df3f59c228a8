/* NVRTC through ptx.h: what it says when it is missing, too old or broken; and, where one is installed, versions,
 * architectures, code and its errors. Needs no GPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "codegen/ptx/nvrtc.h"
#include "support/check.h"
#include "support/failing.h"

static struct failing failing;
static struct mem mem;
static struct arena arena;
static struct ptx_compiler *real; /* NULL: none is installed */
static char real_why[1024];

static const char square[] = "extern \"C\" __global__ void k0_map(const double *x, double *y, long long n)\n"
                             "{\n"
                             "    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;\n"
                             "    if (i < n) y[i] = x[i] * x[i] + 1.0;\n"
                             "}\n";

static void need_nvrtc(void) {
    if (real) return;
    fprintf(stderr, "skipped: %s\n", real_why);
    skip();
}

/* --- looking for it --------------------------------------------------------------------------------------------- */

/* What is said of an NVRTC that is looked for in `folder` alone. */
static const char *refused(const char *folder) {
    const char *const folders[] = {folder, NULL};
    struct strbuf why;
    strbuf_init(&why, &arena);
    struct ptx_compiler *compiler = nvrtc_open(&mem, 0, false, folders, &why);
    assert_null(compiler);
    return strbuf_text(&why);
}

static void test_missing(void **state) {
    (void)state;
    const char *why = refused("/nowhere/at/all");
    assert_non_null(strstr(why, "NVRTC was not found"));
    assert_non_null(strstr(why, "in lib64 or lib of /nowhere/at/all"));
    assert_non_null(strstr(why, "libnvrtc.so.13, .12, .11.2 or .so"));
    assert_null(strchr(why, '\n'));
}

static void test_too_old(void **state) {
    (void)state;
    const char *why = refused(WEFT_OLD_NVRTC);
    assert_non_null(strstr(why, "NVRTC 10.2"));
    assert_non_null(strstr(why, "is too old: 11.2 or later is needed"));
    assert_null(strchr(why, '\n'));
}

static void test_broken(void **state) {
    (void)state;
    char folder[] = "/tmp/weft-nvrtc-XXXXXX", lib[64], file[96];
    assert_non_null(mkdtemp(folder));
    snprintf(lib, sizeof lib, "%s/lib", folder);
    snprintf(file, sizeof file, "%s/libnvrtc.so.12", lib);
    assert_int_equal(mkdir(lib, 0700), 0);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs("this is no library\n", f);
    fclose(f);
    const char *why = refused(folder);
    unlink(file), rmdir(lib), rmdir(folder);
    assert_non_null(strstr(why, "NVRTC could not be loaded"));
    assert_non_null(strstr(why, "libnvrtc.so.12"));
}

/* An older one that comes first does not hide one that will do. */
static void test_search_goes_on(void **state) {
    (void)state;
    need_nvrtc();
    char root[512];
    snprintf(root, sizeof root, "%s", ptx_compiler_path(real));
    for (int up = 0; up < 2; up++) { /* …/lib64/libnvrtc.so.13 */
        char *slash = strrchr(root, '/');
        if (slash) *slash = 0;
    }
    struct strbuf why;
    strbuf_init(&why, &arena);
    const char *const found[] = {"/nowhere", WEFT_OLD_NVRTC, root, NULL};
    struct ptx_compiler *compiler = nvrtc_open(&mem, 0, false, found, &why);
    if (!compiler) { /* installed in a folder of another name */
        assert_non_null(strstr(strbuf_text(&why), "too old"));
        skip();
    }
    int major, minor;
    ptx_compiler_version(compiler, &major, &minor);
    assert_true(major > 10);
    ptx_compiler_close(compiler);
}

/* Of several the newest whose code the driver takes, wherever it is; only if there is none a newer one. */
static void test_driver_version(void **state) {
    (void)state;
    const struct {
        int driver, major;
        const char *folders[3];
    } cases[] = {
        {13, 13, {WEFT_STUB_NVRTC "/both"}},
        {12, 12, {WEFT_STUB_NVRTC "/both"}},
        {0, 13, {WEFT_STUB_NVRTC "/both"}},
        {14, 13, {WEFT_STUB_NVRTC "/both"}},
        {11, 13, {WEFT_STUB_NVRTC "/both"}},
        {13, 14, {WEFT_STUB_NVRTC "/new"}},
        {12, 12, {WEFT_STUB_NVRTC "/new", WEFT_STUB_NVRTC "/both"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf why;
        int major, minor;
        strbuf_init(&why, &arena);
        struct ptx_compiler *compiler = nvrtc_open(&mem, cases[i].driver, false, cases[i].folders, &why);
        if (!compiler) fail_msg("case %zu: %s", i, strbuf_text(&why));
        ptx_compiler_version(compiler, &major, &minor);
        ptx_compiler_close(compiler);
        if (major != cases[i].major) fail_msg("case %zu: NVRTC %d", i, major);
    }
}

static void test_open_without_memory(void **state) {
    (void)state;
    long before = failing.blocks;
    struct strbuf why;
    strbuf_init(&why, &arena);
    struct ptx_compiler *compiler = NULL;
    for (int at = 1; at < 10 && !compiler; at++) {
        failing.fail_at = at;
        compiler = ptx_compiler_open(&mem, 0, &why);
        bool failed = failing.fail_at == 0;
        failing.fail_at = 0;
        if (compiler) break;
        assert_int_equal(failing.blocks, before);
        if (!failed) break; /* not installed: `why` says so */
        assert_string_equal(strbuf_text(&why), "");
    }
    assert_true(!compiler == !real);
    ptx_compiler_close(compiler);
}

/* --- architectures ---------------------------------------------------------------------------------------------- */

static void test_names(void **state) {
    (void)state;
    assert_int_equal(ptx_parse_arch("sm_75"), 75);
    assert_int_equal(ptx_parse_arch("sm_90"), 90);
    assert_int_equal(ptx_parse_arch("sm_120"), 120);
    static const char *const wrong[] = {"",       "90",         "sm_",   "sm_9",   "sm_90a", "sm_1200",
                                        "sm_090", "compute_90", "SM_90", "sm_ 90", "sm_-9"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_int_equal(ptx_parse_arch(wrong[i]), 0);
    assert_int_equal(ptx_parse_arch(NULL), 0);
}

/* All that NVRTC knows, from its own list. */
static int known_archs(int *archs, int most) {
    struct strbuf list;
    strbuf_init(&list, &arena);
    ptx_compiler_archs(real, &list);
    int n = 0;
    for (const char *at = strbuf_text(&list); (at = strstr(at, "sm_")) && n < most; at += 3) {
        char name[16];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        archs[n++] = ptx_parse_arch(name);
    }
    return n;
}

static void test_archs(void **state) {
    (void)state;
    need_nvrtc();
    int major, minor, archs[64], n = known_archs(archs, 64);
    ptx_compiler_version(real, &major, &minor);
    assert_true(major > 11 || (major == 11 && minor >= 2));
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        assert_true(archs[i] >= 75);
        assert_true(i == 0 || archs[i] > archs[i - 1]);
        assert_int_equal(ptx_compiler_arch(real, archs[i]), archs[i]);
    }
    assert_int_equal(ptx_compiler_arch(real, 70), 0);
    assert_int_equal(ptx_compiler_arch(real, 0), 0);
    assert_int_equal(ptx_compiler_arch(real, 85), 80);            /* between 80 and 86 */
    assert_int_equal(ptx_compiler_arch(real, 990), archs[n - 1]); /* of days to come */
}

/* --- code ------------------------------------------------------------------------------------------------------- */

static bool compile(const char *source, int arch, bool fast, enum ptx_format format, const char **image, size_t *size,
                    struct strbuf *why) {
    const void *out = NULL;
    strbuf_init(why, &arena);
    bool ok = ptx_compile(real, source, "k0_map", arch, fast, format, &arena, &out, size, why);
    *image = out;
    return ok;
}

static void test_code(void **state) {
    (void)state;
    need_nvrtc();
    int archs[64], n = known_archs(archs, 64);
    struct strbuf why;
    const char *image;
    size_t size;
    for (int i = 0; i < n; i++) {
        if (!compile(square, archs[i], false, PTX_FORMAT_CUBIN, &image, &size, &why)) fail_msg("%s", strbuf_text(&why));
        assert_true(size > 64);
        assert_memory_equal(image, "\177ELF", 4);
        if (!compile(square, archs[i], false, PTX_FORMAT_TEXT, &image, &size, &why)) fail_msg("%s", strbuf_text(&why));
        assert_int_equal(image[size - 1], 0);
        assert_int_equal(strlen(image), size - 1);
        char target[32];
        snprintf(target, sizeof target, ".target sm_%d", archs[i]);
        assert_non_null(strstr(image, target));
        assert_non_null(strstr(image, ".visible .entry k0_map("));
    }
}

static void test_contraction(void **state) {
    (void)state;
    need_nvrtc();
    struct strbuf why;
    const char *image;
    size_t size;
    int arch = ptx_compiler_arch(real, 80);
    assert_true(compile(square, arch, false, PTX_FORMAT_TEXT, &image, &size, &why));
    assert_non_null(strstr(image, "mul"));
    assert_null(strstr(image, "fma.rn.f64"));
    assert_true(compile(square, arch, true, PTX_FORMAT_TEXT, &image, &size, &why));
    assert_non_null(strstr(image, "fma.rn.f64"));
    struct strbuf exact, fast;
    strbuf_init(&exact, &arena), strbuf_init(&fast, &arena);
    ptx_options_text(false, 80, PTX_FORMAT_CUBIN, &exact);
    ptx_options_text(true, 90, PTX_FORMAT_TEXT, &fast);
    assert_non_null(strstr(strbuf_text(&exact), "--gpu-architecture=sm_80 --fmad=false"));
    assert_non_null(strstr(strbuf_text(&fast), "--gpu-architecture=compute_90 --fmad=true"));
    assert_null(strchr(strbuf_text(&exact), '\n'));
}

static void test_errors(void **state) {
    (void)state;
    need_nvrtc();
    struct strbuf why;
    const char *image;
    size_t size;
    int arch = ptx_compiler_arch(real, 80);
    assert_false(
        compile("extern \"C\" __global__ void k0_map(double *y)\n{\n    y[0] = nosuch(1.0);\n    y[1] = ;\n}\n", arch,
                false, PTX_FORMAT_CUBIN, &image, &size, &why));
    const char *text = strbuf_text(&why);
    assert_non_null(strstr(text, "refused kernel `k0_map` for sm_8"));
    assert_non_null(strstr(text, "k0_map:3: error: identifier \"nosuch\" is undefined"));
    assert_non_null(strstr(text, "     3 |     y[0] = nosuch(1.0);"));
    assert_non_null(strstr(text, "k0_map:4: error: "));
    assert_non_null(strstr(text, "     4 |     y[1] = ;"));

    /* Hundreds of errors: the first few. */
    struct strbuf many;
    strbuf_init(&many, &arena);
    strbuf_puts(&many, "extern \"C\" __global__ void k0_map(double *y)\n{\n");
    for (int i = 0; i < 300; i++) strbuf_printf(&many, "    y[%d] = nosuch%d;\n", i, i);
    strbuf_puts(&many, "}\n");
    assert_false(compile(strbuf_text(&many), arch, false, PTX_FORMAT_TEXT, &image, &size, &why));
    assert_non_null(strstr(strbuf_text(&why), "nosuch0"));
    assert_true(why.length < 900);

    /* No place in the source: NVRTC's own words. */
    assert_false(compile(square, 33, false, PTX_FORMAT_CUBIN, &image, &size, &why));
    assert_non_null(strstr(strbuf_text(&why), "sm_33"));
    assert_non_null(strstr(strbuf_text(&why), "nvrtcCompileProgram"));

    /* It goes on working. */
    assert_true(compile(square, arch, false, PTX_FORMAT_CUBIN, &image, &size, &why));
}

struct starved {
    struct arena arena;
    bool ok;
};

static void compile_starved(void *argument) {
    struct starved *s = argument;
    const void *image;
    size_t size;
    struct strbuf why;
    strbuf_init(&why, &s->arena);
    s->ok = ptx_compile(real, square, "k0_map", ptx_compiler_arch(real, 80), false, PTX_FORMAT_CUBIN, &s->arena, &image,
                        &size, &why);
}

static void test_compile_without_memory(void **state) {
    (void)state;
    need_nvrtc();
    struct starved s = {.ok = false};
    int refused_times = 0;
    for (int at = 1; at < 20 && !s.ok; at++) {
        arena_init(&s.arena, &mem);
        failing.fail_at = at;
        bool returned = arena_try(&s.arena, compile_starved, &s);
        failing.fail_at = 0;
        assert_true(returned == s.ok);
        refused_times += !returned;
        arena_free(&s.arena);
    }
    assert_true(s.ok);
    assert_true(refused_times > 0);
}

/* A generous bound: NVRTC takes 25 to 40 ms here, and the first one 50 ms more if its file is not in memory. */
static void test_time(void **state) {
    (void)state;
    need_nvrtc();
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        struct timespec a, b;
        struct strbuf why;
        const char *image;
        size_t size;
        clock_gettime(CLOCK_MONOTONIC, &a);
        assert_true(compile(square, ptx_compiler_arch(real, 80), false, PTX_FORMAT_CUBIN, &image, &size, &why));
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
        if (ms < best) best = ms;
    }
    fprintf(stderr, "a small kernel to machine code: %.1f ms\n", best);
    assert_true(best < 2000);
}

static int setup(void **state) {
    (void)state;
    failing_init(&failing, &mem);
    arena_init(&arena, &mem);
    struct strbuf why;
    strbuf_init(&why, &arena);
    real = ptx_compiler_open(&mem, 0, &why);
    snprintf(real_why, sizeof real_why, "%s", strbuf_text(&why));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ptx_compiler_close(real);
    arena_free(&arena);
    return failing.blocks != 0 || failing.wrong_sizes != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_too_old),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_search_goes_on),
        cmocka_unit_test(test_driver_version),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_open_without_memory),
        cmocka_unit_test(test_archs),
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_contraction),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_compile_without_memory),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
