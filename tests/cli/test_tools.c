/* What weft/tools.h promises, called directly: signatures, stages, texts, files, sessions, profiles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include <weft/tools.h>

static void test_signatures(void **state) {
    (void)state;
    static const struct {
        const char *text, *name;
        jit_dtype type;
        int rank;
    } good[] = {{"x:f64[n]", "x", JIT_F64, 1},
                {"k:f32", "k", JIT_F32, 0},
                {"m: i8[:, :]", "m", JIT_I8, 2},
                {" _a1 : bool [3]", "_a1", JIT_BOOL, 1},
                {"x:u64[a,b,c,d,e,f,g,h]", "x", JIT_U64, 8}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        jit_signature s;
        char room[64];
        jit_error error = {0};
        assert_int_equal(jit_parse_signature(good[i].text, &s, room, &error), JIT_OK);
        assert_string_equal(s.name, good[i].name);
        assert_int_equal(s.type, good[i].type);
        assert_int_equal(s.rank, good[i].rank);
    }
    static const struct {
        const char *text;
        jit_status status;
    } bad[] = {{"", JIT_SYNTAX},
               {"x", JIT_SYNTAX},
               {"x:", JIT_SYNTAX},
               {":f64", JIT_SYNTAX},
               {"x:f64[", JIT_SYNTAX},
               {"x:f64[]", JIT_SYNTAX},
               {"x:f64[n", JIT_SYNTAX},
               {"x:f64[n] y", JIT_SYNTAX},
               {"x:f64[n,]", JIT_SYNTAX},
               {"1:f64", JIT_SYNTAX},
               {"x:float", JIT_TYPE},
               {"x:f16", JIT_UNSUPPORTED},
               {"x:f64[a,b,c,d,e,f,g,h,i]", JIT_SHAPE}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        jit_signature s;
        char room[64];
        jit_error error = {0};
        assert_int_equal(jit_parse_signature(bad[i].text, &s, room, &error), bad[i].status);
        assert_true(error.message[0]);
    }
    char longest[80];
    memset(longest, 'a', sizeof longest);
    strcpy(longest + 70, ":f64");
    jit_signature s;
    char room[64];
    assert_int_equal(jit_parse_signature(longest, &s, room, NULL), JIT_SYNTAX);
}

static void test_texts(void **state) {
    (void)state;
    float f[6] = {1, 2.5f, 3, 4, 5, 6};
    char *text = jit_format(jit_matrix(f, JIT_F32, 2, 3, 3));
    assert_string_equal(text, "[[1.  2.5 3. ]\n [4.  5.  6. ]]");
    jit_text_free(text);
    text = jit_format(jit_scalar_f32(&f[1]));
    assert_string_equal(text, "2.5");
    jit_text_free(text);
    text = jit_format_type(jit_matrix(f, JIT_F32, 2, 3, 3));
    assert_string_equal(text, "f32[2, 3]");
    jit_text_free(text);
    text = jit_format_type(jit_scalar_f32(f));
    assert_string_equal(text, "f32");
    jit_text_free(text);
    /* Strides that go backwards. */
    DLTensor reversed = {.data = f + 5,
                         .device = {kDLCPU, 0},
                         .ndim = 1,
                         .dtype = jit_dl_type(JIT_F32),
                         .shape = (int64_t[]){3},
                         .strides = (int64_t[]){-2}};
    text = jit_format(&reversed);
    assert_string_equal(text, "[6.  4.  2.5]");
    jit_text_free(text);
    assert_null(jit_format(NULL));
    jit_text_free(NULL);
    /* Every name has a line of its own, and is listed once. */
    const char *doc, *name;
    int count = 0;
    for (; (name = jit_name(count, &doc)); count++) {
        assert_true(name[0] && doc && doc[0]);
        for (int i = 0; i < count; i++) assert_string_not_equal(name, jit_name(i, NULL));
    }
    assert_true(count > 100);
    assert_null(jit_name(-1, NULL));
    assert_true(jit_incomplete("f(1,"));
    assert_true(jit_incomplete("while x {"));
    assert_false(jit_incomplete("f(1)"));
    assert_false(jit_incomplete(""));
}

