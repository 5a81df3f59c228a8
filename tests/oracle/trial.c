/* trial.c: see trial.h. */
#include "oracle/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle/random.h"
#include "support/check.h"

struct trial {
    struct mem mem;
    struct arena arena;
    struct oracle *oracle;
    uint64_t seed;
    bool show;
    enum oracle_verdict verdict;
    char why[1024];
};

static enum oracle_verdict check(struct trial *t, const struct random_program *program, const char *text, char *why) {
    return oracle_check(t->oracle, text, program->inputs, program->n_inputs, why, sizeof t->why);
}

struct lines {
    const char **text;
    bool *gone;
    int n;
};

static const char *lines_text(struct trial *t, const struct lines *lines) {
    struct strbuf text;
    strbuf_init(&text, &t->arena);
    for (int i = 0; i < lines->n; i++)
        if (!lines->gone[i]) strbuf_printf(&text, "%s\n", lines->text[i]);
    return strbuf_text(&text);
}

/* Leaves out lines that the program still fails without, many at once while that works. */
static const char *shrink_lines(struct trial *t, const struct random_program *program, const char *text) {
    struct lines lines = {0};
    int capacity = 0;
    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');
        ARENA_PUSH(&t->arena, lines.text, lines.n, capacity) = arena_strndup(&t->arena, p, (size_t)(end - p));
        p = end + 1;
    }
    lines.gone = ARENA_ARRAY(&t->arena, bool, lines.n + 1);
    bool *kept = ARENA_ARRAY(&t->arena, bool, lines.n + 1);
    char why[sizeof t->why];
    for (int size = lines.n / 2; size > 0; size = size > 1 ? size - (size + 3) / 4 : 0)
        for (int first = 0; first + size <= lines.n; first++) {
            if (lines.gone[first]) continue;
            memcpy(kept, lines.gone, sizeof *kept * (size_t)lines.n);
            memset(lines.gone + first, true, sizeof *kept * (size_t)size);
            if (check(t, program, lines_text(t, &lines), why) != ORACLE_DIFFERENT)
                memcpy(lines.gone, kept, sizeof *kept * (size_t)lines.n);
        }
    return lines_text(t, &lines);
}

static void shrink(struct trial *t, const struct random_program *program) {
    bool outputs[RANDOM_OUTPUTS] = {false};
    char why[sizeof t->why];
    for (int i = 0, left = program->n_outputs; i < program->n_outputs && left > 1; i++) {
        outputs[i] = true;
        if (check(t, program, random_program_text(&t->arena, program, outputs), why) == ORACLE_DIFFERENT)
            left--;
        else
            outputs[i] = false;
    }
    const char *text = shrink_lines(t, program, random_program_text(&t->arena, program, outputs));
    check(t, program, text, t->why);
    fprintf(stderr, "seed %llu: %s\n----\n%s----\n", (unsigned long long)t->seed, t->why, text);
    for (int i = 0; i < program->n_inputs; i++) {
        const struct oracle_input *input = &program->inputs[i];
        fprintf(stderr, "%s: %s", input->name, dtype_name(input->type));
        for (int d = 0; d < input->rank; d++)
            fprintf(stderr, " %lld:%lld", (long long)input->shape[d], (long long)input->stride[d]);
        fprintf(stderr, "\n");
    }
}

static void try_program(void *argument) {
    struct trial *t = argument;
    struct random_program program;
    random_program_make(&t->arena, t->seed, &program);
    const char *text = random_program_text(&t->arena, &program, NULL);
    if (t->show) fprintf(stderr, "%s", text);
    t->verdict = check(t, &program, text, t->why);
    if (t->verdict == ORACLE_DIFFERENT)
        shrink(t, &program);
    else if (t->show)
        fprintf(stderr, "verdict %d %s\n", t->verdict, t->why);
}

enum oracle_verdict trial_run(struct oracle *oracle, uint64_t seed, bool show) {
    struct trial t = {.oracle = oracle, .seed = seed, .show = show};
    arena_init(&t.arena, &t.mem);
    assert_true(arena_try(&t.arena, try_program, &t));
    if (t.verdict == ORACLE_REJECTED && getenv("WEFT_RANDOM_REJECTED"))
        fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, t.why);
    arena_free(&t.arena);
    return t.verdict;
}

enum { N = 300007, H = 331, W = 1013 };

