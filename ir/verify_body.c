/* verify_body.c: what bodies, functions and kernels must keep to. */
#include "ir/verify_internal.h"

enum { VERIFY_MAX_DEPTH = 1000 };

/* One body: a kernel's, an epilogue, or a function's. */
struct body_check {
    const char *name;               /* of the kernel or function */
    const struct ir_kernel *kernel; /* or */
    const struct ir_function *function;
    bool epilogue;
    struct strbuf *why;
    const struct ir_value **defined; /* by id: visible here; anything else at its id is not this value */
    int count;
    int depth;
    bool diverges, uses_index; /* seen */
};

__attribute__((format(printf, 3, 4))) static bool fail(struct body_check *check, const struct ir_value *value,
                                                       const char *format, ...) {
    va_list args;
    strbuf_printf(check->why, "%s: ", check->name);
    if (value) strbuf_printf(check->why, "%%%d (%s) ", value->id, op_info[value->op].name);
    va_start(args, format);
    strbuf_vprintf(check->why, format, args);
    va_end(args);
    return false;
}

static bool is_visible(const struct body_check *check, const struct ir_value *value) {
    return value && value->id >= 0 && value->id < check->count && check->defined[value->id] == value;
}

static bool check_region(struct body_check *check, const struct ir_region *region);

/* Types of a whole operand; NULL if there is none of that number. */
static bool whole_operand(const struct body_check *check, int64_t number, enum dtype *type, int *rank) {
    if (number < 0) return false;
    if (check->function) {
        if (number >= check->function->n_whole) return false;
        *type = check->function->whole[number].type;
        *rank = check->function->whole[number].rank;
        return true;
    }
    if (number >= check->kernel->n_operands || check->kernel->operands[number].kind != OPERAND_WHOLE) return false;
    *type = check->kernel->operands[number].type;
    *rank = check->kernel->operands[number].rank;
    return true;
}

static const struct kernel_operand *loop_operand(const struct body_check *check, const struct ir_value *value,
                                                 enum operand_kind kind) {
    if (!check->kernel || value->imm.i < 0 || value->imm.i >= check->kernel->n_operands) return NULL;
    const struct kernel_operand *operand = &check->kernel->operands[value->imm.i];
    return operand->kind == kind ? operand : NULL;
}

static bool check_if(struct body_check *check, const struct ir_value *value) {
    if (value->n_args != 1 || value->args[0]->type != TY_BOOL) return fail(check, value, "needs one bool");
    for (int r = 0; r < 2; r++) {
        if (!value->regions[r]) return fail(check, value, "has no region");
        if (value->regions[r]->n_params != 0) return fail(check, value, "has a region with parameters");
        if (!check_region(check, value->regions[r])) return false;
    }
    const struct ir_region *then = value->regions[0], *other = value->regions[1];
    if (then->n_results != other->n_results)
        return fail(check, value, "yields %d or %d values", then->n_results, other->n_results);
    for (int i = 0; i < then->n_results; i++)
        if (then->results[i]->type != other->results[i]->type) return fail(check, value, "yields different types");
    return true;
}

static bool check_loop(struct body_check *check, const struct ir_value *value) {
    for (int r = 0; r < 2; r++) {
        const struct ir_region *region = value->regions[r];
        if (!region) return fail(check, value, "has no region");
        if (region->n_params != value->n_args)
            return fail(check, value, "carries %d values into %d parameters", value->n_args, region->n_params);
        for (int i = 0; i < value->n_args; i++)
            if (region->params[i]->type != value->args[i]->type)
                return fail(check, value, "has a parameter of another type");
        if (!check_region(check, region)) return false;
    }
    const struct ir_region *test = value->regions[0], *body = value->regions[1];
    if (test->n_results != 1 || test->results[0]->type != TY_BOOL)
        return fail(check, value, "needs one bool from its `while`");
    if (body->n_results != value->n_args)
        return fail(check, value, "yields %d of %d values", body->n_results, value->n_args);
    for (int i = 0; i < value->n_args; i++)
        if (body->results[i]->type != value->args[i]->type)
            return fail(check, value, "yields another type than it carries");
    return true;
}

static bool check_result(struct body_check *check, const struct ir_value *value) {
    if (value->n_args != 1) return fail(check, value, "needs one operand");
    const struct ir_value *of = value->args[0];
    if (of->op != OP_if && of->op != OP_loop) return fail(check, value, "is of neither an if nor a loop");
    int count = of->op == OP_if ? of->regions[0]->n_results : of->n_args;
    if (value->imm.i < 0 || value->imm.i >= count)
        return fail(check, value, "is number %lld of %d", (long long)value->imm.i, count);
    enum dtype type = of->op == OP_if ? of->regions[0]->results[value->imm.i]->type : of->args[value->imm.i]->type;
    return type == value->type || fail(check, value, "has another type than what it reads");
}

