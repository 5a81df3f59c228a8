/* emit_lanes.c: reductions along rows: the text around weft_rows.
 *
 *     if (work.next()) {      the thread block's piece of a row, or of several
 *         where the row begins, what is the same in all of it, the body
 *         work.reduce<...>(idle, read, one, visit, save, save_one, repeat);
 *         if (work.finish()) { the epilogue }
 *     }
 */
#include "codegen/ptx/emit_reduce.h"

#include <string.h>

enum {
    LANES_UNROLL = 8,
    LANES_UNROLL_BYTES = 128,  /* that a thread has in flight */
    LANES_UNROLL_WEIGHT = 256, /* of the bodies of one turn: more is longer to compile, not faster */
    LANES_HEAVY = 320,         /* weight of `vector` bodies from which on the body stands there once */
    LANES_DECODING = 40,       /* weight of taking a position apart */
    LANES_HELD_WEIGHT = 12,    /* of a body that stands there 64 times */
};

static void lanes_choose(struct cu *c, struct reduce_work *work) {
    const int several = reduce_vector(c->kernel), bytes = reduce_step_bytes(c, several);
    int weight = c->body.weight + reduce_weight(work);
    int variances = 0;
    for (int i = 0; i < work->n; i++) variances += work->entries[i].is_var;
    const bool simple = !c->body.loops && !c->body.can_fail && !c->body.branches;
    work->vector = several;
    work->across = c->kernel->n_red > 1 && !c->variant->single_row;
    if (work->across) weight += LANES_DECODING;
    work->grouped = c->variant->aligned && !work->across && cu_vector_reduce(c->kernel, c->variant->access) > 1;
    /* The rows that stages have at hand are in the nearest cache; their registers are few. */
    work->held = variances == 1 && simple && !work->across && c->body.weight <= LANES_HELD_WEIGHT && !c->rows;
    work->unroll = LANES_UNROLL;
    if (c->body.can_fail) work->unroll = 1;
    while (work->unroll > 1 &&
           (bytes * work->unroll > LANES_UNROLL_BYTES || weight * several * work->unroll > LANES_UNROLL_WEIGHT))
        work->unroll /= 2;
    if (c->body.loops || weight * several > LANES_HEAVY) work->unroll = 0, work->grouped = false;
    if (work->held) work->unroll = REDUCE_HELD;
}

/* --- elements ----------------------------------------------------------------------------------------------------- */

/* The element at position `p` (a name or a sum in parentheses). The scope has i<j> of the reduced dimensions if they
 * are several. */
static const char *lanes_element(struct cu *c, const struct reduce_work *work, int k, const char *p) {
    const int last = c->n_loops - 1;
    if (work->across) return cu_text(c, "%s[%s]", work->base[k], cu_offset(c, k, c->kernel->n_par, c->n_loops));
    const char *stride = cu_stride(c, k, last);
    if (!strcmp(stride, "0")) return cu_text(c, "*%s", work->base[k]);
    if (!strcmp(stride, "1")) return cu_text(c, "%s[%s]", work->base[k], p);
    return cu_text(c, strchr(p, ' ') ? "%s[(%s) * %s]" : "%s[%s * %s]", work->base[k], p, stride);
}

static void lanes_move_element(struct cu *c, const struct reduce_work *work, int k, const char *p) {
    const char *element = lanes_element(c, work, k, p);
    if (c->body.stores[k])
        cu_line(c, "%s = in.y%d.of[e];", element, k);
    else
        cu_line(c, "in.x%d.of[e] = %s;", k, element);
}

static bool lanes_in_groups(const struct cu *c, const struct reduce_work *work, int k) {
    return work->grouped && c->variant->access[k] == PTX_UNIT;
}

/* `one` or `save_one`. */
static void lanes_define_one(struct cu *c, const struct reduce_work *work, bool store) {
    cu_open(c, "auto %s = [&](input &in, const int e, const long long p) __attribute__((always_inline))",
            store ? "save_one" : "one");
    if (work->across) reduce_decode(c, "p", c->kernel->n_par, c->kernel->n_red, REDUCE_ELEMENTS);
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (cu_moves(c, k) && c->body.stores[k] == store) lanes_move_element(c, work, k, "p");
    cu_close(c, ";");
}

/* `read` or `save`: `vector` elements from p on. */
static void lanes_define_several(struct cu *c, const struct reduce_work *work, bool store) {
    const char *p = "p + e";
    bool scattered = false;
    cu_open(c, "auto %s = [&](input &in, const long long p) __attribute__((always_inline))", store ? "save" : "read");
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k) || c->body.stores[k] != store) continue;
        scattered |= !lanes_in_groups(c, work, k);
        if (!lanes_in_groups(c, work, k)) continue;
        const char *memory = cu_text(c, "*weft_groups<%d>(%s + p)", work->vector, work->base[k]);
        if (store)
            cu_line(c, "%s = in.y%d;", memory, k);
        else
            cu_line(c, "in.x%d = %s;", k, memory);
    }
    if (scattered) {
        cu_line(c, "#pragma unroll");
        cu_open(c, "for (int e = 0; e < %d; e++)", work->vector);
        for (int k = 0; k < c->kernel->n_operands; k++)
            if (cu_moves(c, k) && c->body.stores[k] == store && !lanes_in_groups(c, work, k))
                lanes_move_element(c, work, k, p);
        cu_close(c, "");
    }
    cu_close(c, ";");
}

