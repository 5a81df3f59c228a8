/* emit_reduce.c: accumulators of a kernel's reductions, calls of its body, its epilogue: what LANES and COLUMNS have in
 * common. */
#include "codegen/ptx/emit_reduce.h"

#include <string.h>

/* --- accumulators ------------------------------------------------------------------------------------------------- */

static const char *reduce_fold(struct cu *c, enum reduce_op op, enum dtype type) {
    static const char *const names[] = {
        [REDUCE_SUM] = "sum",   [REDUCE_PROD] = "prod", [REDUCE_MIN] = "min", [REDUCE_MAX] = "max",
        [REDUCE_FMIN] = "fmin", [REDUCE_FMAX] = "fmax", [REDUCE_ANY] = "any", [REDUCE_ALL] = "all"};
    if (!dtype_is_float(type) && op == REDUCE_FMIN) op = REDUCE_MIN;
    if (!dtype_is_float(type) && op == REDUCE_FMAX) op = REDUCE_MAX;
    return cu_text(c, "weft_fold<%s, weft_by_%s>", cu_type(type), names[op]);
}

static void reduce_describe(struct cu *c, struct reduce_entry *entry) {
    const enum reduce_op op = entry->reduction->op;
    const char *type = cu_type(entry->x->type);
    switch (op) {
    case REDUCE_ARGMIN:
    case REDUCE_ARGMAX:
    case REDUCE_NANARGMIN:
    case REDUCE_NANARGMAX:
        entry->type =
            cu_text(c, "weft_arg<%s, %s, %s>", type, op == REDUCE_ARGMAX || op == REDUCE_NANARGMAX ? "true" : "false",
                    op == REDUCE_NANARGMIN || op == REDUCE_NANARGMAX ? "true" : "false");
        entry->state_bytes = 16;
        return;
    case REDUCE_VAR:
        entry->type = entry->sum >= 0 ? cu_text(c, "weft_var_of<%s, %d>", type, entry->sum)
                                      : cu_text(c, "weft_var<%s, %s>", type, entry->counted ? "true" : "false");
        entry->state_bytes = 24;
        return;
    default:
        entry->type = reduce_fold(c, op, entry->x->type);
        entry->state_bytes = 8;
        return;
    }
}

static struct ir_value *reduce_argument(const struct cu *c, const struct kernel_reduction *reduction, int i) {
    return c->kernel->body.results[reduction->first_arg + i];
}

static bool reduce_same(const struct cu *c, const struct kernel_reduction *a, const struct kernel_reduction *b) {
    if (a->op != b->op || reduce_argument(c, a, 0) != reduce_argument(c, b, 0)) return false;
    return a->op != REDUCE_VAR || reduce_argument(c, a, 1) == reduce_argument(c, b, 1);
}

static int reduce_find(const struct cu *c, const struct reduce_work *work, const struct kernel_reduction *reduction) {
    for (int e = 0; e < work->n; e++)
        if (reduce_same(c, work->entries[e].reduction, reduction)) return e;
    return -1;
}

void reduce_prepare(struct cu *c, struct reduce_work *work) {
    const struct ir_kernel *kernel = c->kernel;
    work->entries = ARENA_ARRAY(c->arena, struct reduce_entry, kernel->n_reductions + 1);
    work->of = ARENA_ARRAY(c->arena, int, kernel->n_reductions + 1);
    work->base = ARENA_ARRAY(c->arena, const char *, kernel->n_operands + 1);
    for (int i = 0; i < kernel->n_reductions; i++) {
        const struct kernel_reduction *reduction = &kernel->reductions[i];
        work->of[i] = reduce_find(c, work, reduction);
        if (work->of[i] >= 0) continue;
        work->of[i] = work->n;
        struct reduce_entry *entry = &work->entries[work->n++];
        *entry = (struct reduce_entry){.reduction = reduction, .first = reduction->first_arg, .sum = -1};
        entry->x = reduce_argument(c, reduction, 0);
        entry->is_var = reduction->op == REDUCE_VAR;
        if (!entry->is_var) continue;
        const struct ir_value *counts = reduce_argument(c, reduction, 1);
        entry->counted = counts->op != OP_const || !counts->imm.i;
        work->twice = true;
    }
    for (int e = 0; e < work->n; e++) {
        struct reduce_entry *entry = &work->entries[e];
        for (int s = 0; s < work->n && entry->is_var && !entry->counted; s++)
            if (work->entries[s].reduction->op == REDUCE_SUM && work->entries[s].x == entry->x) entry->sum = s;
        reduce_describe(c, entry);
    }
}

