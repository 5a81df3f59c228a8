/* emit_region.c: values in order, and control: real branches where all lanes agree, masks where they don't. */
#include "codegen/cpu/emit.h"

void emit_region_begin(struct emit *e, struct emit_facts *facts, struct emit_value **store, bool keep_hoisted) {
    if (!*store) {
        *store = ARENA_ARRAY(e->arena, struct emit_value, facts->n);
        keep_hoisted = true;
    }
    e->facts = facts;
    e->values = *store;
    e->stored = false;
    for (int i = 0; i < facts->n; i++)
        if (!keep_hoisted || !facts->of[i].hoistable) e->values[i] = (struct emit_value){0};
}

bool emit_is_varying(struct emit *e, const struct ir_value *value) {
    return e->facts->of[value->id].varying;
}

/* An element that was read before a call is read again rather than kept: loads are free beside calls, spills are not.
 */
static bool emit_reads_again(struct emit *e, const struct ir_value *value) {
    return value->op == OP_read && e->values[value->id].calls != e->calls && !e->stored &&
           (!e->count || e->engine->isa == ISA_AVX512) && !(e->mode == EMIT_LANES && e->lane_index[e->kernel->n_par]) &&
           emit_is_varying(e, value) && e->variant->access[value->imm.i] == ACCESS_UNIT;
}

LLVMValueRef emit_use(struct emit *e, const struct ir_value *value) {
    return emit_reads_again(e, value) ? emit_read(e, value) : e->values[value->id].value;
}

LLVMValueRef emit_use_lanes(struct emit *e, const struct ir_value *value) {
    struct emit_value *slot = &e->values[value->id];
    if (emit_reads_again(e, value)) return emit_read(e, value);
    if (e->width == 1 || emit_is_vector(slot->value)) return slot->value;
    if (slot->splat) return slot->splat;
    if (e->facts->of[value->id].hoistable && e->hoist && !LLVMIsConstant(slot->value)) {
        LLVMBasicBlockRef here = emit_here(e);
        emit_at(e, e->hoist);
        slot->splat = emit_splat_to(e, slot->value, e->width);
        emit_at(e, here);
        return slot->splat;
    }
    return emit_splat_to(e, slot->value, e->width);
}

/* The mask as a value, for code that combines masks. */
static LLVMValueRef emit_mask_of(struct emit *e, LLVMValueRef mask) {
    return mask ? mask : emit_int(emit_vector_of(e->i1, e->width), 1);
}

static LLVMValueRef emit_mask_and(struct emit *e, LLVMValueRef mask, LLVMValueRef condition) {
    return mask ? LLVMBuildAnd(e->builder, mask, condition, "") : condition;
}

/* Masks that live across blocks: where the machine has no mask registers, as wide integers, the form in which it
 * compares. */
static LLVMTypeRef emit_mask_type(struct emit *e) {
    if (e->engine->isa == ISA_AVX512 || e->width == 1) return emit_vector_of(e->i1, e->width);
    int bytes = e->engine->vector_bytes * 2 / e->width;
    LLVMTypeRef element = bytes >= 8 ? e->i64 : bytes == 4 ? e->i32 : bytes == 2 ? e->i16 : e->i8;
    return emit_vector_of(element, e->width);
}

static LLVMValueRef emit_mask_keep(struct emit *e, LLVMValueRef mask) {
    LLVMTypeRef type = emit_mask_type(e);
    return LLVMTypeOf(mask) == type ? mask : LLVMBuildSExt(e->builder, mask, type, "");
}

static LLVMValueRef emit_mask_again(struct emit *e, LLVMValueRef kept) {
    if (emit_scalar_of(LLVMTypeOf(kept)) == e->i1) return kept;
    return LLVMBuildICmp(e->builder, LLVMIntSLT, kept, LLVMConstNull(LLVMTypeOf(kept)), "");
}

/* --- if ----------------------------------------------------------------------------------------------------------- */

static void emit_results_make(struct emit *e, const struct ir_value *value, int n) {
    struct emit_value *slot = &e->values[value->id];
    slot->results = ARENA_ARRAY(e->arena, LLVMValueRef, n + 1);
    slot->result_varying = ARENA_ARRAY(e->arena, bool, n + 1);
}

