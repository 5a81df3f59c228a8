/* make_functions.c: writes docs/functions.md to stdout, from the tables the compiler itself reads: ir/ops.def and
 * frontend/builtins.def. tests/docs compares the committed page with it.
 */
#include <stdio.h>
#include <string.h>

#include "frontend/resolve.h"
#include "ir/ops.h"

/* Text inside a table cell, where a bar would end the cell. */
static void cell(const char *text) {
    for (; *text; text++) {
        if (*text == '|') putchar('\\');
        putchar(*text);
    }
}

/* Each word as code, with commas. */
static void words(const char *list) {
    const char *comma = "";
    while (list && *list) {
        size_t n = strcspn(list, " ");
        printf("%s`%.*s`", comma, (int)n, list);
        comma = ", ";
        list += n;
        list += strspn(list, " ");
    }
}

/* --- rows of builtins.def ----------------------------------------------------------------------------------------- */

static void builtins(enum builtin_group group) {
    puts("| call | also | value |\n| --- | --- | --- |");
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        const struct builtin_info *info = &builtin_info[i];
        if (info->group != group) continue;
        printf("| `");
        cell(info->signature);
        printf("` | ");
        words(info->alias);
        printf(" | ");
        cell(info->doc);
        puts(" |");
    }
}

/* --- rows of ops.def ---------------------------------------------------------------------------------------------- */

/* `min` and `max` stand among the reductions: with several arguments they are elementwise. */
static bool is_function(enum op op) {
    const struct op_info *info = &op_info[op];
    if (info->rule == RULE_NONE || op == OP_min || op == OP_max) return false;
    return op == OP_select || !(info->flags & OPF_HIDDEN);
}

static void function_name(enum op op) {
    fputs(op == OP_select ? op_info[op].alias : op_info[op].name, stdout);
}

static void functions(const char *title, const char *about, unsigned rules) {
    printf("\n### %s\n\n%s\n\n| call | also | value |\n| --- | --- | --- |\n", title, about);
    static const char *const arguments[] = {"", "x", "a, b", "a, b, c"};
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        if (!is_function((enum op)op) || !(rules >> info->rule & 1)) continue;
        printf("| `");
        function_name((enum op)op);
        const char *names = op == OP_clip ? "x, lo, hi" : op == OP_select ? "c, a, b" : arguments[info->arity];
        printf("(%s)` | ", names);
        if (op != OP_select) words(info->alias);
        printf(" | ");
        cell(info->doc);
        puts(" |");
    }
}

static void operators(void) {
    puts("| operator | as a function | value |\n| --- | --- | --- |");
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        if (!info->symbol) continue;
        printf("| `");
        cell(info->symbol);
        printf("` | ");
        if (is_function((enum op)op)) {
            printf("`%s`", info->name);
            if (info->alias) printf(", ");
        }
        words(info->alias);
        printf(" | ");
        cell(info->doc);
        puts(" |");
    }
}

static void bound(struct op_ulp first, struct op_ulp second) {
    struct op_ulp ulp = {first.f32 ? first.f32 : second.f32, first.f64 ? first.f64 : second.f64};
    printf(" %g | %g |", (double)ulp.f32, (double)ulp.f64);
}

static void accuracy(void) {
    puts("| function | f32, `--ulp 4` | f64, `--ulp 4` | f32, `--ulp 1` | f64, `--ulp 1` | f32, CUDA | f64, CUDA |\n"
         "| --- | --- | --- | --- | --- | --- | --- |");
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        const struct op_ulp *ulp = info->ulp;
        bool expanded = info->lower == LOWER_EXPAND && (ulp[MATH_LIBM].f32 || ulp[MATH_LIBM].f64);
        if (info->lower != LOWER_CALL && !expanded) continue;
        printf("| `%s` |", info->name);
        bound(ulp[MATH_LIBMVEC], ulp[MATH_LIBM]);
        bound(ulp[MATH_SLEEF], ulp[MATH_LIBM]);
        bound(ulp[MATH_CUDA], ulp[MATH_CUDA]);
        putchar('\n');
    }
}

