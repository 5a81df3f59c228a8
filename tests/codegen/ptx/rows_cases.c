#include "codegen/ptx/rows_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/parse.h"
#include "ir/verify.h"
#include "support/check.h"
#include "support/file.h"

const char *const rows_files[ROWS_FILES] = {"layer_norm", "log_softmax", "planes", "softmax", "softmax_f64", "tiles"};

static void read_operand(struct rows_case *one, int stage, int k, char *word) {
    static const char *const words[] = {
        [PTX_UNIFORM] = "uniform", [PTX_UNIT] = "unit", [PTX_STRIDED] = "strided", [PTX_BY_VALUE] = "value"};
    const size_t length = strcspn(word, ">!");
    int access = 0;
    while (access < 4 && (strlen(words[access]) != length || strncmp(word, words[access], length) != 0)) access++;
    if (access == 4) fail_msg("%s: access \"%s\"", one->name, word);
    one->access[stage][k] = (enum ptx_access)access;
    one->scratch[stage][k] = word[length] == '>' ? atoi(word + length + 1) : -1;
    one->exchange[stage][k] = word[length] == '!' ? atoi(word + length + 1) : -1;
}

static void read_stage(struct arena *arena, struct rows_case *one, char *line) {
    const int stage = one->n_stages++;
    assert_true(stage < ROWS_STAGES_MOST);
    char *rest = NULL, *text = strchr(line, '\n') + 1, *flags = strchr(line, ';');
    struct strbuf why;
    strbuf_init(&why, arena);
    struct ir_kernel *kernel = parse_kernel(arena, text, &why);
    if (!kernel || !verify_kernel(kernel, &why)) fail_msg("%s: %s", one->name, strbuf_text(&why));
    text[-1] = *flags++ = 0;
    int n = 0;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        read_operand(one, stage, n++, word);
    assert_int_equal(n, kernel->n_operands);
    for (int k = 0; k < n; k++)
        one->exchanged[stage][k] = one->exchange[stage][k] >= 0 && kernel->operands[k].kind == OPERAND_READ;
    struct ptx_variant *variant = &one->variants[stage];
    *variant = (struct ptx_variant){.access = one->access[stage], .ulp = 4};
    for (char *word = strtok_r(flags, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (!strcmp(word, "aligned"))
            variant->aligned = true;
        else if (!strcmp(word, "single_row"))
            variant->single_row = true;
        else if (!strcmp(word, "one_column"))
            one->one_column[stage] = true;
        else if (!strcmp(word, "short_rows"))
            variant->short_rows = true;
        else
            fail_msg("%s: what is \"%s\"?", one->name, word);
    }
    one->stages[stage] = (struct ptx_stage){kernel, variant, one->scratch[stage], one->exchanged[stage]};
}

void rows_read(struct arena *arena, const char *name, struct rows_case *out) {
    *out = (struct rows_case){.name = name};
    char *text = file_read(arena, arena_printf(arena, "%s/tests/codegen/ptx/rows/%s.ir", WEFT_SOURCE_DIR, name));
    if (!text) fail_msg("no rows/%s.ir", name);
    assert_int_equal(sscanf(text, "# outer %d, scratch %d", &out->outer, &out->n_scratch), 2);
    for (char *at = strstr(text, "\n# "), *next; at; at = next) {
        next = strstr(at + 3, "\n# ");
        if (next) next[0] = 0;
        read_stage(arena, out, at + 3);
    }
}

struct ptx_kernel rows_emit(struct arena *arena, const struct rows_case *one) {
    struct ptx_kernel kernel;
    struct strbuf why;
    strbuf_init(&why, arena);
    const char *name = arena_printf(arena, "k_%s", one->name);
    if (!ptx_emit_rows(arena, name, one->outer, one->n_stages, one->stages, one->n_scratch, &kernel, &why))
        fail_msg("%s: %s", one->name, strbuf_text(&why));
    return kernel;
}
