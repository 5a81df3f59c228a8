/* emit_columns.c: reductions that keep the last dimension: the text around weft_columns, as in emit_lanes.c. A thread
 * takes `vector` neighbouring columns. */
#include "codegen/ptx/emit_reduce.h"

#include <string.h>

enum {
    COLUMNS_UNROLL = 8,
    COLUMNS_UNROLL_BYTES = 128,  /* that a thread has in flight */
    COLUMNS_UNROLL_WEIGHT = 256, /* of the bodies of one turn */
    COLUMNS_HEAVY = 64,          /* weight of a body from which on threads take one column */
    COLUMNS_VECTOR_STATE = 32,   /* bytes of a state from which on they do, too */
};

static void columns_choose(struct cu *c, struct reduce_work *work) {
    const int weight = c->body.weight + reduce_weight(work);
    work->across = c->kernel->n_red > 1;
    work->vector = 1;
    /* What fails first must be known: a thread's positions only grow if it has one column. */
    if (c->variant->aligned && !c->body.loops && !c->body.can_fail && weight <= COLUMNS_HEAVY &&
        reduce_state_bytes(work) <= COLUMNS_VECTOR_STATE)
        work->vector = cu_vector_reduce(c->kernel, c->variant->access);
    work->grouped = work->vector > 1;
    const int bytes = reduce_step_bytes(c, work->vector);
    work->unroll = c->body.loops || c->body.can_fail ? 1 : COLUMNS_UNROLL;
    while (work->unroll > 1 && (bytes * work->unroll > COLUMNS_UNROLL_BYTES ||
                                weight * work->vector * work->unroll > COLUMNS_UNROLL_WEIGHT))
        work->unroll /= 2;
}

/* --- elements ----------------------------------------------------------------------------------------------------- */

/* From the thread's first column to column e of row p. Several reduced dimensions: the scope has their i<j>. */
static const char *columns_offset(struct cu *c, const struct reduce_work *work, int k, const char *e) {
    const int first = c->kernel->n_par;
    const char *offset, *stride;
    if (work->across) {
        offset = cu_offset(c, k, first, c->n_loops);
    } else {
        stride = cu_stride(c, k, first);
        offset = !strcmp(stride, "0") ? "0" : !strcmp(stride, "1") ? "p" : cu_text(c, "p * %s", stride);
    }
    if (!e) return offset;
    stride = cu_stride(c, k, first - 1);
    if (!strcmp(stride, "0")) return offset;
    const char *column = strcmp(stride, "1") ? cu_text(c, "%s * %s", e, stride) : e;
    return strcmp(offset, "0") ? cu_text(c, "%s + %s", offset, column) : column;
}

/* `one`: column e alone; else `read`: all of the thread's. */
static void columns_define_read(struct cu *c, const struct reduce_work *work, bool one) {
    bool scattered = false;
    if (one)
        cu_open(c, "auto one = [&](input &in, const int e, const long long p) __attribute__((always_inline))");
    else
        cu_open(c, "auto read = [&](input &in, const long long p) __attribute__((always_inline))");
    if (work->across) reduce_decode(c, "p", c->kernel->n_par, c->kernel->n_red, REDUCE_ELEMENTS);
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k)) continue;
        const bool group = !one && work->grouped && c->variant->access[k] == PTX_UNIT;
        scattered |= !group;
        if (group)
            cu_line(c, "in.x%d = *weft_groups<%d>(%s);", k, work->vector,
                    cu_plus(c, work->base[k], columns_offset(c, work, k, NULL)));
    }
    const bool loop = scattered && !one && work->vector > 1;
    if (loop) cu_line(c, "#pragma unroll");
    if (loop) cu_open(c, "for (int e = 0; e < %d; e++)", work->vector);
    for (int k = 0; k < c->kernel->n_operands && scattered; k++) {
        if (!cu_moves(c, k) || (!one && work->grouped && c->variant->access[k] == PTX_UNIT)) continue;
        const bool several = one || work->vector > 1;
        cu_line(c, "in.x%d.of[%s] = %s[%s];", k, several ? "e" : "0", work->base[k],
                columns_offset(c, work, k, several ? "e" : NULL));
    }
    if (loop) cu_close(c, "");
    cu_close(c, ";");
}