/* --- names that are neither --------------------------------------------------------------------------------------- */

static void other_names(void) {
    puts("| name | meaning |\n| --- | --- |");
    const char *name, *doc;
    for (int i = 0; (name = frontend_name(i, &doc)); i++) {
        if (builtin_from_name(name) != BUILTIN_COUNT || op_from_name(name) != OP_COUNT) continue;
        printf("| `%s` | ", name);
        cell(doc);
        puts(" |");
    }
}

int main(void) {
    puts("<!-- Written by docs/make_functions.c from ir/ops.def and frontend/builtins.def; do not edit. -->\n"
         "# Functions\n\n"
         "Every name and operator of this version. [language.md](language.md) says how they combine, and which types\n"
         "meet in what type. Names in the column *also* mean the same.\n\n"
         "## Operators\n");
    operators();
    puts("\n## Elementwise functions\n\n"
         "Arguments broadcast. Inside a `ufunc` they are scalars.");
    functions("Arithmetic and choice",
              "Arguments promote to a common type, which the result has; a bool becomes an integer where it must.",
              1u << RULE_ARITH | 1u << RULE_NUMBER | 1u << RULE_DIVIDE | 1u << RULE_SELECT);
    functions("Rounding", "Floats keep their type; integers and bools pass unchanged.", 1u << RULE_ROUND);
    functions("Functions of floats", "Integers and bools are converted to f64 first.",
              1u << RULE_FLOAT | 1u << RULE_FLOAT_INT);
    functions("Tests", "Of any number; the result is bool.", 1u << RULE_CLASSIFY);
    functions("Bits", "Of integers (`invert` of bools, too).", 1u << RULE_BITS | 1u << RULE_SHIFT);
    puts("\n## Reductions\n\n"
         "Over all of an array, or over `axis`: a number (negative ones count from the last dimension) or a tuple of "
         "numbers,\n"
         "known when the program is compiled. With `keepdims=true` the reduced dimensions stay, with size 1. A NaN is "
         "a value\n"
         "like others, but for the functions whose name begins with `nan`. An empty array is an error where there is "
         "no\n"
         "value for it (`min`, `argmax`).\n");
    builtins(BUILTIN_REDUCE);
    puts("\n## Making arrays\n");
    builtins(BUILTIN_CREATE);
    puts("\n## Shape\n");
    builtins(BUILTIN_SHAPE);
    puts("\n## Effects\n");
    builtins(BUILTIN_EFFECT);
    puts("\n## Others\n");
    builtins(BUILTIN_OTHER);
    puts("\n## Constants, types and words\n");
    other_names();
    puts("\n## Accuracy\n\n"
         "Largest error in units in the last place, by element type and accuracy mode. By default (`--ulp 4`) the "
         "functions are\n"
         "those of glibc's libmvec, with `--ulp 1` those of SLEEF; where the library has no vector form, the C "
         "library's\n"
         "function is called element by element, and the bound is its. 0: the result is exact. `sqrt` and everything "
         "that is\n"
         "not listed is correctly rounded.\n\n"
         "On a GPU the functions are those of CUDA's math library, whose bounds NVIDIA states (CUDA C++ Programming "
         "Guide 13.0,\n"
         "\"Mathematical Functions\") from the correctly rounded result: against the exact one an error may be half a "
         "unit larger.\n"
         "That of `lgamma` holds outside -10.001 ... -2.264 in f32 and -23.0001 ... -2.2637 in f64, where its zeros "
         "are. With\n"
         "`--ulp 1`, functions of f32 whose bound there is above 1 are computed in f64 and rounded; a function of f64 "
         "whose\n"
         "bound is above 1 is an error when the program is compiled.\n");
    accuracy();
    puts("\n## Not available in this version\n\n"
         "The names are taken, and using one is an error that says so.\n");
    builtins(BUILTIN_UNAVAILABLE);
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
