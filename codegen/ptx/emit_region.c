/* emit_region.c: values in order, structured control as C, and the body as a lambda. */
#include "codegen/ptx/emit.h"

#include <string.h>

enum {
    CU_TURNS = 1024,     /* back edges between two looks at whether the call was cancelled */
    CU_TURNS_OUTER = 16, /* of a loop that holds loops */
    CU_UNROLL = 4,       /* turns of a small loop between two looks at its counter */
    CU_UNROLL_WEIGHT = 40,
};

/* The name of a value, or the expression that stands for it: a name, a constant, or something in parentheses. */
static const char *cu_use(struct cu *c, const struct ir_value *value) {
    return c->names[value->id];
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static const char *cu_template(const struct ir_value *value, enum dtype operands) {
    const struct op_info *info = &op_info[value->op];
    return info->cuda_int && !dtype_is_float(operands) ? info->cuda_int : info->cuda;
}

/* CUDA's function is not accurate enough: computed in f64 and rounded. */
static bool cu_in_double(struct cu *c, const struct ir_value *value) {
    return c->variant->ulp == 1 && op_info[value->op].lower == LOWER_CALL && value->type == TY_F32 &&
           op_info[value->op].ulp[MATH_CUDA].f32 > 1;
}

/* What C converts as it should; the others are floats to integers, which saturate. */
static const char *cu_conversion(struct cu *c, const struct ir_value *value) {
    const enum dtype from = value->args[0]->type, to = value->type;
    const char *x = cu_use(c, value->args[0]);
    if (to == TY_BOOL) return cu_text(c, "%s != 0", x);
    if (dtype_is_float(from) && !dtype_is_float(to)) return cu_text(c, "weft_convert<%s>(%s)", cu_type(to), x);
    return cu_text(c, "(%s)%s", cu_type(to), x);
}

/* The template filled in. What was replaced by operators of C needs no parentheses: it is all of an initializer. */
static const char *cu_operation(struct cu *c, const struct ir_value *value) {
    const enum dtype operands = value->args[value->op == OP_select ? 1 : 0]->type;
    const bool in_double = cu_in_double(c, value);
    if (value->op == OP_convert) return cu_conversion(c, value);
    struct strbuf out;
    strbuf_init(&out, c->arena);
    if (in_double) strbuf_puts(&out, "(float)");
    for (const char *at = cu_template(value, operands); *at; at++) {
        if (*at != '$') {
            strbuf_putc(&out, *at);
        } else if (*++at == 'f') {
            if (operands == TY_F32 && !in_double) strbuf_putc(&out, 'f');
        } else if (*at == 't') {
            strbuf_puts(&out, cu_type(value->type));
        } else {
            strbuf_printf(&out, "%s%s", in_double ? "(double)" : "", cu_use(c, value->args[*at - '0']));
        }
    }
    return strbuf_text(&out);
}

/* Sine and cosine of the same argument share the work of reducing it: CUDA has a function for both, of the same bits.
 */
struct cu_pair {
    const struct ir_value *first, *second; /* in the order of the region; NULL: there is none */
};

static struct cu_pair cu_find_pair(struct cu *c, const struct ir_region *region, const struct ir_value *value) {
    struct cu_pair pair = {0};
    if ((value->op != OP_sin && value->op != OP_cos) || cu_in_double(c, value)) return pair;
    for (int i = 0; i < region->n_values && !pair.second; i++) {
        const struct ir_value *other = region->values[i];
        if ((other->op != OP_sin && other->op != OP_cos) || other->args[0] != value->args[0] || cu_in_double(c, other))
            continue;
        if (!pair.first)
            pair.first = other;
        else if (other->op != pair.first->op)
            pair.second = other;
    }
    return pair.second && (value == pair.first || value == pair.second) ? pair : (struct cu_pair){0};
}

static void cu_pair_of(struct cu *c, const struct cu_pair *pair) {
    const struct ir_value *sine = pair->first->op == OP_sin ? pair->first : pair->second;
    const struct ir_value *cosine = pair->first->op == OP_sin ? pair->second : pair->first;
    c->names[sine->id] = cu_text(c, "v%d", sine->id);
    c->names[cosine->id] = cu_text(c, "v%d", cosine->id);
    cu_line(c, "%s %s, %s;", cu_type(sine->type), c->names[sine->id], c->names[cosine->id]);
    cu_line(c, "sincos%s(%s, &%s, &%s);", sine->type == TY_F32 ? "f" : "", cu_use(c, sine->args[0]), c->names[sine->id],
            c->names[cosine->id]);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static void cu_define_fault(struct cu *c) {
    if (!c->body.can_fail && !c->epilogue.can_fail) return;
    cu_open(c, "auto fault = [&](const long long at, const int site, const int operand, const int dim, const long long "
               "index,\n"
               "            const long long size)");
    cu_line(c, "weft_fault(%s, %s, at, site, operand, dim, index, size);", cu_watch(c), cu_order(c));
    cu_line(c, "stop = true;");
    cu_line(c, "return 0;");
    cu_close(c, ";");
}

void cu_define_values(struct cu *c) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (c->variant->access[k] != PTX_BY_VALUE || c->kernel->operands[k].type != TY_BOOL) continue;
        if (c->body.reads[k] || c->epilogue.reads[k]) cu_line(c, "const bool x%d = %s != 0;", k, cu_value(c, k));
    }
    if (!c->stops) return;
    if (c->body.loops || c->epilogue.loops)
        cu_line(c, "bool stop = weft_cancelled(%s, %s, 0);", cu_watch(c), cu_order(c));
    else
        cu_line(c, "bool stop = false;");
    cu_define_fault(c);
}