static void test_files(void **state) {
    (void)state;
    int32_t m[6] = {1, 2, 3, 4, 5, 6};
    jit_error error = {0};
    /* Every second column: what is written is in C order. */
    DLTensor strided = {.data = m,
                        .device = {kDLCPU, 0},
                        .ndim = 2,
                        .dtype = jit_dl_type(JIT_I32),
                        .shape = (int64_t[]){2, 2},
                        .strides = (int64_t[]){3, 2}};
    assert_int_equal(jit_save("m.npy", &strided, &error), JIT_OK);
    DLManagedTensor *loaded;
    assert_int_equal(jit_load("m.npy", &loaded, &error), JIT_OK);
    char *text = jit_format(&loaded->dl_tensor);
    assert_string_equal(text, "[[1 3]\n [4 6]]");
    jit_text_free(text);
    /* The mapping keeps the old file alive while it is replaced. */
    assert_int_equal(jit_save("m.npy", jit_array(m, JIT_I32, 1), &error), JIT_OK);
    assert_int_equal(((const int32_t *)loaded->dl_tensor.data)[3], 6);
    loaded->deleter(loaded);
    assert_int_equal(jit_load("none.npy", &loaded, &error), JIT_FILE);
    assert_null(loaded);
    assert_non_null(strstr(error.message, "none.npy"));
    assert_int_equal(jit_save("no/where.npy", &strided, &error), JIT_FILE);
    unlink("m.npy");
    assert_int_equal(file_count(), 0);
}

