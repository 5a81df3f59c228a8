/* A driver that fails: each of its calls in turn, memory that runs out, a device that is lost, caches that are corrupt,
 * libraries that are missing. Every failure is an error that says so; nothing leaks; the CPU and, where the device is
 * well, the same context go on. On the fake GPU only.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "gpu/fixture.h"
#include "gpu/shim/control.h"

enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    DEINITIALIZED = 4,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    UNKNOWN = 999
};

static char folder[] = "/tmp/weft-gpu-XXXXXX"; /* cubins of this test */

static jit_context *new_context(const char *where, const char *cache, jit_error *error) {
    jit_options options = {.struct_size = sizeof options, .device = where, .cache_folder = cache};
    return jit_context_create(&options, error);
}

enum { N = 500 };
static const char program[] =
    "param x: f64[n]\nufunc pick(i, t: [n]) = t[i64(i)]\nreturn x * 2 + 1, sum(x), pick(x, x)";

static bool right(const double *map, double sum, const double *picked) {
    bool same = sum == N * (N - 1) / 2;
    for (int i = 0; i < N; i++) same = same && map[i] == 2 * i + 1 && picked[i] == i;
    return same;
}

static void check_status(jit_status status, const jit_error *error, const char *what) {
    if (status) fixture_error(status, error, what);
}

/* One call from host memory; the result must be right if it succeeds. */
static jit_status run_host(jit_function *function, jit_error *error) {
    double x[N], map[N] = {0}, picked[N] = {0}, sum = 0;
    for (int i = 0; i < N; i++) x[i] = i;
    jit_status status = jit_call(
        function, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1,
        (DLTensor *[]){jit_array(map, JIT_F64, N), jit_scalar_f64(&sum), jit_array(picked, JIT_F64, N)}, 3, error);
    check_status(status, error, "from host memory");
    if (status == JIT_OK) assert_true(right(map, sum, picked));
    return status;
}

/* One from device memory into memory of Weft's, waited for later. */
static jit_status run_device(jit_function *function, const struct array *x, jit_error *error) {
    DLManagedTensor *made[3] = {0};
    jit_pending *pending = NULL;
    jit_call_options options = {.struct_size = sizeof options, .pending = &pending};
    jit_status status = jit_call_alloc(function, (const DLTensor *[]){&x->tensor}, 1, made, 3, &options, error);
    if (status) assert_null(pending);
    if (status == JIT_OK) status = jit_wait(pending, error);
    check_status(status, error, "from device memory");
    for (int i = 0; i < 3; i++)
        if (made[i]) made[i]->deleter(made[i]);
    return status;
}

static void check_cpu(void) {
    jit_error error = {0};
    jit_context *context = new_context(NULL, "", &error);
    assert_non_null(context);
    jit_function *function = fixture_compile(context, program);
    if (run_host(function, &error)) fail_msg("%s", error.message);
    jit_function_free(function);
    jit_context_free(context);
}

static long objects(void) {
    return FAKE(shim_objects)();
}

/* --- each call of the driver in turn -------------------------------------------------------------------------------
 */

/* Everything from the context on, with what fails on its way. True if nothing did. */
static bool whole_life(const struct array *x, jit_context **context, jit_function **function) {
    jit_error error = {0};
    bool fine = true;
    *function = NULL;
    *context = new_context("cuda:0", folder, &error);
    if (!*context) {
        fixture_error(error.code, &error, "context");
        return false;
    }
    *function = jit_compile(*context, program, &error);
    if (!*function) {
        fixture_error(error.code, &error, "compile");
        return false;
    }
    fine &= run_host(*function, &error) == JIT_OK;
    fine &= run_device(*function, x, &error) == JIT_OK;
    return fine;
}

static void make_array(struct array *x) {
    double values[N];
    for (int i = 0; i < N; i++) values[i] = i;
    array_new(x, values, N);
}

/* What a lost device leaves behind goes with its primary context, which the last one who holds it ends. */
static void renew_device(struct array *x) {
    device_close(&device);
    assert_int_equal(objects(), 0);
    assert_null(device_open(&device, 0));
    make_array(x);
}

