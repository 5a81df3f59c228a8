/* emit_facts.c: what a region does and about how much work it is. */
#include "codegen/ptx/emit.h"

/* About how many instructions an operation takes on a GPU: what counts is whether it is one, some, or many. */
static int cu_weight(const struct ir_value *value) {
    const enum dtype type = value->n_args ? value->args[0]->type : value->type;
    const bool f64 = type == TY_F64, floats = dtype_is_float(type);
    switch (value->op) {
    case OP_div:
    case OP_sqrt: return f64 ? 16 : 8;
    case OP_floordiv:
    case OP_mod:
    case OP_fmod: return floats ? 60 : dtype_size(type) == 8 ? 60 : 20;
    case OP_pow: return f64 ? 150 : floats ? 60 : 40;
    case OP_lgamma:
    case OP_tgamma: return f64 ? 300 : 150;
    case OP_min:
    case OP_max:
    case OP_fmin:
    case OP_fmax: return floats ? 4 : 1;
    case OP_convert:
    case OP_sign:
    case OP_ldexp:
    case OP_rotl:
    case OP_rotr: return 3;
    case OP_load: return 6 + 4 * value->n_args;
    default: break;
    }
    if (op_info[value->op].lower == LOWER_CALL) return f64 ? 60 : 24;
    return op_info[value->op].flags & OPF_STRUCTURE ? 0 : 1;
}

/* Functions of CUDA's math library that keep an array on the stack, for large arguments (those of f32 do before CUDA
 * 13). */
static bool cu_uses_stack(const struct ir_value *value) {
    return value->op == OP_sin || value->op == OP_cos || value->op == OP_tan;
}

static void cu_facts_add(struct cu_facts *facts, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        const int weight = cu_weight(value);
        facts->weight += weight;
        facts->operations += weight > 0;
        switch (value->op) {
        case OP_read:
            if (facts->reads) facts->reads[value->imm.i] = true;
            break;
        case OP_store:
            if (facts->stores) facts->stores[value->imm.i] = true;
            break;
        case OP_index: facts->index[value->imm.i] = true; break;
        case OP_load: facts->can_fail = true; break;
        case OP_loop: facts->loops = true; break;
        case OP_if: facts->branches = true; break;
        default: facts->stack |= cu_uses_stack(value); break;
        }
        for (int r = 0; r < 2; r++)
            if (value->regions[r]) cu_facts_add(facts, value->regions[r]);
    }
}

void cu_facts_of(struct cu *c, const struct ir_region *region, struct cu_facts *facts) {
    *facts = (struct cu_facts){0};
    facts->reads = ARENA_ARRAY(c->arena, bool, c->kernel->n_operands + 1);
    facts->stores = ARENA_ARRAY(c->arena, bool, c->kernel->n_operands + 1);
    cu_facts_add(facts, region);
}

void cu_facts_without_operands(const struct ir_region *region, struct cu_facts *facts) {
    *facts = (struct cu_facts){0};
    cu_facts_add(facts, region);
}

static bool cu_is_same_for_all(const struct cu *c, const struct ir_value *value) {
    switch (value->op) {
    case OP_const:
    case OP_size:
    case OP_len: return true;
    case OP_read: return c->variant->access[value->imm.i] == PTX_BY_VALUE || cu_is_fixed(c, (int)value->imm.i);
    case OP_index: return value->imm.i < c->moving || (c->variant->single_row && value->imm.i != c->vector_loop);
    default: break;
    }
    if (op_info[value->op].flags & OPF_STRUCTURE) return false;
    for (int i = 0; i < value->n_args; i++)
        if (!c->hoisted[value->args[i]->id]) return false;
    return true;
}

void cu_find_hoisted(struct cu *c) {
    for (int i = 0; i < c->kernel->body.n_values; i++) {
        const struct ir_value *value = c->kernel->body.values[i];
        if (!cu_is_same_for_all(c, value)) continue;
        c->hoisted[value->id] = true;
        c->body.weight -= cu_weight(value);
    }
}