static void test_emit(void **state) {
    (void)state;
    jit_context *context = jit_context_new(NULL);
    jit_error error = {0};
    jit_function *f = jit_compile(context, "sqrt(x) + y", &error);
    jit_signature both[] = {{"x", JIT_F64, 1}, {"y", JIT_F64, 0}};
    char *text = jit_emit(f, "llvm", both, 2, &error);
    assert_non_null(text);
    assert_non_null(strstr(text, "define"));
    jit_text_free(text);
    assert_null(jit_emit(f, "ir", both, 1, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_null(jit_emit(f, "soup", both, 2, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_non_null(text = jit_emit(f, "cuda", both, 2, &error));
    assert_non_null(strstr(text, "__global__"));
    assert_non_null(strstr(text, "sm_80"));
    jit_text_free(text);
    assert_non_null(text = jit_emit_for(f, "cuda", "sm_120", both, 2, &error));
    assert_non_null(strstr(text, "sm_120"));
    jit_text_free(text);
    assert_null(jit_emit_for(f, "cuda", "sm_12x", both, 2, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_null(jit_emit_for(f, "ptx", "sm_70", both, 2, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_null(jit_emit_for(f, "llvm", "sm_80", both, 2, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    assert_null(jit_emit_for(NULL, "cuda", "sm_80", both, 2, &error));
    assert_int_equal(error.code, JIT_ARGUMENT);
    jit_function_free(f);
    jit_context_free(context);
}

static void test_profile(void **state) {
    (void)state;
    jit_context *context = jit_context_new(NULL);
    jit_error error = {0};
    jit_function *f = jit_compile(context, "param x: f64[n]; sum(x)", &error);
    double x[1000] = {0}, sum;
    const DLTensor *in[] = {jit_array(x, JIT_F64, 1000)};
    DLTensor *out[] = {jit_scalar_f64(&sum)};
    jit_profile_row row;
    assert_int_equal(jit_call(f, in, 1, out, 1, &error), JIT_OK);
    assert_false(jit_profile_get(f, 0, &row)); /* not measured */
    jit_profile(f, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(jit_call(f, in, 1, out, 1, &error), JIT_OK);
    assert_true(jit_profile_get(f, 0, &row));
    assert_int_equal(row.launches, 3);
    assert_true(row.bytes == 3 * (8000 + 8));
    assert_true(row.seconds > 0);
    assert_false(jit_profile_get(f, 1, &row));
    assert_false(jit_profile_get(f, -1, &row));
    jit_profile(f, 0);
    assert_int_equal(jit_call(f, in, 1, out, 1, &error), JIT_OK);
    assert_true(jit_profile_get(f, 0, &row));
    assert_int_equal(row.launches, 3);
    jit_profile(f, 1); /* clears */
    assert_false(jit_profile_get(f, 0, &row));
    jit_function_free(f);
    jit_context_free(context);
}

static void drop(jit_result *result) {
    for (int i = 0; i < result->n_values; i++) result->value[i]->deleter(result->value[i]);
    *result = (jit_result){0};
}

static void test_session(void **state) {
    (void)state;
    jit_context *context = jit_context_new(NULL);
    jit_error error = {0};
    jit_session *session = jit_session_new(context, &error);
    jit_result result;
    assert_int_equal(jit_session_run(session, "a = [1.0, 2, 3]; fn f(x) = x*a", NULL, &result, &error), JIT_OK);
    assert_int_equal(result.n_values, 0);
    assert_int_equal(jit_session_run(session, "f(2)", NULL, &result, &error), JIT_OK);
    assert_int_equal(result.n_values, 1);
    assert_true(((double *)result.value[0]->dl_tensor.data)[2] == 6);
    assert_true(result.compile_seconds > 0);
    /* Values outlive everything. */
    DLManagedTensor *kept = result.value[0];
    const DLTensor *value;
    assert_string_equal(jit_session_variable(session, 0, &value), "a");
    assert_int_equal(value->shape[0], 3);
    assert_null(jit_session_variable(session, 1, &value));
    assert_null(jit_session_variable(session, -1, &value));

    /* A name is one thing at a time. */
    assert_int_equal(jit_session_run(session, "f = 3", NULL, &result, &error), JIT_OK);
    assert_int_equal(jit_session_run(session, "f(2)", NULL, &result, &error), JIT_TYPE);
    assert_int_equal(jit_session_run(session, "fn a(x) = x", NULL, &result, &error), JIT_OK);
    assert_int_equal(jit_session_run(session, "a(f)", NULL, &result, &error), JIT_OK);
    assert_int_equal(*(int64_t *)result.value[0]->dl_tensor.data, 3);
    drop(&result);

    /* Errors: positions in the text that was given, and nothing changes. */
    assert_int_equal(jit_session_run(session, "f = 4\n\ng = f + zz", NULL, &result, &error), JIT_NAME);
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, 9);
    assert_int_equal(error.offset, 15);
    assert_int_equal(result.n_values, 0);
    assert_int_equal(jit_session_run(session, "f", NULL, &result, &error), JIT_OK);
    assert_int_equal(*(int64_t *)result.value[0]->dl_tensor.data, 3);
    drop(&result);

    int32_t numbers[2] = {7, 8};
    assert_int_equal(jit_save("n.npy", jit_array(numbers, JIT_I32, 2), &error), JIT_OK);
    DLManagedTensor *loaded;
    assert_int_equal(jit_load("n.npy", &loaded, &error), JIT_OK);
    assert_int_equal(jit_session_set(session, "n", loaded, &error), JIT_OK);
    assert_int_equal(jit_session_run(session, "n + 1", NULL, &result, &error), JIT_OK);
    assert_int_equal(jit_type_of(&result.value[0]->dl_tensor), JIT_I32);
    drop(&result);
    assert_int_equal(jit_load("n.npy", &loaded, &error), JIT_OK);
    assert_int_equal(jit_session_set(session, "no name", loaded, &error), JIT_NAME);
    unlink("n.npy");

    char *text = jit_session_emit(session, "sqrt(n)", "ir", &error);
    assert_non_null(text);
    assert_non_null(strstr(text, "sqrt"));
    jit_text_free(text);
    text = jit_session_emit(session, "q = n*2", "ast", &error);
    assert_non_null(text);
    assert_null(strstr(text, "param"));
    jit_text_free(text);
    assert_null(jit_session_emit(session, "sqrt(", "ir", &error));
    assert_null(jit_session_emit(session, "sqrt(n)", "soup", &error));

    volatile int cancel = 1;
    assert_int_equal(jit_session_run(session, "while true {}", &cancel, &result, &error), JIT_CANCELLED);

    jit_session_free(session);
    jit_context_free(context);
    assert_true(((double *)kept->dl_tensor.data)[0] == 2);
    kept->deleter(kept);
}

/* Every allocation that a session makes is refused once: it says so and stays usable. */
static void test_memory(void **state) {
    (void)state;
    int refused = 0, passed = 0;
    for (size_t limit = 20000; limit < (4u << 20) && passed < 3; limit += limit / 40 + 1) {
        jit_options options = {.struct_size = sizeof options, .max_memory = limit, .threads = 1};
        jit_context *context = jit_context_new(&options);
        if (!context) continue;
        jit_error error = {0};
        jit_session *session = jit_session_new(context, &error);
        if (session) {
            jit_result result;
            jit_status status =
                jit_session_run(session, "x = linspace(0, 1, 1000); k = 3; fn f(a) = a*k", NULL, NULL, &error);
            if (status == JIT_OK) status = jit_session_run(session, "y = f(x)\nsum(y), y[3]", NULL, &result, &error);
            if (status == JIT_OK) {
                passed++;
                drop(&result);
            } else {
                if (status != JIT_MEMORY) print_error("limit %zu: %s\n", limit, error.message);
                assert_int_equal(status, JIT_MEMORY);
                refused++;
            }
        }
        jit_session_free(session);
        jit_context_free(context);
    }
    assert_true(refused > 10);
    assert_int_equal(passed, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures), cmocka_unit_test(test_texts),   cmocka_unit_test(test_files),
        cmocka_unit_test(test_emit),       cmocka_unit_test(test_profile), cmocka_unit_test(test_session),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, command_setup, command_teardown);
}