/* The nth call fails, for n from 1 to the last that is made. A call that makes another context current and fails is the
 * end of the device, as some errors of any call are. */
static void fail_each(int code, bool may_lose) {
    struct array x;
    jit_context *context;
    jit_function *function;
    make_array(&x);
    assert_true(whole_life(&x, &context, &function)); /* cubins are on disk from here on */
    jit_function_free(function);
    jit_context_free(context);
    long before = objects(), n = 1, unnoticed = 0, lost = 0, wrong = 0;
    for (;; n++) {
        jit_error error = {0};
        long calls = FAKE(shim_calls)(NULL);
        FAKE(shim_fail)(NULL, n, code);
        bool fine = whole_life(&x, &context, &function), is_lost = false;
        calls = FAKE(shim_calls)(NULL) - calls;
        FAKE(shim_fail)(NULL, 0, 0);
        if (calls < n) {
            assert_true(fine);
            break;
        }
        const char *call = FAKE(shim_failed)();
        bool entering = !strncmp(call, "cuCtxPushCurrent", 16);
        unnoticed += fine;
        if (!function) is_lost = may_lose || entering;
        if (function) { /* the context goes on */
            jit_status status = run_host(function, &error);
            is_lost = status == JIT_DEVICE;
            if (status == JIT_OK) status = run_device(function, &x, &error);
            bool allowed = is_lost && (may_lose || entering);
            if (status && !allowed && ++wrong < 10)
                print_error("error %d of call %ld, %s; the next one: %s\n", code, n, call, error.message);
        }
        jit_function_free(function);
        jit_context_free(context);
        if (is_lost) {
            lost++;
            renew_device(&x);
        } else if (objects() != before && ++wrong < 10) {
            print_error("error %d of call %ld, %s: %ld objects more\n", code, n, call, objects() - before);
        }
        before = objects();
    }
    jit_function_free(function);
    jit_context_free(context);
    print_message("error %d of each of %ld calls: %ld not noticed, %ld times the device was lost\n", code, n - 1,
                  unnoticed, lost);
    assert_int_equal(wrong, 0);
    assert_true(n > 20);
    array_free(&x);
    check_cpu();
}

static void test_each_call_fails(void **state) {
    (void)state;
    fail_each(INVALID_VALUE, false);
    fail_each(OUT_OF_MEMORY, false);
    if (SLOWNESS == 1) fail_each(UNKNOWN, true);
    fail_each(ILLEGAL_ADDRESS, true);
}

/* --- memory --------------------------------------------------------------------------------------------------------
 */

static void test_out_of_memory(void **state) {
    (void)state;
    jit_error error = {0};
    jit_context *context = new_context("cuda:0", folder, &error);
    assert_non_null(context);
    jit_function *function = fixture_compile(context, "param x: f64[n]\nreturn x[::-1] + zeros(20000000), sum(x)");
    double x[N] = {0};
    long before = objects();
    FAKE(shim_set_memory)(0, (size_t)64 << 20);
    for (int i = 0; i < 3; i++) {
        DLManagedTensor *made[2] = {0};
        int64_t n = 20000000;
        double *big = calloc((size_t)n, sizeof *big);
        assert_non_null(big);
        jit_status status =
            jit_call_alloc(function, (const DLTensor *[]){jit_array(big, JIT_F64, n)}, 1, made, 2, NULL, &error);
        free(big);
        fixture_expect(JIT_MEMORY, status, &error, "160 MB of 64 MiB");
        /* How much was asked for and how much is free. */
        int numbers = 0;
        for (const char *p = error.message; *p; p++)
            numbers += (p == error.message || p[-1] == ' ') && *p >= '0' && *p <= '9';
        if (numbers < 2) fail_msg("no numbers in: %s", error.message);
        assert_null(made[0]);
    }
    (void)x;
    FAKE(shim_set_memory)(0, (size_t)8 << 30);
    assert_true(objects() <= before + 4); /* what the context keeps for the next call */
    jit_function_free(function);
    function = fixture_compile(context, program);
    if (run_host(function, &error)) fail_msg("%s", error.message);
    jit_function_free(function);
    jit_context_free(context);
}