static void emit_if_uniform(struct emit *e, const struct ir_value *value) {
    const int n = value->regions[0]->n_results;
    LLVMBasicBlockRef arm[2] = {emit_block(e, "then"), emit_block(e, "else")}, from[2], after = emit_block(e, "endif");
    LLVMValueRef *yields[2], outer = e->mask;
    struct emit_value *slot = &e->values[value->id];
    emit_branch(e, emit_use(e, value->args[0]), arm[0], arm[1]);
    for (int a = 0; a < 2; a++) {
        const struct ir_region *region = value->regions[a];
        emit_at(e, arm[a]);
        e->mask = outer; /* what an arm makes of it is known in that arm only */
        emit_region(e, region);
        yields[a] = ARENA_ARRAY(e->arena, LLVMValueRef, n + 1);
        for (int k = 0; k < n; k++) {
            bool varying =
                emit_is_varying(e, value->regions[0]->results[k]) || emit_is_varying(e, value->regions[1]->results[k]);
            slot->result_varying[k] = varying;
            yields[a][k] = varying ? emit_use_lanes(e, region->results[k]) : emit_use(e, region->results[k]);
        }
        from[a] = emit_here(e);
        emit_go(e, after);
    }
    emit_at(e, after);
    e->mask = outer;
    for (int k = 0; k < n; k++) {
        LLVMValueRef phi = emit_phi(e, LLVMTypeOf(yields[0][k]));
        for (int a = 0; a < 2; a++) emit_phi_add(phi, yields[a][k], from[a]);
        slot->results[k] = phi;
    }
}

/* One arm under its mask. A heavy arm is skipped if nobody needs it; its results are zero then. */
static void emit_arm(struct emit *e, const struct ir_region *region, LLVMValueRef mask, bool heavy,
                     LLVMValueRef *yields) {
    LLVMValueRef outer = e->mask;
    LLVMBasicBlockRef before = NULL, after = NULL;
    bool branch = heavy && region->n_values > 0;
    e->mask = mask;
    if (branch) {
        LLVMBasicBlockRef arm = emit_block(e, "arm");
        after = emit_block(e, "endarm");
        LLVMValueRef any = emit_any(e, mask);
        before = emit_here(e);
        emit_branch(e, any, arm, after);
        emit_at(e, arm);
    }
    emit_region(e, region);
    for (int k = 0; k < region->n_results; k++) yields[k] = emit_use_lanes(e, region->results[k]);
    if (branch) {
        LLVMBasicBlockRef from = emit_here(e);
        emit_go(e, after);
        emit_at(e, after);
        for (int k = 0; k < region->n_results; k++) {
            LLVMValueRef phi = emit_phi(e, LLVMTypeOf(yields[k]));
            emit_phi_add(phi, yields[k], from);
            emit_phi_add(phi, LLVMConstNull(LLVMTypeOf(yields[k])), before);
            yields[k] = phi;
        }
    }
    e->mask = outer;
}

static void emit_if_varying(struct emit *e, const struct ir_value *value) {
    const int n = value->regions[0]->n_results;
    bool heavy = e->facts->of[value->id].heavy;
    LLVMValueRef condition = emit_use_lanes(e, value->args[0]);
    LLVMValueRef *yields[2] = {ARENA_ARRAY(e->arena, LLVMValueRef, n + 1), ARENA_ARRAY(e->arena, LLVMValueRef, n + 1)};
    struct emit_value *slot = &e->values[value->id];
    LLVMValueRef outer = e->mask;
    LLVMValueRef kept = heavy ? emit_mask_keep(e, condition) : NULL;
    LLVMValueRef outer_kept = heavy && outer ? emit_mask_keep(e, outer) : NULL;
    emit_arm(e, value->regions[0], emit_mask_and(e, outer, condition), heavy, yields[0]);
    if (heavy) {
        condition = emit_mask_again(e, kept);
        if (outer) e->mask = outer = emit_mask_again(e, outer_kept);
    }
    LLVMValueRef other = LLVMBuildNot(e->builder, condition, "");
    emit_arm(e, value->regions[1], emit_mask_and(e, outer, other), heavy, yields[1]);
    if (heavy) {
        condition = emit_mask_again(e, kept);
        if (outer) e->mask = emit_mask_again(e, outer_kept);
    }
    for (int k = 0; k < n; k++) {
        slot->result_varying[k] = true;
        slot->results[k] = emit_select(e, condition, yields[0][k], yields[1][k]);
    }
}