int reduce_weight(const struct reduce_work *work) {
    int weight = 0;
    for (int e = 0; e < work->n; e++) {
        const struct reduce_entry *entry = &work->entries[e];
        switch (entry->reduction->op) {
        case REDUCE_MIN:
        case REDUCE_MAX:
        case REDUCE_FMIN:
        case REDUCE_FMAX: weight += dtype_is_float(entry->x->type) ? 4 : 2; break;
        case REDUCE_VAR: weight += 4; break;
        default: weight += entry->state_bytes == 16 ? 12 : 2; break;
        }
    }
    return weight;
}

const char *reduce_tuple(struct cu *c, const struct reduce_work *work) {
    const char *text = "";
    for (int e = 0; e < work->n; e++) text = cu_text(c, "%s%s%s", text, e ? ", " : "", work->entries[e].type);
    return cu_text(c, "weft_tuple<%s>", text);
}

size_t reduce_state_bytes(const struct reduce_work *work) {
    size_t bytes = 0;
    for (int e = 0; e < work->n; e++) bytes += work->entries[e].state_bytes;
    return bytes;
}

int reduce_chunk(size_t bytes) {
    return bytes <= 8 ? 4 : 2;
}

int reduce_stacked(size_t bytes) {
    return bytes >= 256 ? 1 : (int)(256 / bytes);
}

/* --- what moves --------------------------------------------------------------------------------------------------- */

bool reduce_any(const struct cu *c, bool store) {
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (cu_moves(c, k) && c->body.stores[k] == store) return true;
    return false;
}

int reduce_step_bytes(const struct cu *c, int vector) {
    int bytes = 0;
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (cu_moves(c, k) && !c->body.stores[k]) bytes += vector * dtype_size(c->kernel->operands[k].type);
    return bytes;
}

static const char *reduce_member(struct cu *c, int k) {
    return cu_text(c, "%c%d", c->body.stores[k] ? 'y' : 'x', k);
}

int reduce_resident(const struct cu *c, const struct reduce_work *work) {
    enum { FEW = 40, SOME = 72, LIGHT = 24 }; /* registers that a thread holds; weight of a body */
    if (c->body.loops || c->body.can_fail || c->body.branches || c->body.weight > LIGHT ||
        c->epilogue.weight > 4 * LIGHT || work->across)
        return 1;
    bool plain = true; /* sums and variances of all elements */
    for (int i = 0; i < work->n; i++) plain &= !work->entries[i].counted && work->entries[i].state_bytes != 16;
    /* What is held leaves no register for a conversion, or for what short rows need besides. */
    if (work->held) return work->n <= 2 && plain && c->body.operations == 0 && !c->variant->short_rows ? 2 : 1;
    int words = work->unroll * reduce_step_bytes(c, work->vector) / 4;
    for (int i = 0; i < work->n; i++)
        words += work->vector * (work->entries[i].state_bytes == 8 ? dtype_size(work->entries[i].x->type) > 4 ? 2 : 1
                                                                   : (int)work->entries[i].state_bytes / 4);
    /* Positions that are chosen, beside an address for each element. */
    for (int i = 0; i < work->n && !work->grouped; i++)
        if (work->entries[i].state_bytes == 16) words += work->vector;
    return words > SOME ? 1 : words > FEW || work->twice ? 2 : 3;
}

void reduce_define_input(struct cu *c, const struct reduce_work *work) {
    cu_open(c, "struct input");
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (cu_moves(c, k))
            cu_line(c, "weft_vec<%s, %d> %s;", cu_memory_type(c->kernel->operands[k].type), work->vector,
                    reduce_member(c, k));
    cu_close(c, ";");
}