/* The host's own bound. */
static void test_device_memory_limit(void **state) {
    (void)state;
    jit_error error = {0};
    jit_options options = {
        .struct_size = sizeof options, .device = "cuda:0", .cache_folder = folder, .max_device_memory = 1 << 20};
    jit_context *context = jit_context_create(&options, &error);
    if (!context) fail_msg("%s", error.message);
    jit_function *function = fixture_compile(context, program);
    if (run_host(function, &error)) fail_msg("%s", error.message);
    jit_function *large = fixture_compile(context, "param n: i64\nreturn sum(arange(n) * 2)");
    int64_t n = 10, sum = 0;
    jit_status status =
        jit_call(large, (const DLTensor *[]){jit_scalar_i64(&n)}, 1, (DLTensor *[]){jit_scalar_i64(&sum)}, 1, &error);
    if (status) fail_msg("%s", error.message);
    assert_int_equal(sum, 90);
    jit_function_free(large);
    large = fixture_compile(context, "param x: f64[n]\nreturn x + 1");
    double *big = calloc(1 << 18, sizeof *big);
    assert_non_null(big);
    status = jit_call(large, (const DLTensor *[]){jit_array(big, JIT_F64, 1 << 18)}, 1,
                      (DLTensor *[]){jit_array(big, JIT_F64, 1 << 18)}, 1, &error);
    free(big);
    assert_true(status == JIT_LIMIT || status == JIT_MEMORY);
    fixture_error(status, &error, "2 MiB of 1");
    if (run_host(function, &error)) fail_msg("%s", error.message);
    jit_function_free(large);
    jit_function_free(function);
    jit_context_free(context);
}

/* --- a device that dies --------------------------------------------------------------------------------------------
 */

static void test_lost_device(void **state) {
    (void)state;
    static const int codes[] = {ILLEGAL_ADDRESS, LAUNCH_FAILED, UNKNOWN, DEINITIALIZED};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        jit_error error = {0};
        double values[N];
        for (int k = 0; k < N; k++) values[k] = k;
        struct array x;
        array_new(&x, values, N);
        jit_context *context = new_context(NULL, folder, &error); /* on the CPU; device tensors run on theirs */
        jit_function *function = fixture_compile(context, program);
        if (run_device(function, &x, &error)) fail_msg("%s", error.message);
        FAKE(shim_lose_device)(codes[i]);
        if (i % 2) usleep(200000); /* what is known of pointers is forgotten, and asked of the lost device */
        fixture_expect(JIT_DEVICE, run_device(function, &x, &error), &error, "a lost device");
        fixture_expect(JIT_DEVICE, run_device(function, &x, &error), &error, "a lost device, again");
        if (run_host(function, &error)) fail_msg("the CPU: %s", error.message);
        jit_context *gpu = new_context("cuda:0", folder, &error);
        if (!gpu) fixture_expect(JIT_DEVICE, error.code, &error, "a context on a lost device");
        jit_context_free(gpu);
        jit_function_free(function);
        jit_context_free(context);
        FAKE(shim_lose_device)(0);
        device_close(&device); /* the primary context is made anew */
        assert_null(device_open(&device, 0));
        context = new_context("cuda:0", folder, &error);
        if (!context) fail_msg("after code %d: %s", codes[i], error.message);
        function = fixture_compile(context, program);
        if (run_host(function, &error)) fail_msg("%s", error.message);
        jit_function_free(function);
        jit_context_free(context);
    }
}

/* It dies while a call runs: by a driver call in the middle that says so, and everything after it. */
static void test_lost_in_a_call(void **state) {
    (void)state;
    jit_error error = {0};
    jit_context *context = new_context("cuda:0", folder, &error);
    assert_non_null(context);
    jit_function *function = fixture_compile(context, program);
    if (run_host(function, &error)) fail_msg("%s", error.message);
    FAKE(shim_fail)("cuLaunchKernel", 2, LAUNCH_FAILED);
    fixture_expect(JIT_DEVICE, run_host(function, &error), &error, "a launch that failed");
    assert_non_null(strstr(error.message, "lost"));
    FAKE(shim_fail)("cuLaunchKernel", 0, 0);
    fixture_expect(JIT_DEVICE, run_host(function, &error), &error, "afterwards");
    jit_function_free(function);
    jit_context_free(context);
    check_cpu();
}