/* --- loop --------------------------------------------------------------------------------------------------------- */

static bool emit_result_used(struct emit *e, const struct ir_value *loop, int k) {
    return e->facts->of[loop->id].used >> (k < 31 ? k : 31) & 1;
}

/* The carried values at the head, and what they become. */
struct carried {
    LLVMValueRef *phi;
    LLVMValueRef *result; /* uniform inside, but lanes leave at different times: what each lane left with; else NULL */
};

static void emit_bind(struct emit *e, const struct ir_region *region, LLVMValueRef *values) {
    for (int k = 0; k < region->n_params; k++) {
        e->values[region->params[k]->id] = (struct emit_value){.value = values[k]};
    }
}

static struct carried emit_loop_head(struct emit *e, const struct ir_value *loop, bool varying,
                                     const LLVMValueRef *initial, LLVMBasicBlockRef before) {
    const int n = loop->n_args;
    struct carried carried = {ARENA_ARRAY(e->arena, LLVMValueRef, n + 1), ARENA_ARRAY(e->arena, LLVMValueRef, n + 1)};
    for (int k = 0; k < n; k++) {
        carried.phi[k] = emit_phi(e, LLVMTypeOf(initial[k]));
        emit_phi_add(carried.phi[k], initial[k], before);
        bool uniform = !emit_is_varying(e, loop->regions[0]->params[k]);
        if (varying && uniform && e->width > 1 && emit_result_used(e, loop, k))
            carried.result[k] = emit_phi(e, emit_vector_of(LLVMTypeOf(initial[k]), e->width));
    }
    return carried;
}

static LLVMValueRef *emit_loop_initial(struct emit *e, const struct ir_value *loop) {
    LLVMValueRef *initial = ARENA_ARRAY(e->arena, LLVMValueRef, loop->n_args + 1);
    for (int k = 0; k < loop->n_args; k++)
        initial[k] = emit_is_varying(e, loop->regions[0]->params[k]) ? emit_use_lanes(e, loop->args[k])
                                                                     : emit_use(e, loop->args[k]);
    return initial;
}

static LLVMValueRef emit_loop_next(struct emit *e, const struct ir_value *loop, int k) {
    const struct ir_value *next = loop->regions[1]->results[k];
    return emit_is_varying(e, loop->regions[0]->params[k]) ? emit_use_lanes(e, next) : emit_use(e, next);
}

static void emit_loop_uniform(struct emit *e, const struct ir_value *loop) {
    struct emit_value *slot = &e->values[loop->id];
    LLVMValueRef *initial = emit_loop_initial(e, loop);
    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "while"), body = emit_block(e, "do"),
                      after = emit_block(e, "done");
    LLVMValueRef outer = e->mask;
    emit_go(e, head);
    emit_at(e, head);
    struct carried carried = emit_loop_head(e, loop, false, initial, before);
    emit_bind(e, loop->regions[0], carried.phi);
    emit_region(e, loop->regions[0]);
    emit_branch(e, emit_use(e, loop->regions[0]->results[0]), body, after);

    emit_at(e, body);
    emit_bind(e, loop->regions[1], carried.phi);
    emit_region(e, loop->regions[1]);
    LLVMValueRef *next = ARENA_ARRAY(e->arena, LLVMValueRef, loop->n_args + 1);
    for (int k = 0; k < loop->n_args; k++) next[k] = emit_loop_next(e, loop, k);
    emit_poll(e, e->position, false);
    for (int k = 0; k < loop->n_args; k++) emit_phi_add(carried.phi[k], next[k], emit_here(e));
    emit_go(e, head);
    emit_at(e, after);
    e->mask = outer;
    for (int k = 0; k < loop->n_args; k++) {
        slot->results[k] = carried.phi[k];
        slot->result_varying[k] = emit_is_varying(e, loop->regions[0]->params[k]);
    }
}