void cu_define_reads(struct cu *c, const struct cu_facts *facts, bool fixed, int end) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!facts->reads[k] || c->variant->access[k] == PTX_BY_VALUE || cu_is_fixed(c, k) != fixed) continue;
        const enum dtype type = c->kernel->operands[k].type;
        cu_line(c, "const %s x%d = %s[%s]%s;", cu_type(type), k, cu_data(c, k), cu_offset(c, k, 0, end),
                type == TY_BOOL ? " != 0" : "");
    }
}

/* Subscripts are checked one after the other; the first that is out of range is told of, and the element is 0. */
static const char *cu_checked_load(struct cu *c, const struct ir_value *value) {
    const int k = (int)value->imm.i;
    struct strbuf out;
    strbuf_init(&out, c->arena);
    const char *offset = "0";
    for (int d = 0; d < value->n_args; d++) {
        const char *index = cu_use(c, value->args[d]), *size = cu_size(c, k, d), *stride = cu_stride(c, k, d), *term;
        strbuf_printf(&out,
                      "(unsigned long long)%s >= (unsigned long long)%s ? fault(at, %d, %d, %d, %s, %s)\n%*s: ", index,
                      size, value->id, k, d, index, size, 4 * c->indent + 8, "");
        if (!strcmp(stride, "0")) continue;
        term = strcmp(stride, "1") ? cu_text(c, "%s * %s", index, stride) : index;
        offset = strcmp(offset, "0") ? cu_text(c, "%s + %s", offset, term) : term;
    }
    strbuf_printf(&out, "%s[%s]%s", cu_data(c, k), offset, value->type == TY_BOOL ? " != 0" : "");
    return strbuf_text(&out);
}

/* --- control ------------------------------------------------------------------------------------------------------ */

static const char *cu_result_name(struct cu *c, const struct ir_value *of, int64_t k) {
    return cu_text(c, "v%d_%d", of->id, (int)k);
}

static bool cu_result_used(const struct cu *c, const struct ir_value *of, int k) {
    return c->result_used[of->id] >> (k < 31 ? k : 31) & 1;
}

static void cu_if(struct cu *c, const struct ir_value *value) {
    const int n = value->regions[0]->n_results;
    for (int k = 0; k < n; k++)
        if (cu_result_used(c, value, k))
            cu_line(c, "%s %s;", cu_type(value->regions[0]->results[k]->type), cu_result_name(c, value, k));
    cu_open(c, "if (%s)", cu_use(c, value->args[0]));
    for (int r = 0; r < 2; r++) {
        const struct ir_region *region = value->regions[r];
        bool yields = false;
        for (int k = 0; k < n; k++) yields |= cu_result_used(c, value, k);
        if (r == 1 && !yields && !region->n_values) continue;
        if (r == 1) cu_middle(c, "} else {");
        cu_region(c, region);
        for (int k = 0; k < n; k++)
            if (cu_result_used(c, value, k))
                cu_line(c, "%s = %s;", cu_result_name(c, value, k), cu_use(c, region->results[k]));
    }
    cu_close(c, "");
}