static void lanes_call_body(struct cu *c, const struct reduce_work *work, bool store) {
    const int first = c->kernel->n_par, end = c->n_loops;
    const char **index = ARENA_ARRAY(c->arena, const char *, end + 1);
    for (int j = first; j < end; j++) index[j] = work->across ? cu_text(c, "i%d", j) : j == end - 1 ? "p" : "0";
    if (work->across) reduce_decode(c, "p", first, c->kernel->n_red, REDUCE_BODY);
    reduce_call_body(c, cu_text(c, "work.row * %s + p", cu_grid(c, LANES_LENGTH, "length")), index, store);
}

static void lanes_define_visits(struct cu *c, const struct reduce_work *work) {
    cu_open(c, "auto visit = [&](auto &lane, input &in, const int s, const int h, const int e, "
               "const long long p) __attribute__((always_inline))");
    lanes_call_body(c, work, true);
    reduce_add(c, work);
    cu_close(c, ";");
    if (!work->twice) return;
    cu_open(c, "auto repeat = [&](auto &lane, const auto &means, input &in, const int s, const int h, const int e, "
               "const long long p)"
               " __attribute__((always_inline))");
    if (!work->held) lanes_call_body(c, work, false);
    reduce_add_again(c, work);
    cu_close(c, ";");
}

/* --- the kernel --------------------------------------------------------------------------------------------------- */

static void lanes_row(struct cu *c, struct reduce_work *work) {
    const int n_par = c->kernel->n_par;
    reduce_decode(c, "work.row", 0, n_par, REDUCE_PLACES);
    if (c->rows) cu_define_scratch(c, "work.row");
    cu_define_reads(c, &c->body, true, n_par);
    cu_define_bases(c, n_par, NULL, work->base);
    cu_define_body(c);
    const bool reads = reduce_any(c, false), saves = reduce_any(c, true);
    if (reads) lanes_define_one(c, work, false);
    if (reads && work->grouped) lanes_define_several(c, work, false);
    if (saves) lanes_define_one(c, work, true);
    if (saves && work->grouped) lanes_define_several(c, work, true);
    reduce_define_held(c, work);
    lanes_define_visits(c, work);
    const char *idle = reduce_define_idle(c), *skip = "weft_skip()";
    cu_line(c, "work.template reduce<%d, %s, %s, input>(%s, %s, %s, visit, %s, %s, %s);", work->unroll,
            work->twice ? "true" : "false", work->held ? "true" : "false", idle, reads && work->grouped ? "read" : skip,
            reads ? "one" : skip, saves && work->grouped ? "save" : skip, saves ? "save_one" : skip,
            work->twice ? "repeat" : skip);
}

/* By the thread that has the row's result. */
static void lanes_finish(struct cu *c, struct reduce_work *work, const char *test) {
    const char *length = cu_grid(c, LANES_LENGTH, "length");
    cu_open(c, "if (work.%s())", test);
    const bool may_fail = reduce_epilogue_begin(c, cu_text(c, "work.row * %s", length), length);
    if (may_fail) cu_open(c, "if (!failed)");
    reduce_epilogue(c, work, "work.total", length, "work.row");
    if (may_fail) cu_close(c, "");
    cu_close(c, "");
}

/* All rows of the set, as many at a time as the thread block has teams for. The type has a name that the stages' caller
 * knows: it has the memory. */
static void lanes_rows(struct cu *c, struct reduce_work *work) {
    strbuf_printf(&c->before, "typedef weft_rows<%d, %s, %s, %s> %s_rows;\n\n", c->kernel->lanes,
                  work->grouped ? "true" : "false", c->variant->short_rows ? "true" : "false", reduce_tuple(c, work),
                  c->kernel->name);
    reduce_define_input(c, work);
    cu_line(c, "%s_rows work(%s, %s, room);", c->kernel->name, cu_grid(c, LANES_LENGTH, "length"),
            cu_grid(c, LANES_TEAMS, "teams"));
    cu_line(c, "#pragma unroll 1");
    cu_open(c, "for (long long next = first; next < end; next += work.at_once())");
    cu_line(c, "work.take(next, end);");
    lanes_row(c, work);
    lanes_finish(c, work, "has_result");
    cu_close(c, "");
}

void cu_emit_lanes(struct cu *c) {
    struct ptx_kernel *out = c->out;
    struct reduce_work work = {0};
    reduce_prepare(c, &work);
    lanes_choose(c, &work);
    out->threads = REDUCE_THREADS;
    c->held = work.held;
    out->resident = reduce_resident(c, &work);
    out->vector = work.grouped ? work.vector : 1;
    out->unroll = work.unroll > 0 ? work.unroll : 1;
    out->lanes = c->kernel->lanes;
    out->state_bytes = reduce_state_bytes(&work);

    const char *length = cu_grid(c, LANES_LENGTH, "length");
    cu_define_values(c);
    if (c->rows) {
        lanes_rows(c, &work);
        return;
    }
    cu_line(c, "typedef %s reductions;", reduce_tuple(c, &work));
    reduce_define_input(c, &work);
    cu_line(c, "weft_rows<%d, %s, %s, reductions> work(%s, %s, %s, %s, %s, %s, %s, %s);", c->kernel->lanes,
            work.grouped ? "true" : "false", c->variant->short_rows ? "true" : "false", cu_grid(c, LANES_ROWS, "rows"),
            length, cu_grid(c, LANES_ITEMS, "items"), cu_grid(c, LANES_SEGMENTS, "segments"),
            cu_grid(c, LANES_TEAMS, "teams"), cu_grid(c, LANES_SPAN, "span"), cu_partials(c), cu_counters(c));
    cu_open(c, c->variant->short_rows ? "while (work.next())" : "if (work.next())");
    lanes_row(c, &work);
    lanes_finish(c, &work, "finish");
    cu_close(c, "");
}