/* Lanes whose position comes before the first known error: the others hold garbage and might never stop. */
static LLVMValueRef emit_wanted(struct emit *e, LLVMValueRef mask, LLVMValueRef wanted) {
    LLVMValueRef first = emit_iota(e, e->i64, e->width);
    first = LLVMBuildMul(e->builder, first, emit_splat_to(e, e->step, e->width), "");
    LLVMValueRef sooner = LLVMBuildICmp(e->builder, LLVMIntSLT, first, emit_splat_to(e, wanted, e->width), "");
    return LLVMBuildAnd(e->builder, mask, sooner, "");
}

static void emit_loop_varying(struct emit *e, const struct ir_value *loop) {
    const int n = loop->n_args;
    struct emit_value *slot = &e->values[loop->id];
    LLVMValueRef outer = e->mask, *initial = emit_loop_initial(e, loop);
    LLVMValueRef active_first = emit_mask_keep(e, emit_mask_of(e, outer));
    LLVMValueRef outer_kept = outer ? emit_mask_keep(e, outer) : NULL;
    LLVMBasicBlockRef before = emit_here(e), head = emit_block(e, "while"), body = emit_block(e, "do"),
                      after = emit_block(e, "done");
    emit_go(e, head);

    emit_at(e, head);
    LLVMValueRef active = emit_phi(e, emit_mask_type(e));
    emit_phi_add(active, active_first, before);
    struct carried carried = emit_loop_head(e, loop, true, initial, before);
    for (int k = 0; k < n; k++)
        if (carried.result[k]) emit_phi_add(carried.result[k], LLVMConstNull(LLVMTypeOf(carried.result[k])), before);
    LLVMValueRef mask = emit_mask_again(e, active);
    e->mask = mask;
    emit_bind(e, loop->regions[0], carried.phi);
    emit_region(e, loop->regions[0]);
    LLVMValueRef go_on = LLVMBuildAnd(e->builder, e->mask, emit_use_lanes(e, loop->regions[0]->results[0]), "");
    /* What a lane leaves with is what the value is when it leaves: all lanes leaving now leave with this one. */
    LLVMValueRef *left = ARENA_ARRAY(e->arena, LLVMValueRef, n + 1);
    for (int k = 0; k < n; k++)
        if (carried.result[k])
            left[k] = emit_select(e, e->mask, emit_splat_to(e, carried.phi[k], e->width), carried.result[k]);
    LLVMValueRef go_on_kept = emit_mask_keep(e, go_on);
    emit_branch(e, emit_any(e, go_on), body, after);

    emit_at(e, body);
    e->mask = go_on;
    emit_bind(e, loop->regions[1], carried.phi);
    emit_region(e, loop->regions[1]);
    LLVMValueRef *next = ARENA_ARRAY(e->arena, LLVMValueRef, n + 1);
    LLVMValueRef again = emit_mask_again(e, go_on_kept);
    for (int k = 0; k < n; k++) {
        next[k] = emit_loop_next(e, loop, k);
        /* Lanes that have left keep their value, if anybody will look at it. */
        if (emit_is_varying(e, loop->regions[0]->params[k]) && emit_result_used(e, loop, k))
            next[k] = emit_select(e, again, next[k], carried.phi[k]);
    }
    LLVMValueRef wanted = emit_poll(e, e->position, true);
    LLVMBasicBlockRef poll = emit_here(e), some = emit_block(e, "some"), back = emit_block(e, "again");
    LLVMValueRef limited = LLVMBuildICmp(e->builder, LLVMIntNE, wanted, emit_i64(e, INT64_MAX), "");
    emit_branch_unlikely(e, limited, some, back);
    emit_at(e, some);
    LLVMValueRef fewer = emit_mask_keep(e, emit_wanted(e, emit_mask_again(e, go_on_kept), wanted));
    emit_go(e, back);
    emit_at(e, back);
    LLVMValueRef active_next = emit_phi(e, emit_mask_type(e));
    emit_phi_add(active_next, go_on_kept, poll);
    emit_phi_add(active_next, fewer, some);
    emit_go(e, head);
    emit_phi_add(active, active_next, back);
    for (int k = 0; k < n; k++) {
        emit_phi_add(carried.phi[k], next[k], back);
        if (carried.result[k]) emit_phi_add(carried.result[k], left[k], back);
    }

    emit_at(e, after);
    e->mask = outer ? emit_mask_again(e, outer_kept) : NULL;
    for (int k = 0; k < n; k++) {
        slot->results[k] = carried.result[k] ? left[k] : carried.phi[k];
        slot->result_varying[k] = true;
    }
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static LLVMValueRef emit_constant(struct emit *e, const struct ir_value *value) {
    LLVMTypeRef type = emit_element(e, value->type);
    return dtype_is_float(value->type) ? LLVMConstReal(type, value->imm.f)
                                       : LLVMConstInt(type, (unsigned long long)value->imm.i, true);
}

static LLVMValueRef emit_index(struct emit *e, const struct ir_value *value) {
    int j = (int)value->imm.i;
    if (!emit_is_varying(e, value)) return e->index[j];
    if (e->lane_index[j]) return e->lane_index[j];
    LLVMValueRef lanes = emit_iota(e, e->i64, e->width);
    return LLVMBuildAdd(e->builder, emit_splat_to(e, e->index[j], e->width), lanes, "");
}

static LLVMValueRef emit_value_of(struct emit *e, const struct ir_value *value) {
    LLVMValueRef args[8];
    bool varying = emit_is_varying(e, value);
    switch (value->op) {
    case OP_const: return emit_constant(e, value);
    case OP_size: return emit_size_parameter(e, value->imm.i);
    case OP_len: return emit_size(e, (int)value->imm.i, value->dim);
    case OP_index: return emit_index(e, value);
    case OP_read: return emit_read(e, value);
    case OP_load: return emit_load_checked(e, value);
    case OP_param: return e->values[value->id].value;
    case OP_result: {
        struct emit_value *of = &e->values[value->args[0]->id];
        LLVMValueRef result = of->results[value->imm.i];
        return varying ? emit_splat_to(e, result, e->width) : result;
    }
    default:
        for (int i = 0; i < value->n_args && i < 8; i++)
            args[i] = varying ? emit_use_lanes(e, value->args[i]) : emit_use(e, value->args[i]);
        return emit_operation(e, value, args);
    }
}

static void emit_structured(struct emit *e, const struct ir_value *value) {
    bool is_if = value->op == OP_if;
    emit_results_make(e, value, is_if ? value->regions[0]->n_results : value->n_args);
    if (is_if) {
        if (emit_is_varying(e, value->args[0]))
            emit_if_varying(e, value);
        else
            emit_if_uniform(e, value);
    } else if (emit_is_varying(e, value)) {
        emit_loop_varying(e, value);
    } else {
        emit_loop_uniform(e, value);
    }
}

/* LLVM takes time quadratic in the length of a block, so long bodies are cut. A block that merely goes on to the next
 * is joined with it again; asking for cancellation is a branch that has its use. */
enum { REGION_BLOCK = 256 };

void emit_region(struct emit *e, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        if (i % REGION_BLOCK == REGION_BLOCK - 1) {
            emit_cut(e);
            e->calls++; /* elements are read again, too: a value used thousands of times costs as much again */
        }
        const struct ir_value *value = region->values[i];
        struct emit_value *slot = &e->values[value->id];
        if (value->op == OP_if || value->op == OP_loop) {
            emit_structured(e, value);
        } else if (value->op == OP_store) {
            emit_store(e, value);
        } else if (e->facts->of[value->id].hoistable && e->hoist) {
            if (slot->value) continue; /* from the first time this region was emitted */
            LLVMBasicBlockRef here = emit_here(e);
            LLVMValueRef mask = e->mask, count = e->count;
            emit_at(e, e->hoist);
            e->mask = e->count = NULL;
            slot->value = emit_value_of(e, value);
            e->hoist = emit_here(e);
            e->mask = mask;
            e->count = count;
            emit_at(e, here);
        } else {
            slot->value = emit_value_of(e, value);
            slot->splat = NULL;
            slot->calls = e->calls;
        }
    }
}