static void test_unknown_architectures(void **state) {
    (void)state;
    static const int archs[] = {30, 50, 61, 70, 990};
    device_close(&device);
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        jit_error error = {0};
        double x[N] = {0};
        FAKE(shim_set_arch)(0, archs[i]);
        jit_context *context = new_context("cuda:0", "", &error);
        jit_function *function = context ? jit_compile(context, "param x: f64[n]\nx + 1", &error) : NULL;
        jit_status status = function ? jit_call(function, (const DLTensor *[]){jit_array(x, JIT_F64, N)}, 1,
                                                (DLTensor *[]){jit_array(x, JIT_F64, N)}, 1, &error)
                                     : error.code;
        if (archs[i] < 75) {
            char name[20];
            fixture_expect(JIT_DEVICE, status, &error, "an old GPU");
            snprintf(name, sizeof name, "sm_%d", archs[i]);
            if (!strstr(error.message, name)) fail_msg("%s is not named: %s", name, error.message);
        } else if (status) { /* one that NVRTC does not know runs through PTX, or says why not */
            fixture_error(status, &error, "a new GPU");
        } else {
            assert_true(x[N - 1] == 1);
        }
        jit_function_free(function);
        jit_context_free(context);
    }
    FAKE(shim_set_arch)(0, 90);
    assert_null(device_open(&device, 0));
}

/* --- the disk cache -------------------------------------------------------------------------------------------------
 */

enum harm { CUT_TO_NOTHING, CUT_IN_HALF, FLIP_FIRST, FLIP_MIDDLE, FLIP_LAST, LONGER, UNREADABLE, A_FOLDER, HARMS };

static void harm_file(const char *path, enum harm harm) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    off_t at = harm == FLIP_FIRST ? 0 : harm == FLIP_MIDDLE ? info.st_size / 2 : info.st_size - 1;
    FILE *file = harm == A_FOLDER ? NULL : fopen(path, "r+b");
    switch (harm) {
    case CUT_TO_NOTHING: assert_int_equal(ftruncate(fileno(file), 0), 0); break;
    case CUT_IN_HALF: assert_int_equal(ftruncate(fileno(file), info.st_size / 2), 0); break;
    case LONGER:
        fseek(file, 0, SEEK_END);
        fputs("more", file);
        break;
    case UNREADABLE: chmod(path, 0); break;
    case A_FOLDER:
        unlink(path);
        assert_int_equal(mkdir(path, 0700), 0);
        break;
    default: {
        fseek(file, at, SEEK_SET);
        int c = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(c ^ 0x10, file);
    }
    }
    if (file) fclose(file);
}

/* Does it to every file below, and counts them. */
static int harm_all(const char *path, enum harm harm) {
    int count = 0;
    DIR *dir = opendir(path);
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[1000];
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        assert_int_equal(lstat(name, &info), 0);
        if (S_ISDIR(info.st_mode))
            count += harm_all(name, harm);
        else
            harm_file(name, harm), count++;
    }
    closedir(dir);
    return count;
}

static void remove_folder(const char *path) {
    char command[1100];
    snprintf(command, sizeof command, "chmod -R u+rwX '%s' 2>/dev/null; rm -rf '%s'", path, path);
    if (system(command)) fprintf(stderr, "%s is left\n", path);
}

static void run_with_cache(const char *cache) {
    jit_error error = {0};
    jit_context *context = new_context("cuda:0", cache, &error);
    if (!context) fail_msg("%s: %s", cache, error.message);
    jit_function *function = fixture_compile(context, program);
    if (run_host(function, &error)) fail_msg("%s: %s", cache, error.message);
    jit_function_free(function);
    jit_context_free(context);
}

