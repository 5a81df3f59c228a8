/* The table of operations: every row is complete, names lead to one row each, expansions give what their names say. */
#include <math.h>

#include "fixture.h"
#include <string.h>

#include "ir/eval.h"

/* Every $ of the template is one that the emitter knows; tells which operands it has. */
static unsigned cuda_operands(const struct op_info *info, const char *template) {
    unsigned used = 0;
    assert_true(template[0]);
    for (const char *p = strchr(template, '$'); p; p = strchr(p + 1, '$')) {
        if (!p[1] || !strchr("012ft", p[1])) fail_msg("%s: $%.1s in \"%s\"", info->name, p + 1, template);
        if (p[1] <= '2') used |= 1u << (p[1] - '0');
    }
    return used;
}

/* CUDA's spelling is there and uses the operands there are. Its bound is there where libm's is: a function that is not
 * exact on one is not on the other. */
static void cuda_is_complete(const struct op_info *info) {
    const struct op_ulp *cpu = &info->ulp[MATH_LIBM], *cuda = &info->ulp[MATH_CUDA];
    assert_int_equal(cpu->f32 > 0, cuda->f32 > 0);
    assert_int_equal(cpu->f64 > 0, cuda->f64 > 0);
    assert_true(cuda->f32 <= 10 && cuda->f64 <= 10);
    unsigned all = (1u << info->arity) - 1;
    if (info->lower == LOWER_EXPAND) {
        assert_null(info->cuda);
        assert_null(info->cuda_int);
        return;
    }
    if (!info->cuda) fail_msg("%s has no CUDA spelling", info->name);
    assert_int_equal(cuda_operands(info, info->cuda), all);
    if (info->cuda_int) assert_int_equal(cuda_operands(info, info->cuda_int) & ~all, 0); /* "false" uses none */
}

static void rows_are_complete(void **state) {
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        bool structure = info->flags & OPF_STRUCTURE;
        print_message("%s\n", info->name);
        assert_non_null(info->doc);
        assert_true(strlen(info->doc) > 3 && strlen(info->doc) < 90);
        assert_int_equal(structure, info->lower == LOWER_CUSTOM);
        if (structure) {
            assert_int_equal(info->rule, RULE_NONE);
            continue;
        }
        cuda_is_complete(info);
        assert_in_range(info->arity, 1, 3);
        assert_true(info->rule != RULE_NONE || op == OP_convert);
        if (info->flags & OPF_COMMUTES) assert_int_equal(info->arity, 2);
        if (info->flags & OPF_HIDDEN) assert_true(info->alias != NULL || info->symbol != NULL);
        if (info->lower != LOWER_CALL) {
            assert_null(info->vec);
            continue;
        }
        assert_non_null(info->vec);
        assert_int_equal(info->arity == 1, info->eval1 != NULL && info->eval1f != NULL);
        assert_int_equal(info->arity == 2, info->eval2 != NULL && info->eval2f != NULL);
        assert_int_equal(info->sleef != NULL, info->ulp[MATH_SLEEF].f64 > 0);
        for (int library = 0; library < MATH_CUDA; library++) {
            assert_int_equal(info->ulp[library].f32 > 0, info->ulp[library].f64 > 0);
            assert_true(info->ulp[library].f64 < 10);
        }
        assert_int_equal(info->flags & OPF_CHEAP, 0);
    }
}

static void names_lead_to_one_row(void **state) {
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = &op_info[op];
        assert_int_equal(op_from_ir_name(info->name), op);
        bool callable = info->rule != RULE_NONE && !(info->flags & OPF_HIDDEN);
        if (callable)
            assert_int_equal(op_from_name(info->name), op);
        else if (op != OP_select)
            assert_int_equal(op_from_name(info->name), OP_COUNT);
        char aliases[100];
        snprintf(aliases, sizeof aliases, "%s", info->alias ? info->alias : "");
        for (char *name = strtok(aliases, " "); name; name = strtok(NULL, " ")) {
            assert_int_equal(op_from_name(name), op);
            for (int other = 0; other < OP_COUNT; other++)
                if (op_info[other].rule != RULE_NONE && !(op_info[other].flags & OPF_HIDDEN))
                    assert_string_not_equal(op_info[other].name, name);
        }
    }
    assert_int_equal(op_from_name("arc"), OP_COUNT);
    assert_int_equal(op_from_name(""), OP_COUNT);
    assert_int_equal(op_from_name("absolute fabs"), OP_COUNT);
    assert_int_equal(op_from_ir_name("minimum"), OP_COUNT);
}