static bool check_load(struct body_check *check, const struct ir_value *value) {
    enum dtype type;
    int rank;
    if (!whole_operand(check, value->imm.i, &type, &rank))
        return fail(check, value, "reads operand %lld, no whole array", (long long)value->imm.i);
    if (value->op == OP_len) {
        if (value->type != TY_I64) return fail(check, value, "is no i64");
        return (value->dim >= 0 && value->dim < rank) || fail(check, value, "asks for a dimension that is not there");
    }
    if (value->n_args != rank) return fail(check, value, "has %d subscripts of %d", value->n_args, rank);
    for (int i = 0; i < rank; i++)
        if (value->args[i]->type != TY_I64) return fail(check, value, "has a subscript that is no i64");
    return value->type == type || fail(check, value, "has another type than its operand");
}

static bool check_structure(struct body_check *check, const struct ir_value *value) {
    const struct kernel_operand *operand;
    const char *wrong;
    switch (value->op) {
    case OP_const: wrong = verify_const(value->type, value->imm.u); return !wrong || fail(check, value, "%s", wrong);
    case OP_size:
        if (!check->kernel || value->imm.i < 0 || value->imm.i >= check->kernel->n_sizes)
            return fail(check, value, "has no such size");
        return value->type == TY_I64 || fail(check, value, "is no i64");
    case OP_index: {
        int loops = check->kernel ? check->kernel->n_par + (check->epilogue ? 0 : check->kernel->n_red) : 0;
        check->uses_index = true;
        if (value->imm.i < 0 || value->imm.i >= loops) return fail(check, value, "has no such loop dimension");
        return value->type == TY_I64 || fail(check, value, "is no i64");
    }
    case OP_read:
        operand = loop_operand(check, value, OPERAND_READ);
        if (!operand) return fail(check, value, "reads operand %lld, no loop operand", (long long)value->imm.i);
        if (check->epilogue && operand->uses >> check->kernel->n_par)
            return fail(check, value, "reads what varies in the reduction");
        return value->type == operand->type || fail(check, value, "has another type than its operand");
    case OP_load:
    case OP_len: return check_load(check, value);
    case OP_if: check->diverges = true; return check_if(check, value);
    case OP_loop: check->diverges = true; return check_loop(check, value);
    case OP_result: return check_result(check, value);
    case OP_store:
        operand = loop_operand(check, value, OPERAND_WRITE);
        if (!operand) return fail(check, value, "writes operand %lld, no output", (long long)value->imm.i);
        if (!check->epilogue && check->kernel->kind != KERNEL_MAP &&
            (check->kernel->kind != KERNEL_LANES || check->kernel->n_par != 0 || check->kernel->n_red != 1))
            return fail(check, value, "stands inside a reduction");
        if (check->kernel->kind != KERNEL_MAP && check->epilogue != (operand->uses == 0))
            return fail(check, value, "stores at other positions than its operand has");
        if (check->depth > 1) return fail(check, value, "stands inside an if or a loop");
        return (value->n_args == 1 && value->args[0]->type == operand->type) ||
               fail(check, value, "has another type than its operand");
    default: return fail(check, value, "cannot stand in a body");
    }
}

static bool check_value(struct body_check *check, const struct ir_value *value) {
    if ((int)value->op < 0 || value->op >= OP_COUNT) {
        strbuf_printf(check->why, "%s: %%%d is no operation", check->name, value->id);
        return false;
    }
    for (int i = 0; i < value->n_args; i++)
        if (!is_visible(check, value->args[i])) return fail(check, value, "uses a value that is not known here");
    if (op_info[value->op].flags & OPF_STRUCTURE) return check_structure(check, value);
    enum dtype types[3];
    for (int i = 0; i < value->n_args && i < 3; i++) types[i] = value->args[i]->type;
    const char *wrong = verify_op(value->op, value->type, value->n_args, types);
    return !wrong || fail(check, value, "%s", wrong);
}

static bool check_region(struct body_check *check, const struct ir_region *region) {
    if (++check->depth > VERIFY_MAX_DEPTH) return fail(check, NULL, "nested too deeply");
    for (int i = 0; i < region->n_params; i++) {
        const struct ir_value *param = region->params[i];
        if (param->op != OP_param || param->imm.i != i || param->type == TY_NONE)
            return fail(check, param, "is no parameter %d", i);
        check->defined[param->id] = param;
    }
    for (int i = 0; i < region->n_values; i++) {
        if (!check_value(check, region->values[i])) return false;
        check->defined[region->values[i]->id] = region->values[i];
    }
    for (int i = 0; i < region->n_results; i++) {
        if (!is_visible(check, region->results[i])) return fail(check, NULL, "yields a value that is not known there");
        if (region->results[i]->type == TY_NONE) return fail(check, region->results[i], "is yielded but has no value");
    }
    for (int i = 0; i < region->n_params; i++) check->defined[region->params[i]->id] = NULL;
    for (int i = 0; i < region->n_values; i++) check->defined[region->values[i]->id] = NULL;
    check->depth--;
    return true;
}