static void test_corrupt_cache(void **state) {
    (void)state;
    for (int harm = 0; harm < HARMS; harm++) {
        char cache[] = "/tmp/weft-cache-XXXXXX";
        assert_non_null(mkdtemp(cache));
        run_with_cache(cache);
        int files = harm_all(cache, (enum harm)harm);
        if (files == 0) fail_msg("nothing was cached in %s", cache);
        run_with_cache(cache); /* compiles again */
        run_with_cache(cache); /* and finds what it stored */
        remove_folder(cache);
    }
    /* Folders that cannot be written: no error, nothing is kept. */
    run_with_cache("/proc/self/nothing/here");
    run_with_cache("/dev/null");
    char name[5000];
    memset(name, 'x', sizeof name - 1);
    name[0] = '/', name[sizeof name - 1] = 0;
    run_with_cache(name);
}

/* --- libraries that are missing -------------------------------------------------------------------------------------
 */

static const char *self;

/* What a process without this or that library says: run by test_missing_libraries. */
static int child(void) {
    jit_error error = {0};
    jit_context *context = new_context("cuda:0", "", &error);
    jit_function *function = context ? jit_compile(context, "param x: f64[n]\nx + 1", &error) : NULL;
    double x[2] = {1, 2};
    jit_status status = function ? jit_call(function, (const DLTensor *[]){jit_array(x, JIT_F64, 2)}, 1,
                                            (DLTensor *[]){jit_array(x, JIT_F64, 2)}, 1, &error)
                                 : error.code;
    printf("%s: %s\n", jit_status_name(status), error.message);
    jit_function_free(function);
    jit_context_free(context);
    /* A tensor that says it is on a GPU; nobody reads it. */
    context = new_context(NULL, "", &error);
    function = context ? jit_compile(context, "param x: f64[n]\nx + 1", &error) : NULL;
    if (!function) return 1;
    DLTensor there = *jit_array(x, JIT_F64, 2);
    there.device.device_type = kDLCUDA;
    status = jit_call(function, (const DLTensor *[]){&there}, 1, (DLTensor *[]){jit_array(x, JIT_F64, 2)}, 1, &error);
    printf("%s: %s\n", jit_status_name(status), error.message);
    if (jit_call(function, (const DLTensor *[]){jit_array(x, JIT_F64, 2)}, 1, (DLTensor *[]){jit_array(x, JIT_F64, 2)},
                 1, &error) ||
        x[1] != 3)
        return 2;
    jit_function_free(function);
    jit_context_free(context);
    return 0;
}

/* Runs child() with `library` spoilt in a folder before all others. */
static void without(const char *library, const char *says) {
    char spoilt[] = "/tmp/weft-spoilt-XXXXXX", path[200], command[2000], out[5000];
    const char *search = getenv("LD_LIBRARY_PATH");
    assert_non_null(mkdtemp(spoilt));
    snprintf(path, sizeof path, "%s/%s", spoilt, library);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("This is no library.\n", file);
    fclose(file);
    snprintf(command, sizeof command, "LD_LIBRARY_PATH='%s:%s' CUDA_PATH= CUDA_HOME= '%s' --child", spoilt,
             search ? search : "", self);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = fread(out, 1, sizeof out - 1, pipe);
    out[size] = 0;
    int status = pclose(pipe);
    remove_folder(spoilt);
    if (status) fail_msg("without %s: status %#x, %s", library, (unsigned)status, out);
    int lines = 0;
    for (const char *p = out; (p = strstr(p, "JIT_DEVICE: ")); p++) lines++;
    if (lines != 2 || !strstr(out, says)) fail_msg("without %s: %s", library, out);
}

static void test_missing_libraries(void **state) {
    (void)state;
    without("libcuda.so.1", "libcuda");
    /* NVRTC is looked for in the toolkit's own folder, too: then it is found. */
    if (access("/usr/local/cuda", F_OK)) without("libnvrtc.so.13", "NVRTC");
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 1 && !strcmp(argv[1], "--child")) return child();
    int status = fixture_open(argc, argv);
    if (status) return status;
    if (!device.is_shim) return 77;
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails),       cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_device_memory_limit),   cmocka_unit_test(test_lost_in_a_call),
        cmocka_unit_test(test_corrupt_cache),         cmocka_unit_test(test_missing_libraries),
        cmocka_unit_test(test_unknown_architectures), cmocka_unit_test(test_lost_device),
    };
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    status = cmocka_run_group_tests(tests, NULL, NULL);
    remove_folder(folder);
    device_close(&device);
    return status;
}