/* x: f64[N] and y: f32[H, W] of numbers up to 4 or so. The caller frees their data. */
static void make_large(struct oracle_input inputs[2]) {
    double *x = malloc(N * sizeof *x);
    float *y = malloc(H * W * sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    uint64_t bits = 1;
    for (int i = 0; i < N; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        x[i] = (double)(int64_t)bits * 0x1p-61;
    }
    for (int i = 0; i < H * W; i++) y[i] = (float)(x[i % N] * (i % 7 - 2.9));
    inputs[0] =
        (struct oracle_input){.name = "x", .type = TY_F64, .rank = 1, .shape = {N}, .stride = {8}, .data = (char *)x};
    inputs[1] = (struct oracle_input){
        .name = "y", .type = TY_F32, .rank = 2, .shape = {H, W}, .stride = {4 * W, 4}, .data = (char *)y};
}

void trial_check_large(struct oracle *oracle, const char *const *sources, int n, enum oracle_verdict expected) {
    struct oracle_input inputs[2];
    make_large(inputs);
    oracle->skip = 0;
    for (int i = 0; i < n; i++) {
        char source[600], why[1024] = "";
        snprintf(source, sizeof source, "param x: f64[n]\nparam y: f32[:, :]\n%s\n", sources[i]);
        enum oracle_verdict verdict = oracle_check(oracle, source, inputs, 2, why, sizeof why);
        if (verdict != expected) fail_msg("verdict %d of\n%s\n%s", verdict, source, why);
    }
    for (int i = 0; i < 2; i++) free(inputs[i].data);
}

const char *const trial_large[] = {
    "return sum(x), mean(x), var(x), argmax(x), max(x), nanargmin(x)",
    "return sum(y, axis=0), sum(y, axis=1), var(y, axis=0), std(y), prod(y[:, :3], axis=1)",
    "return (x - mean(x)) / std(x), where(abs(x) > 2, nan, x) + sum(x[::-3])",
    "return sum(y.T, axis=0), y.T + 1, flip(y, axis=0) * y[0]",
    "ufunc halve(v, t: [n]) {\n    k = i64(0)\n    while abs(v) > 0.01 { v = v * t[k % 2] - 0.001; k += 1 }\n    "
    "return v, k\n}\n"
    "a, b = halve(x, [0.5, 0.25])\nreturn a, b, sum(b)",
    "return nanmean(y), nanstd(y, axis=1), count(y > 0), any(isnan(x)), norm(y - f32(mean(y)))",
    /* Row by row. */
    "y = y[:90]\ne = exp(y - max(y, axis=1, keepdims=true))\nreturn e / sum(e, axis=1, keepdims=true), log(sum(e, "
    "axis=1))",
    "c = y - mean(y, axis=1, keepdims=true)\nreturn c / sqrt(var(y, axis=1, keepdims=true) + 1e-5) * y[0] + y[1]",
    "e = exp(y[:, :150].T)\nz = e / sum(e, axis=1, keepdims=true)\nreturn z - max(z, axis=1, keepdims=true), z[::-1]",
    "w = reshape(x[:60000], 10, 30, 200)\ne = exp(-abs(w))\nz = e[..., ::-1] / sum(e, axis=2, keepdims=true)\n"
    "return z, e * argmax(z, axis=-1, keepdims=true), sum(e, axis=(1, 2))",
    "w = reshape(x[:60000], 3, 20000)\ne = exp(w)\nreturn e / sum(e, axis=1, keepdims=true)",
    "w = reshape(x[:60000], 20000, 3)\ne = exp(w - max(w, axis=1, keepdims=true))\n"
    "for i in 0:2 { e = sqrt(e / sum(e, axis=1, keepdims=true)) }\nreturn e",
};
const int trial_large_count = sizeof trial_large / sizeof *trial_large;

const char *const trial_failures[] = {
    "ufunc pick(i, t: [n]) = t[i64(i * 1000)]\nreturn pick(x, y[0])",
    "ufunc pick(i, t: [n]) {\n    if i > 3.9 { return t[9999] }\n    return t[0]\n}\nreturn sum(pick(x, y[0]))",
    "assert sum(x) > 1e30, \"no\"\nreturn x",
    "return y + x",
    "k = i64(x[0] * 0)\nreturn max(x[0:k])",
    "return y[i64(x[0]) + 1000000, 0]",
    "k = i64(x[0] * 0) - 1\nreturn zeros(k)",
    "for i in 0:9 { assert i < 5, \"five\" }\nreturn x",
};
const int trial_failures_count = sizeof trial_failures / sizeof *trial_failures;
