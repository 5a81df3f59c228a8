/* emit_facts.c: what is the same for all lanes, what can be computed before the loop, which regions are worth a branch.
 */
#include "codegen/cpu/emit.h"

struct facts_work {
    struct emit *e;
    struct emit_facts *facts;
    enum emit_mode mode;
    bool changed; /* some carried value turned out to vary */
};

static int facts_largest_id(const struct ir_region *region) {
    int largest = -1;
    for (int i = 0; i < region->n_params; i++)
        if (region->params[i]->id > largest) largest = region->params[i]->id;
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->id > largest) largest = value->id;
        for (int r = 0; r < 2; r++) {
            if (!value->regions[r]) continue;
            int inner = facts_largest_id(value->regions[r]);
            if (inner > largest) largest = inner;
        }
    }
    return largest;
}

static bool facts_varies(struct facts_work *work, const struct ir_value *value) {
    return work->facts->of[value->id].varying;
}

static bool facts_read_varies(struct facts_work *work, const struct ir_value *value) {
    const struct ir_kernel *kernel = work->e->kernel;
    int k = (int)value->imm.i, n = kernel->n_par + kernel->n_red;
    switch (work->mode) {
    case EMIT_SCALAR: return false;
    case EMIT_LANES:
        if (kernel->n_red == 1 || work->e->variant->single_row)
            return work->e->variant->access[k] != ACCESS_UNIFORM && (kernel->operands[k].uses >> (n - 1) & 1);
        return kernel->operands[k].uses >> kernel->n_par != 0;
    default:
        return kernel->n_par > 0 && work->e->variant->access[k] != ACCESS_UNIFORM &&
               (kernel->operands[k].uses >> (kernel->n_par - 1) & 1);
    }
}

static bool facts_index_varies(struct facts_work *work, const struct ir_value *value) {
    const struct ir_kernel *kernel = work->e->kernel;
    int j = (int)value->imm.i;
    switch (work->mode) {
    case EMIT_SCALAR: return false;
    case EMIT_LANES:
        if (kernel->n_red == 1 || work->e->variant->single_row) return j == kernel->n_par + kernel->n_red - 1;
        return j >= kernel->n_par;
    default: return j == kernel->n_par - 1;
    }
}

static void facts_region(struct facts_work *work, const struct ir_region *region, bool top);

static bool facts_any_heavy(const struct emit_facts *facts, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_load || value->op == OP_loop || op_info[value->op].lower == LOWER_CALL) return true;
        if (value->op == OP_store || (value->op == OP_if && facts->of[value->id].heavy)) return true;
        if (value->op == OP_floordiv || value->op == OP_mod) return true;
    }
    return region->n_values > 24;
}

static void facts_set_varying(struct facts_work *work, const struct ir_value *value) {
    struct emit_fact *fact = &work->facts->of[value->id];
    if (!fact->varying) work->changed = true;
    fact->varying = true;
}

static void facts_loop(struct facts_work *work, const struct ir_value *loop) {
    const struct ir_region *test = loop->regions[0], *step = loop->regions[1];
    for (int k = 0; k < loop->n_args; k++)
        if (facts_varies(work, loop->args[k])) {
            facts_set_varying(work, test->params[k]);
            facts_set_varying(work, step->params[k]);
        }
    bool outer = work->changed;
    do {
        work->changed = false;
        facts_region(work, test, false);
        facts_region(work, step, false);
        for (int k = 0; k < loop->n_args; k++)
            if (facts_varies(work, step->results[k]) || facts_varies(work, step->params[k])) {
                facts_set_varying(work, test->params[k]);
                facts_set_varying(work, step->params[k]);
            }
    } while (work->changed);
    work->changed = outer;
    work->facts->of[loop->id].varying = facts_varies(work, test->results[0]);
}

static bool facts_result_varies(struct facts_work *work, const struct ir_value *value) {
    const struct ir_value *of = value->args[0];
    int k = (int)value->imm.i;
    if (facts_varies(work, of)) return true;
    if (of->op == OP_loop) return facts_varies(work, of->regions[0]->params[k]);
    return facts_varies(work, of->regions[0]->results[k]) || facts_varies(work, of->regions[1]->results[k]);
}

static void facts_value(struct facts_work *work, const struct ir_value *value, bool top) {
    struct emit_fact *fact = &work->facts->of[value->id];
    bool varying = false, hoistable = top;
    for (int i = 0; i < value->n_args; i++) {
        varying |= facts_varies(work, value->args[i]);
        hoistable &= work->facts->of[value->args[i]->id].hoistable;
    }
    switch (value->op) {
    case OP_read: varying = facts_read_varies(work, value); break;
    case OP_index: varying = facts_index_varies(work, value); break;
    case OP_param: return;
    case OP_if:
        facts_region(work, value->regions[0], false);
        facts_region(work, value->regions[1], false);
        fact->heavy =
            facts_any_heavy(work->facts, value->regions[0]) || facts_any_heavy(work->facts, value->regions[1]);
        hoistable = false;
        break;
    case OP_loop:
        facts_loop(work, value);
        varying = fact->varying;
        hoistable = false;
        break;
    case OP_result: {
        varying = facts_result_varies(work, value);
        unsigned k = (unsigned)value->imm.i;
        work->facts->of[value->args[0]->id].used |= 1u << (k < 31 ? k : 31);
        hoistable = false;
        break;
    }
    case OP_load:
    case OP_store: hoistable = false; break;
    default: break;
    }
    fact->varying |= varying;
    fact->hoistable = hoistable && !fact->varying;
}

static void facts_region(struct facts_work *work, const struct ir_region *region, bool top) {
    for (int i = 0; i < region->n_values; i++) facts_value(work, region->values[i], top);
}

/* Counts once, when it is known what varies. */
static void facts_count(struct emit_facts *facts, const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        facts->operations++;
        if (op_info[value->op].lower == LOWER_CALL && dtype_is_float(value->type)) facts->calls++;
        if (value->op == OP_loop) facts->loops = true;
        if (facts->of[value->id].varying && value->type != TY_NONE && dtype_size(value->type) > facts->widest)
            facts->widest = dtype_size(value->type);
        for (int r = 0; r < 2; r++)
            if (value->regions[r]) facts_count(facts, value->regions[r]);
    }
}

struct emit_facts *emit_facts_of(struct emit *e, const struct ir_region *region, enum emit_mode mode,
                                 bool params_varying) {
    struct emit_facts *facts = ARENA_NEW(e->arena, struct emit_facts);
    facts->n = facts_largest_id(region) + 1;
    facts->of = ARENA_ARRAY(e->arena, struct emit_fact, facts->n);
    facts->widest = 1;
    for (int i = 0; i < region->n_params; i++) {
        facts->of[region->params[i]->id].varying = params_varying;
        facts->of[region->params[i]->id].hoistable = !params_varying;
    }
    struct facts_work work = {e, facts, mode, false};
    facts_region(&work, region, true);
    facts_count(facts, region);
    return facts;
}

int emit_choose_width(const struct emit *e, const struct emit_facts *facts) {
    if (e->engine->isa == ISA_SCALAR) return 1;
    /* Calls keep no vector in a register: more than one at a time would only be spilled. */
    int width = (facts->calls && !facts->loops ? 1 : 2) * e->engine->vector_bytes / facts->widest;
    return width > 64 ? 64 : width;
}

int emit_tail_width(const struct emit *e, const struct emit_facts *facts) {
    int native = e->engine->vector_bytes / facts->widest;
    return native > 1 && native < e->width ? native : e->width;
}
