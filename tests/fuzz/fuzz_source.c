/* fuzz_source.c: any bytes as a program and as a formula, through lexer, parser and printer.
 *
 * Checks that all memory comes back, that every error can be drawn, and that the tree keeps the promises of ast.h.
 * With clang, -fsanitize=fuzzer and -DWEFT_LIBFUZZER this is a libFuzzer target. Otherwise it has a main of its own: it
 * mutates the programs below for `fuzz_source SECONDS [SEED]` (2 seconds, seed 1), so that every compiler can run it.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/parser.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition);                                   \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void check_program(const struct ast_program *program, const struct diag_list *diags, size_t size) {
    for (int i = 0; i < diags->count; i++) {
        CHECK(diags->items[i].code == DIAG_SYNTAX || diags->items[i].code == DIAG_LIMIT);
        CHECK(diags->items[i].span.offset <= size && diags->items[i].text[0]);
    }
    for (uint32_t i = 0; i < program->n_exprs && diags->count == 0; i++) {
        const struct ast_expr *expr = program->exprs[i];
        CHECK(expr->id == i && expr->first_id <= i && expr->height > 0);
        CHECK(expr->span.length > 0 && (size_t)expr->span.offset + expr->span.length <= size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    for (int formula = 0; formula < 2; formula++) {
        struct mem mem = {0};
        struct arena arena;
        struct diag_list diags;
        struct strbuf out;
        const char *text = (const char *)bytes;
        arena_init(&arena, &mem);
        diag_init(&diags, &arena, "fuzz", text, size);
        struct ast_program *program =
            (formula ? parser_parse_expression : parser_parse)(&arena, text, size, NULL, &diags);
        check_program(program, &diags, size);
        CHECK(!formula || (program->expression != NULL) == (diags.count == 0));
        strbuf_init(&out, &arena);
        ast_print(program, &out);
        diag_render(&diags, &out);
        for (uint32_t i = 0; i < program->n_exprs && i < 50; i++) ast_text(&arena, program, program->exprs[i]->span);
        arena_free(&arena);
        CHECK(mem.used == 0);
    }
    parser_wants_more((const char *)bytes, size);
    return 0;
}

#ifndef WEFT_LIBFUZZER

static const char *const seeds[] = {
    "param k = 3.0  # input\nt, y = load(\"t.npy\"), load(\"y.npy\")\nm, s = nanmean(y), nanstd(y)\nz = where(abs(y - "
    "m) > k*s, nan, y)\n",
    "ufunc f(w, t: [n], y: f64[n, 3]) -> (f64, i32) {\n  c = f64(0); s = 0.0\n  for i in 0:n:2 { if not isnan(y[i]) { "
    "c += y[i]*cos(w*t[i]) } elif c < s <= 3 { "
    "break }\n else { continue } }\n  return c*c + s*s, 1\n}\np = f(2*pi*freq, t, z)\nprint(\"best\", "
    "freq[argmax(p)])\n",
    "C[i, j] := sum[k](A[i, k] * B[k, j]) for i in 0:h, j in 1:len(x)-1\nd[i] := nanmean[j in 0:w](at(x, i+j-w//2, "
    "mode=\"edge\"))\n",
    "x[1:2, None, ..., ::-1] += -2.0**-1 if a and not b or c else ~d << 3 & 0xff ^ 0b11 | e % 2 // 3 @ m\n",
    "fn g(x: f32[h, w], y: [:]) -> f32 = sqrt(sum((x - y)**2, axis=(0, 1), keepdims=true))\nparam q: [n]\na, b = b, a; "
    "return a, [[1, 2], [3, 4.5e-3]].T\n",
    "while true { assert all(x > 0), \"t\\x41\\u{e9}\\n\" }\n",
};

static uint64_t next(uint64_t *state) { /* xorshift64 */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t mutate(uint8_t *bytes, size_t size, size_t room, uint64_t *state) {
    static const char *const words[] = {"(",      ")",    "[",      "]",       "{",        "}",      "\n",       ";",
                                        ",",      ":",    "=",      ":=",      "**",       "-",      "not ",     " if ",
                                        " else ", "\"",   "\\",     "#",       "fn ",      "ufunc ", "in ",      "for ",
                                        "1e9",    "0x",   "...",    "None",    "\xc3\xa9", "\xff",   "&&",       "!",
                                        "->",     "[k](", "while ", "return ", "assert ",  "param ", ".T",       "+=",
                                        "elif ",  "'",    "_",      "1_000",   "break\n",  "@",      "}\nelse {"};
    for (uint64_t edits = 1 + next(state) % 5; edits; edits--) {
        size_t at = size ? next(state) % size : 0;
        switch (next(state) % 6) {
        case 0:
            if (size) bytes[at] = (uint8_t)next(state);
            break;
        case 1: size = next(state) % 4 ? size : at; break;
        case 2: { /* a stretch away */
            size_t length = next(state) % 12;
            if (at + length > size) break;
            memmove(bytes + at, bytes + at + length, size - at - length);
            size -= length;
            break;
        }
        case 3: { /* a stretch again, elsewhere */
            size_t length = next(state) % 40, from = size ? next(state) % size : 0;
            if (from + length > size || size + length > room) break;
            uint8_t copy[40];
            memcpy(copy, bytes + from, length);
            memmove(bytes + at + length, bytes + at, size - at);
            memcpy(bytes + at, copy, length);
            size += length;
            break;
        }
        default: { /* a word, or many of it */
            const char *word = words[next(state) % (sizeof words / sizeof *words)];
            size_t length = strlen(word);
            for (uint64_t times = next(state) % 8 ? 1 : next(state) % 600; times && size + length <= room; times--) {
                memmove(bytes + at + length, bytes + at, size - at);
                memcpy(bytes + at, word, length);
                size += length;
            }
            break;
        }
        }
    }
    return size;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct timespec start, now;
    static uint8_t bytes[8192];
    long runs = 0;

    if (!(seconds > 0) || !state) {
        fprintf(stderr, "usage: fuzz_source [SECONDS [SEED]], both above 0\n");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        bool first = runs < (long)(sizeof seeds / sizeof *seeds); /* each once as it is */
        const char *seed = seeds[first ? (uint64_t)runs : next(&state) % (sizeof seeds / sizeof *seeds)];
        size_t size = strlen(seed);
        memcpy(bytes, seed, size);
        if (!first) size = mutate(bytes, size, sizeof bytes, &state);
        uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees a byte read too far */
        CHECK(exact);
        memcpy(exact, bytes, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
        runs++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec) < seconds);
    printf("fuzz_source: %ld texts, nothing wrong\n", runs);
    return 0;
}

#endif