static void every_elementwise_name_is_there(void **state) {
    (void)state;
    static const char *const names[] = {
        "where",        "clip",        "fma",         "min",        "max",         "fmin",     "fmax",
        "sign",         "square",      "abs",         "sqrt",       "cbrt",        "exp",      "exp2",
        "exp10",        "expm1",       "log",         "log2",       "log10",       "log1p",    "sin",
        "cos",          "tan",         "asin",        "acos",       "atan",        "atan2",    "sinh",
        "cosh",         "tanh",        "asinh",       "acosh",      "atanh",       "sinpi",    "cospi",
        "erf",          "erfc",        "lgamma",      "tgamma",     "pow",         "hypot",    "fmod",
        "copysign",     "ldexp",       "floor",       "ceil",       "trunc",       "rint",     "round",
        "isnan",        "isinf",       "isfinite",    "sigmoid",    "relu",        "softplus", "deg2rad",
        "rad2deg",      "popcount",    "rotl",        "rotr",       "arcsin",      "arccos",   "arctan",
        "arctan2",      "arcsinh",     "arccosh",     "arctanh",    "power",       "absolute", "fabs",
        "mod",          "remainder",   "minimum",     "maximum",    "negative",    "degrees",  "radians",
        "logical_and",  "logical_or",  "logical_not", "left_shift", "right_shift", "invert",   "bitwise_and",
        "bitwise_or",   "bitwise_xor", "add",         "subtract",   "multiply",    "divide",   "true_divide",
        "floor_divide", "equal",       "not_equal",   "less",       "less_equal",  "greater",  "greater_equal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (op_from_name(names[i]) == OP_COUNT) fail_msg("%s is missing", names[i]);
    for (int r = 0; r < REDUCE_COUNT_; r++) assert_int_equal(reduce_from_name(reduce_names[r]), r);
    assert_int_equal(reduce_from_name("mean"), REDUCE_COUNT_);
}

/* --- expansions, computed as they are made ------------------------------------------------------------------------ */

struct calculator {
    union scalar values[200];
    int count;
    enum dtype type;
};

static void *calculate(void *host, enum op op, enum dtype type, int n_args, void *const *args) {
    struct calculator *c = host;
    (void)type;
    union scalar values[3];
    for (int i = 0; i < n_args; i++) values[i] = *(union scalar *)args[i];
    c->values[c->count] = eval_scalar(op, c->type, TY_NONE, values, NULL);
    return &c->values[c->count++];
}

static void *calculate_number(void *host, enum dtype type, double value) {
    struct calculator *c = host;
    union scalar *number = &c->values[c->count++];
    if (type == TY_F32)
        number->f32 = (float)value;
    else if (type == TY_F64)
        number->f64 = value;
    else
        number->i = (int64_t)value;
    return number;
}

static union scalar expand(enum op op, enum dtype type, const union scalar *args) {
    struct calculator c = {.type = type};
    union scalar copies[3] = {{0}};
    memcpy(copies, args, sizeof *args * (size_t)op_info[op].arity);
    void *pointers[3] = {&copies[0], &copies[1], &copies[2]};
    return *(union scalar *)op_expand(op, type, pointers, &(struct op_maker){&c, calculate, calculate_number});
}

static double at(enum op op, double x) {
    return expand(op, TY_F64, &(union scalar){.f64 = x}).f64;
}
static float atf(enum op op, float x) {
    return expand(op, TY_F32, &(union scalar){.f32 = x}).f32;
}

static long double reference(enum op op, long double x) {
    const long double pi = 3.14159265358979323846264338327950288L;
    switch (op) {
    case OP_sinpi: return sinl(pi * remainderl(x, 1)) * (fmodl(rintl(x), 2) != 0 ? -1 : 1);
    case OP_cospi: return sinl(pi * (0.5L - fabsl(remainderl(x, 1)))) * (fmodl(rintl(x), 2) != 0 ? -1 : 1);
    case OP_sigmoid: return 1 / (1 + expl(-x));
    case OP_softplus: return x > 40 ? x + expl(-x) : log1pl(expl(x));
    case OP_deg2rad: return x * (pi / 180);
    case OP_rad2deg: return x * (180 / pi);
    default: return NAN;
    }
}

static void expansions_are_accurate(void **state) {
    (void)state;
    static const enum op ops[] = {OP_sinpi, OP_cospi, OP_sigmoid, OP_softplus, OP_deg2rad, OP_rad2deg};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        double worst = 0, worst_f32 = 0;
        for (int k = -2000; k <= 2000; k++) {
            double x = k * 0.0312341;
            float xf = (float)x;
            double got = at(ops[i], x);
            float gotf = atf(ops[i], xf);
            double ulp = nextafter(fabs(got), INFINITY) - fabs(got);
            float ulpf = nextafterf(fabsf(gotf), INFINITY) - fabsf(gotf);
            double error = (double)(fabsl(reference(ops[i], x) - got) / ulp);
            double error_f32 = (double)(fabsl(reference(ops[i], xf) - gotf) / ulpf);
            if (error > worst) worst = error;
            if (error_f32 > worst_f32) worst_f32 = error_f32;
        }
        print_message("%s: %.2f ULP in f64, %.2f in f32\n", op_info[ops[i]].name, worst, worst_f32);
        assert_true(worst <= op_info[ops[i]].ulp[MATH_LIBM].f64);
        assert_true(worst_f32 <= op_info[ops[i]].ulp[MATH_LIBM].f32);
    }
}