static bool cu_mentions(const struct ir_region *region, bool loads) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_loop || (loads && value->op == OP_load)) return true;
        for (int r = 0; r < 2; r++)
            if (value->regions[r] && cu_mentions(value->regions[r], loads)) return true;
    }
    return false;
}

/* All carried values change at once: what another one is still needed for is put aside first. */
static void cu_carry(struct cu *c, const struct ir_value *loop) {
    const struct ir_region *step = loop->regions[1];
    const char **next = ARENA_ARRAY(c->arena, const char *, loop->n_args + 1);
    for (int k = 0; k < loop->n_args; k++) {
        next[k] = cu_use(c, step->results[k]);
        for (int j = 0; j < k; j++) {
            if (step->results[k] != step->params[j] || step->results[j] == step->params[j]) continue;
            next[k] = cu_text(c, "old%d_%d", loop->id, k);
            cu_line(c, "const %s %s = %s;", cu_type(step->results[k]->type), next[k], cu_use(c, step->results[k]));
            break;
        }
    }
    for (int k = 0; k < loop->n_args; k++)
        if (step->results[k] != step->params[k]) cu_line(c, "%s = %s;", cu_result_name(c, loop, k), next[k]);
}

static void cu_loop(struct cu *c, const struct ir_value *loop) {
    const struct ir_region *test = loop->regions[0], *step = loop->regions[1];
    for (int k = 0; k < loop->n_args; k++) {
        const char *name = cu_result_name(c, loop, k);
        cu_line(c, "%s %s = %s;", cu_type(loop->args[k]->type), name, cu_use(c, loop->args[k]));
        c->names[test->params[k]->id] = c->names[step->params[k]->id] = name;
    }
    const bool outer = cu_mentions(test, false) || cu_mentions(step, false);
    const bool stops_inside = cu_mentions(test, true) || cu_mentions(step, true);
    struct cu_facts facts[2];
    cu_facts_without_operands(test, &facts[0]);
    cu_facts_without_operands(step, &facts[1]);
    const bool small =
        !outer && !facts[0].branches && !facts[1].branches && facts[0].weight + facts[1].weight <= CU_UNROLL_WEIGHT;
    cu_line(c, "#pragma unroll %d", small ? CU_UNROLL : 1);
    cu_open(c, "for (unsigned turn%d = 1;; turn%d++)", loop->id, loop->id);
    cu_region(c, test);
    cu_line(c, "if (!%s) break;", cu_use(c, test->results[0]));
    cu_region(c, step);
    cu_carry(c, loop);
    cu_open(c, "if (turn%d %% %d == 0 && (stop || weft_cancelled(%s, %s, at)))", loop->id,
            outer ? CU_TURNS_OUTER : CU_TURNS, cu_watch(c), cu_order(c));
    cu_line(c, "stop = true;");
    if (!stops_inside) cu_line(c, "break;");
    cu_close(c, "");
    if (stops_inside) cu_line(c, "if (stop) break;");
    cu_close(c, "");
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* What is no line of its own: NULL for all else. */
static const char *cu_in_place(struct cu *c, const struct ir_value *value) {
    switch (value->op) {
    case OP_const: return cu_constant(c, value->type, value->imm.u);
    case OP_size: return cu_number(c, value->imm.i);
    case OP_len: return cu_size(c, (int)value->imm.i, value->dim);
    case OP_read:
        if (c->variant->access[value->imm.i] == PTX_BY_VALUE && value->type != TY_BOOL)
            return cu_value(c, (int)value->imm.i);
        return cu_text(c, "x%d", (int)value->imm.i);
    case OP_index:
        if (c->variant->single_row && value->imm.i != c->vector_loop) return "0LL";
        return cu_text(c, "i%d", (int)value->imm.i);
    case OP_result: return cu_result_name(c, value->args[0], value->imm.i);
    default: return NULL;
    }
}

/* An operation, or what stands for it in place. */
static void cu_compute(struct cu *c, const struct ir_region *region, const struct ir_value *value) {
    const struct cu_pair pair = cu_find_pair(c, region, value);
    if (pair.first) {
        if (value == pair.first) cu_pair_of(c, &pair);
        return;
    }
    c->names[value->id] = cu_in_place(c, value);
    if (c->names[value->id]) return;
    c->names[value->id] = cu_text(c, "v%d", value->id);
    cu_line(c, "const %s v%d = %s;", cu_type(value->type), value->id,
            value->op == OP_load ? cu_checked_load(c, value) : cu_operation(c, value));
}

void cu_region(struct cu *c, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (c->hoisted[value->id]) continue;
        switch (value->op) {
        case OP_if: cu_if(c, value); break;
        case OP_loop: cu_loop(c, value); break;
        case OP_store: cu_line(c, "y%d = %s;", (int)value->imm.i, cu_use(c, value->args[0])); break;
        default: cu_compute(c, region, value); break;
        }
    }
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

/* Calls `item` for each parameter of the body, in order. */
static void cu_body_parameters(struct cu *c, void (*item)(struct cu *c, char kind, int number, void *host),
                               void *host) {
    const struct ir_kernel *kernel = c->kernel;
    if (c->body.can_fail || c->body.loops) item(c, '@', 0, host);
    for (int j = c->moving; j < c->n_loops; j++)
        if (c->body.index[j] && !(c->variant->single_row && j != c->vector_loop)) item(c, 'i', j, host);
    for (int k = 0; k < kernel->n_operands; k++)
        if (cu_moves(c, k) && !c->body.stores[k]) item(c, 'x', k, host);
    for (int k = 0; k < kernel->n_operands; k++)
        if (c->body.stores[k]) item(c, 'y', k, host);
    for (int q = 0; q < kernel->body.n_results; q++) item(c, 'r', q, host);
}

static void cu_declare_parameter(struct cu *c, char kind, int number, void *host) {
    const struct kernel_operand *operand = &c->kernel->operands[number];
    const char *item;
    switch (kind) {
    case '@': item = "const long long at"; break;
    case 'i': item = cu_text(c, "const long long i%d", number); break;
    case 'x': item = cu_text(c, "const %s x%d", cu_type(operand->type), number); break;
    case 'y': item = cu_text(c, "%s &y%d", cu_memory_type(operand->type), number); break;
    default: item = cu_text(c, "%s &r%d", cu_type(c->kernel->body.results[number]->type), number); break;
    }
    cu_list_add(host, item);
}

void cu_define_body(struct cu *c) {
    const struct ir_region *body = &c->kernel->body;
    for (int i = 0; i < body->n_values; i++)
        if (c->hoisted[body->values[i]->id]) cu_compute(c, body, body->values[i]);
    struct cu_list list = cu_list_begin(c, 4 * c->indent + (int)strlen("auto body = [&]("), 4 * c->indent + 8);
    cu_body_parameters(c, cu_declare_parameter, &list);
    cu_open(c, "auto body = [&](%s)", strbuf_text(&list.text));
    cu_region(c, body);
    for (int q = 0; q < body->n_results; q++) cu_line(c, "r%d = %s;", q, cu_use(c, body->results[q]));
    cu_close(c, ";");
}

struct cu_passing {
    struct cu_list list;
    const struct cu_call *call;
};

static void cu_pass_parameter(struct cu *c, char kind, int number, void *host) {
    (void)c;
    struct cu_passing *passing = host;
    const struct cu_call *call = passing->call;
    cu_list_add(&passing->list, kind == '@'   ? call->at
                                : kind == 'i' ? call->index[number]
                                : kind == 'x' ? call->x[number]
                                : kind == 'y' ? call->y[number]
                                              : call->r[number]);
}

void cu_call_body(struct cu *c, const struct cu_call *call) {
    struct cu_passing passing = {.list = cu_list_begin(c, 4 * c->indent + (int)strlen("body("), 4 * c->indent + 8),
                                 .call = call};
    cu_body_parameters(c, cu_pass_parameter, &passing);
    cu_line(c, "body(%s);", strbuf_text(&passing.list.text));
}