bool verify_function(const struct ir_function *function, struct strbuf *why) {
    struct body_check check = {.name = function->name ? function->name : "ufunc", .function = function, .why = why};
    check.count = body_number((struct ir_region *)&function->body);
    check.defined = ARENA_ARRAY(why->arena, const struct ir_value *, check.count);
    for (int i = 0; i < function->n_whole; i++)
        if (function->whole[i].type == TY_NONE || function->whole[i].rank < 1 ||
            function->whole[i].rank > TYPE_MAX_RANK)
            return fail(&check, NULL, "whole array %d has no type or rank", i);
    return check_region(&check, &function->body);
}

/* --- kernels ------------------------------------------------------------------------------------------------------ */

static bool check_operands(struct body_check *check, const struct ir_kernel *kernel) {
    for (int i = 0; i < kernel->n_operands; i++) {
        const struct kernel_operand *operand = &kernel->operands[i];
        if (operand->type == TY_NONE) return fail(check, NULL, "operand %d has no type", i);
        if (operand->kind == OPERAND_WHOLE && (operand->rank < 1 || operand->rank > TYPE_MAX_RANK))
            return fail(check, NULL, "operand %d has rank %d", i, operand->rank);
        if (operand->kind == OPERAND_READ && operand->uses >> (kernel->n_par + kernel->n_red))
            return fail(check, NULL, "operand %d uses a loop dimension that is not there", i);
    }
    return true;
}

static bool check_reductions(struct body_check *check, const struct ir_kernel *kernel) {
    int results = 0;
    bool f32 = false, others = false;
    if (kernel->n_reductions < 1) return fail(check, NULL, "reduces nothing");
    if (kernel->epilogue.n_params != kernel->n_reductions)
        return fail(check, NULL, "the epilogue has %d parameters for %d reductions", kernel->epilogue.n_params,
                    kernel->n_reductions);
    for (int i = 0; i < kernel->n_reductions; i++) {
        const struct kernel_reduction *r = &kernel->reductions[i];
        int n_args = r->op < REDUCE_COUNT_ ? verify_reduction_args(r->op) : 1;
        if (r->first_arg < 0 || r->first_arg > kernel->body.n_results - n_args)
            return fail(check, NULL, "reduction %d has no operand", i);
        const struct ir_value *const *args = (const struct ir_value *const *)&kernel->body.results[r->first_arg];
        const char *wrong = verify_reduction(r->op, r->type, args[0]->type, n_args > 1 ? args[1]->type : TY_NONE);
        if (wrong) return fail(check, NULL, "reduction %d %s", i, wrong);
        if (kernel->epilogue.params[i]->type != r->type)
            return fail(check, NULL, "the epilogue's parameter %d has another type", i);
        /* The operand decides: var of f32 sums in f32 inside a block, though its value is f64. */
        f32 |= args[0]->type == TY_F32;
        others |= args[0]->type == TY_F64;
        results = r->first_arg + n_args > results ? r->first_arg + n_args : results;
    }
    if (kernel->kind == KERNEL_LANES && f32 && others) return fail(check, NULL, "reduces f32 and f64 together");
    if (kernel->kind == KERNEL_LANES && kernel->lanes != 32 && kernel->lanes != 64)
        return fail(check, NULL, "has %d lanes", kernel->lanes);
    if (kernel->kind == KERNEL_LANES && f32 != (kernel->lanes == 64) && (f32 || others))
        return fail(check, NULL, "has %d lanes for its floats", kernel->lanes);
    return results == kernel->body.n_results || fail(check, NULL, "the body yields values that nothing reduces");
}

bool verify_kernel(const struct ir_kernel *kernel, struct strbuf *why) {
    struct body_check check = {.name = kernel->name ? kernel->name : "kernel", .kernel = kernel, .why = why};
    if (kernel->n_par < 0 || kernel->n_red < 0 || kernel->n_par + kernel->n_red > KERNEL_MAX_LOOPS)
        return fail(&check, NULL, "has %d + %d loop dimensions", kernel->n_par, kernel->n_red);
    if ((kernel->kind == KERNEL_MAP) != (kernel->n_red == 0))
        return fail(&check, NULL, "has %d reduced dimensions", kernel->n_red);
    if (kernel->kind == KERNEL_COLUMNS && kernel->n_par < 1) return fail(&check, NULL, "keeps no dimension");
    if (!check_operands(&check, kernel)) return false;
    check.count = kernel_number((struct ir_kernel *)kernel);
    check.defined = ARENA_ARRAY(why->arena, const struct ir_value *, check.count);
    if (kernel->body.n_params != 0) return fail(&check, NULL, "the body has parameters");
    if (!check_region(&check, &kernel->body)) return false;
    if (kernel->kind == KERNEL_MAP) {
        if (kernel->body.n_results != 0 || kernel->n_reductions != 0) return fail(&check, NULL, "a map yields nothing");
    } else {
        if (!check_reductions(&check, kernel)) return false;
        check.epilogue = true;
        if (!check_region(&check, &kernel->epilogue)) return false;
        if (kernel->epilogue.n_results != 0) return fail(&check, NULL, "the epilogue yields nothing");
    }
    if (check.uses_index && !kernel->uses_index) return fail(&check, NULL, "has an index but does not say so");
    return true;
}