static void expansions_keep_special_values(void **state) {
    (void)state;
    for (int n = -5; n <= 5; n++) {
        assert_true(at(OP_sinpi, n) == 0 && at(OP_cospi, n + 0.5) == 0);
        assert_true(at(OP_cospi, n) == (n % 2 ? -1 : 1));
        assert_true(at(OP_sinpi, n + 0.5) == (n % 2 ? -1 : 1));
        assert_false(signbit(at(OP_cospi, n + 0.5)));
        assert_int_equal(signbit(at(OP_sinpi, n)) != 0, n < 0);
    }
    assert_true(signbit(at(OP_sinpi, -0.0)) && !signbit(at(OP_sinpi, 0.0)));
    assert_true(isnan(at(OP_sinpi, INFINITY)) && isnan(at(OP_cospi, -INFINITY)) && isnan(at(OP_sinpi, NAN)));
    assert_true(at(OP_sinpi, 1e300) == 0 && at(OP_cospi, 1e300) == 1);
    assert_true(at(OP_sigmoid, INFINITY) == 1 && at(OP_sigmoid, -INFINITY) == 0 && at(OP_sigmoid, 0) == 0.5);
    assert_true(at(OP_sigmoid, -740) > 0 && isnan(at(OP_sigmoid, NAN)));
    assert_true(isinf(at(OP_softplus, INFINITY)) && at(OP_softplus, -INFINITY) == 0 && isnan(at(OP_softplus, NAN)));
    assert_true(at(OP_relu, -3) == 0 && at(OP_relu, 3) == 3 && isnan(at(OP_relu, NAN)));
    assert_true(at(OP_square, -3) == 9 && at(OP_round, 2.5) == 2 && at(OP_round, -3.5) == -4);
    assert_int_equal(expand(OP_relu, TY_I32, &(union scalar){.i = -7}).i, 0);
    assert_int_equal(expand(OP_square, TY_I8, &(union scalar){.i = 16}).i, 0);
    assert_int_equal(expand(OP_round, TY_I16, &(union scalar){.i = 16}).i, 16);
    union scalar clip[] = {{.f64 = 7}, {.f64 = -1}, {.f64 = 2}};
    assert_true(expand(OP_clip, TY_F64, clip).f64 == 2);
    clip[1].f64 = NAN;
    assert_true(isnan(expand(OP_clip, TY_F64, clip).f64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(names_lead_to_one_row),
        cmocka_unit_test(every_elementwise_name_is_there),
        cmocka_unit_test(expansions_are_accurate),
        cmocka_unit_test(expansions_keep_special_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
