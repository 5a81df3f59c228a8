/* The text forms: every file in text/ verifies and reads back as it prints; text that is none is refused with a place.
 */
#include <dirent.h>

#include "fixture.h"

static char *read_text(struct fixture *f, const char *name) {
    char *path = arena_printf(&f->arena, "%s/text/%s", WEFT_TEST_DIR, name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("no %s", path);
    char *text = arena_alloc(&f->arena, 65536);
    size_t length = fread(text, 1, 65535, file);
    fclose(file);
    assert_in_range(length, 1, 65534);
    return text;
}

/* Reads, verifies and prints what a file holds. False if it was refused; the reason is in f->text. */
static bool round_trip(struct fixture *f, const char *text, struct strbuf *out, struct strbuf *why) {
    if (!strncmp(text, "kernel", 6)) {
        struct ir_kernel *kernel = parse_kernel(&f->arena, text, why);
        if (!kernel || !verify_kernel(kernel, why)) return false;
        kernel_print(kernel, out);
    } else if (!strncmp(text, "graph", 5)) {
        struct graph *graph = parse_graph(&f->arena, text, why);
        if (!graph || !verify_graph(graph, why)) return false;
        graph_print(graph, out);
    } else {
        struct plan *plan = parse_plan(&f->arena, text, why);
        if (!plan || !verify_plan(plan, why)) return false;
        plan_print_graphs(plan, out);
    }
    return true;
}

static void files_read_back(void **state) {
    struct fixture *f = *state;
    DIR *folder = opendir(WEFT_TEST_DIR "/text");
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strstr(entry->d_name, ".ir")) continue;
        const char *text = read_text(f, entry->d_name);
        struct strbuf out, why;
        strbuf_init(&out, &f->arena);
        strbuf_init(&why, &f->arena);
        if (!round_trip(f, text, &out, &why)) fail_msg("%s: %s", entry->d_name, strbuf_text(&why));
        assert_string_equal(strbuf_text(&out), text);
        count++;
    }
    closedir(folder);
    assert_in_range(count, 6, 100);
}

static void refused(struct fixture *f, const char *text, const char *expected) {
    struct strbuf out, why;
    strbuf_init(&out, &f->arena);
    strbuf_init(&why, &f->arena);
    if (round_trip(f, text, &out, &why)) fail_msg("accepted: %s", text);
    assert_string_equal(strbuf_text(&why), expected);
}

static void errors_have_places(void **state) {
    struct fixture *f = *state;
    refused(f, "graph {\n  %0 = foo : f64\n}", "line 2, column 8: unknown operation `foo`");
    refused(f, "graph { %0 = clip : f64 }", "line 1, column 14: unknown operation `clip`");
    refused(f, "graph {\n%0 = neg %1 : f64 }", "line 2, column 10: %1 is not defined here");
    refused(f, "graph { %0 = const 1 : f64\n %0 = const 2 : f64 }", "line 2, column 21: %0 is defined twice");
    refused(f, "graph { %0 = const 300 : u8 }", "line 1, column 20: the number is out of range");
    refused(f, "graph { %0 = const 1 : f128 }", "line 1, column 24: expected an element type");
    refused(f, "graph { %999999999999 = const 1 : f64 }", "line 1, column 9: the number is out of range");
    refused(f, "graph { $ }", "line 1, column 9: unexpected character");
    refused(f, "graph {", "line 1, column 8: expected a value or a sink");
    refused(f, "graph { print \"abc }", "line 1, column 15: the string does not end");
    refused(f, "graph { } }", "line 1, column 11: expected the end of the text");
    refused(f, "graph { %0 = view %0 [s0.d9] : f64 }", "line 1, column 19: %0 is not defined here");
    refused(f, "graph { %0 = size s0.d9 : i64 }", "line 1, column 22: the number is out of range");
    refused(f, "kernel \"k\" map par 17 red 0 sizes 0 {}", "line 1, column 20: the number is out of range");
    refused(f, "kernel \"k\" map par 0 red 0 sizes 0 { body { yield %0 } }",
            "line 1, column 51: %0 is not defined here");
    refused(f, "kernel \"k\" map par 0 red 0 sizes 0 { body { %0 = input 0 : f64 yield } }",
            "line 1, column 50: unknown operation `input`");
    refused(f, "plan fast ulp 4 { literal 0 i8[1000000, 1000000, 1000000] 1 }",
            "line 1, column 48: the literal is too large");
    refused(f, "plan fast ulp 4 { slot 1 f64 rank 0 }", "line 1, column 26: expected slot 0");
    refused(f, "", "line 1, column 1: expected `plan`");
}

static void deep_text_is_refused(void **state) {
    struct fixture *f = *state;
    struct strbuf text, out, why;
    strbuf_init(&text, &f->arena);
    strbuf_puts(&text, "graph { %0 = size ");
    for (int i = 0; i < 100000; i++) strbuf_putc(&text, '(');
    strbuf_init(&out, &f->arena);
    strbuf_init(&why, &f->arena);
    assert_false(round_trip(f, strbuf_text(&text), &out, &why));
    assert_non_null(strstr(strbuf_text(&why), "nested too deeply"));
}

/* Cut off, overwritten and shuffled files are refused or accepted, and never crash; what is accepted prints. */
static void broken_text_is_harmless(void **state) {
    static const char *const names[] = {"map.ir", "loop.ir", "lanes.ir", "columns.ir", "graph.ir", "plan.ir"};
    static const char bytes[] = "%{}[]();,:.0193-+*/=\"\\ \nabdefis!";
    uint64_t seed = 7;
    int accepted = 0, rejected = 0;
    for (int round = 0; round < 1500; round++) {
        struct fixture *f;
        fixture_setup((void **)&f);
        char *text = read_text(f, names[round % 6]);
        size_t length = strlen(text);
        for (int i = 0; i <= round % 3; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            size_t at = (seed >> 33) % length;
            text[at] = bytes[(seed >> 20) % (sizeof bytes - 1)];
        }
        if (round % 5 == 0) text[(seed >> 30) % length] = '\0';
        struct strbuf out, why;
        strbuf_init(&out, &f->arena);
        strbuf_init(&why, &f->arena);
        if (round_trip(f, text, &out, &why))
            accepted++;
        else
            assert_true(++rejected > 0 && strlen(strbuf_text(&why)) > 5);
        fixture_teardown((void **)&f);
    }
    (void)state;
    print_message("%d accepted, %d rejected\n", accepted, rejected);
    assert_true(accepted > 10 && rejected > 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {FIXTURE_TEST(files_read_back), FIXTURE_TEST(errors_have_places),
                                       FIXTURE_TEST(deep_text_is_refused), cmocka_unit_test(broken_text_is_harmless)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