const char *reduce_define_idle(struct cu *c) {
    if (!c->stops) return "weft_never()";
    cu_line(c, "auto idle = [&] { return stop; };");
    return "idle";
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

void reduce_call_body(struct cu *c, const char *at, const char *const *index, bool store) {
    const struct ir_kernel *kernel = c->kernel;
    const char **x = ARENA_ARRAY(c->arena, const char *, kernel->n_operands + 1);
    const char **y = ARENA_ARRAY(c->arena, const char *, kernel->n_operands + 1);
    const char **r = ARENA_ARRAY(c->arena, const char *, kernel->body.n_results + 1);
    for (int k = 0; k < kernel->n_operands; k++) {
        if (!cu_moves(c, k)) continue;
        const enum dtype type = kernel->operands[k].type;
        if (c->body.stores[k]) {
            if (!store) cu_line(c, "%s y%d;", cu_memory_type(type), k);
            y[k] = cu_text(c, store ? "in.y%d.of[e]" : "y%d", k);
        } else {
            x[k] = cu_text(c, type == TY_BOOL ? "in.x%d.of[e] != 0" : "in.x%d.of[e]", k);
        }
    }
    for (int q = 0; q < kernel->body.n_results; q++) {
        r[q] = cu_text(c, "r%d", q);
        cu_line(c, "%s r%d;", cu_type(kernel->body.results[q]->type), q);
    }
    cu_call_body(c, &(struct cu_call){.at = at, .index = index, .x = x, .y = y, .r = r});
}

void reduce_define_held(struct cu *c, const struct reduce_work *work) {
    for (int i = 0; i < work->n && work->held; i++) {
        const struct reduce_entry *entry = &work->entries[i];
        if (!entry->is_var) continue;
        cu_line(c, "%s held%d[%d][%d];", cu_type(entry->x->type), i, REDUCE_RUN + 1, work->vector);
        if (entry->counted) cu_line(c, "unsigned kept%d[3] = {}; // a bit for each of them: it counts", i);
    }
}

void reduce_add(struct cu *c, const struct reduce_work *work) {
    for (int i = 0; i < work->n; i++) {
        const struct reduce_entry *entry = &work->entries[i];
        if (entry->is_var && entry->counted)
            cu_line(c, "weft_get<%d>(lane).add(r%d, r%d);", i, entry->first, entry->first + 1);
        else if (entry->sum < 0)
            cu_line(c, entry->state_bytes == 16 ? "weft_get<%d>(lane).add(r%d, s);" : "weft_get<%d>(lane).add(r%d);", i,
                    entry->first);
        if (!entry->is_var || !work->held) continue;
        cu_line(c, "held%d[h][e] = r%d;", i, entry->first);
        if (entry->counted)
            cu_line(c, "kept%d[h / 8] |= (unsigned)r%d << (h %% 8 * %d + e);", i, entry->first + 1, work->vector);
    }
}

void reduce_add_again(struct cu *c, const struct reduce_work *work) {
    for (int i = 0; i < work->n; i++) {
        const struct reduce_entry *entry = &work->entries[i];
        if (!entry->is_var) continue;
        const char *x = work->held ? cu_text(c, "held%d[h][e]", i) : cu_text(c, "r%d", entry->first), *flag = "";
        if (entry->counted)
            flag = work->held ? cu_text(c, ", (kept%d[h / 8] >> (h %% 8 * %d + e) & 1) != 0", i, work->vector)
                              : cu_text(c, ", r%d", entry->first + 1);
        cu_line(c, "weft_get<%d>(lane).add(weft_get<%d>(means).square(%s)%s);", i, i, x, flag);
    }
}

/* --- the epilogue ------------------------------------------------------------------------------------------------- */

bool reduce_epilogue_begin(struct cu *c, const char *at, const char *length) {
    if (!c->epilogue.can_fail && !c->epilogue.loops) return false;
    cu_line(c, "const long long at = %s;", at);
    cu_line(
        c,
        "const bool failed = weft_cancelled(%s, %s, at + %s); // the body did: nothing that follows from it is told of",
        cu_watch(c), cu_order(c), length);
    return true;
}

void reduce_epilogue(struct cu *c, const struct reduce_work *work, const char *total, const char *length,
                     const char *position) {
    const struct ir_region *epilogue = &c->kernel->epilogue;
    cu_define_reads(c, &c->epilogue, true, c->kernel->n_par);
    cu_define_reads(c, &c->epilogue, false, c->kernel->n_par);
    for (int i = 0; i < epilogue->n_params; i++) {
        const struct ir_value *value = epilogue->params[i];
        c->names[value->id] = cu_text(c, "v%d", value->id);
        cu_line(c, "const %s v%d = weft_get<%d>(%s).value(%s == 0);", cu_type(value->type), value->id, work->of[i],
                total, length);
    }
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (c->epilogue.stores[k]) cu_line(c, "%s y%d;", cu_memory_type(c->kernel->operands[k].type), k);
    cu_region(c, epilogue);
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (c->epilogue.stores[k]) cu_line(c, "%s[%s] = y%d;", cu_data(c, k), cu_is_scratch(c, k) ? "0" : position, k);
}

/* --- positions ---------------------------------------------------------------------------------------------------- */

static bool reduce_uses(const struct cu *c, int j, unsigned users) {
    if ((users & REDUCE_BODY) && c->body.index[j]) return true;
    if ((users & REDUCE_PLACES) && (c->body.index[j] || c->epilogue.index[j])) return true;
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_depends(c, k, j)) continue;
        if ((users & REDUCE_ELEMENTS) && cu_moves(c, k)) return true;
        if ((users & REDUCE_PLACES) && (c->body.reads[k] || c->body.stores[k] || c->epilogue.reads[k])) return true;
    }
    return false;
}

void reduce_decode(struct cu *c, const char *position, int first, int n, unsigned users) {
    bool any = false;
    for (int j = first; j < first + n; j++) any |= reduce_uses(c, j, users);
    if (!any) return;
    cu_decode(c, position, first, n);
    for (int j = first; j < first + n; j++)
        if (!reduce_uses(c, j, users)) cu_line(c, "(void)i%d;", j);
}