static void columns_call_body(struct cu *c, const struct reduce_work *work) {
    const int first = c->kernel->n_par, end = c->n_loops;
    const char **index = ARENA_ARRAY(c->arena, const char *, end + 1);
    for (int j = first; j < end; j++) index[j] = work->across ? cu_text(c, "i%d", j) : "p";
    index[first - 1] = "work.column + e";
    if (work->across) reduce_decode(c, "p", first, c->kernel->n_red, REDUCE_BODY);
    reduce_call_body(c,
                     cu_text(c, "(work.outer * %s + work.column + e) * %s + p", cu_extent(c, first - 1),
                             cu_grid(c, COLUMNS_LENGTH, "length")),
                     index, true);
}

static void columns_define_visits(struct cu *c, const struct reduce_work *work) {
    cu_open(c, "auto visit = [&](auto &lane, input &in, const int s, const int e, const long long p) "
               "__attribute__((always_inline))");
    columns_call_body(c, work);
    reduce_add(c, work);
    cu_close(c, ";");
    if (!work->twice) return;
    cu_open(c,
            "auto repeat = [&](auto &lane, const auto &means, input &in, const int s, const int e, const long long p)"
            " __attribute__((always_inline))");
    columns_call_body(c, work);
    reduce_add_again(c, work);
    cu_close(c, ";");
}

/* --- the kernel --------------------------------------------------------------------------------------------------- */

static void columns_tile(struct cu *c, struct reduce_work *work) {
    const int outer = c->kernel->n_par - 1;
    reduce_decode(c, "work.outer", 0, outer, REDUCE_PLACES);
    cu_define_reads(c, &c->body, true, c->moving);
    cu_define_bases(c, outer, "work.column", work->base);
    cu_define_body(c);
    const bool reads = reduce_any(c, false);
    if (reads) columns_define_read(c, work, true);
    if (reads) columns_define_read(c, work, false);
    columns_define_visits(c, work);
    const char *idle = reduce_define_idle(c);
    cu_line(c, "work.template reduce<%d, %s, input>(%s, %s, %s, visit, %s);", work->unroll,
            work->twice ? "true" : "false", idle, reads ? "read" : "weft_skip()", reads ? "one" : "weft_skip()",
            work->twice ? "repeat" : "weft_skip()");
}

void cu_emit_columns(struct cu *c) {
    struct ptx_kernel *out = c->out;
    struct reduce_work work = {0};
    const int last = c->kernel->n_par - 1;
    reduce_prepare(c, &work);
    columns_choose(c, &work);
    out->threads = REDUCE_THREADS;
    out->resident = reduce_resident(c, &work);
    out->vector = work.vector;
    out->unroll = work.unroll;
    out->state_bytes = reduce_state_bytes(&work);

    const char *length = cu_grid(c, COLUMNS_LENGTH, "length"), *columns = cu_extent(c, last);
    cu_define_values(c);
    cu_line(c, "typedef %s reductions;", reduce_tuple(c, &work));
    reduce_define_input(c, &work);
    cu_line(c, "weft_columns<%d, reductions> work(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s);", work.vector,
            cu_extents(c, 0, last), columns, length, cu_grid(c, COLUMNS_ITEMS, "items"),
            cu_grid(c, COLUMNS_SEGMENTS, "segments"), cu_grid(c, COLUMNS_ACROSS, "across"),
            cu_grid(c, COLUMNS_RUNS, "runs"), cu_grid(c, COLUMNS_SPAN, "span"), cu_grid(c, COLUMNS_LEVELS, "levels"),
            cu_partials(c), cu_counters(c));
    cu_open(c, "if (work.next())");
    columns_tile(c, &work);
    cu_open(c, "if (work.finish())");
    cu_line(c, "#pragma unroll");
    cu_open(c, "for (int e = 0; e < %d; e++)", work.vector);
    if (work.vector > 1) cu_line(c, "if (e >= work.count) break;");
    cu_line(c, "const long long i%d = work.column + e;", last);
    const char *position = last > 0 ? cu_text(c, "work.outer * %s + i%d", columns, last) : "i0";
    if (reduce_epilogue_begin(c, cu_text(c, "(%s) * %s", position, length), length))
        cu_line(c, "if (failed) continue;");
    reduce_epilogue(c, &work, "work.total[e]", length, position);
    cu_close(c, "");
    cu_close(c, "");
    cu_close(c, "");
}
