/* emit_map.c: elementwise kernels: rows around columns, groups of neighbouring elements where memory allows it. As a
 * stage: for the rows of a set.
 *
 *     rows: a grid-stride loop along y (none if there is one row)
 *         groups of `vector` elements, `unroll` of them in flight: all loads, the body for each element, all stores
 *         groups, one at a time
 *         elements before the first group and after the last one
 */
#include "codegen/ptx/emit.h"

#include <string.h>

enum {
    MAP_THREADS = 256,
    MAP_THREADS_HEAVY = 128,
    MAP_HEAVY = 200,         /* weight of a body that needs registers more than threads */
    MAP_VECTOR_WEIGHT = 800, /* of a vector: above, memory is not what it waits for */
    MAP_UNROLL = 4,
    MAP_UNROLL_WEIGHT = 128,      /* of all that a thread has in flight */
    MAP_UNROLL_BYTES = 192,       /* registers for what was loaded */
    MAP_UNROLL_WEIGHT_ROWS = 256, /* of a stage: there are fewer threads to make up for what one waits */
    MAP_UNROLL_BYTES_ROWS = 128,  /* which reductions have registers for, too */
};

/* Is the operand read or written element by element along the vector dimension, its elements being neighbours? */
static bool map_is_unit(const struct cu *c, int k) {
    return (c->body.reads[k] || c->body.stores[k]) && c->variant->access[k] == PTX_UNIT && !cu_is_fixed(c, k);
}

int ptx_vector_of(const struct ir_kernel *kernel, const enum ptx_access *access) {
    if (kernel->kind != KERNEL_MAP) return cu_vector_reduce(kernel, access);
    struct cu_facts facts;
    cu_facts_without_operands(&kernel->body, &facts);
    int widest = 0;
    for (int k = 0; k < kernel->n_operands; k++) {
        const struct kernel_operand *operand = &kernel->operands[k];
        if (operand->kind == OPERAND_WHOLE || access[k] != PTX_UNIT) continue;
        if (dtype_size(operand->type) > widest) widest = dtype_size(operand->type);
    }
    if (kernel->n_par == 0 || !widest || facts.loops) return 1;
    int vector = 16 / widest;
    while (vector > 1 && facts.weight * vector > MAP_VECTOR_WEIGHT) vector /= 2;
    return vector;
}

static int map_unroll(const struct cu *c, int vector) {
    if (c->body.loops || c->body.can_fail) return 1;
    int bytes = 0, unroll = MAP_UNROLL;
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (cu_moves(c, k) && c->body.reads[k]) bytes += vector * dtype_size(c->kernel->operands[k].type);
    const int weight = c->rows ? MAP_UNROLL_WEIGHT_ROWS : MAP_UNROLL_WEIGHT,
              most = c->rows ? MAP_UNROLL_BYTES_ROWS : MAP_UNROLL_BYTES;
    while (unroll > 1 && (bytes * unroll > most || c->body.weight * vector * unroll > weight)) unroll /= 2;
    return unroll;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

struct map_work {
    const char **base; /* by operand: address of the row's element 0 */
    const char *index; /* name of the position along the vector dimension: "i0" */
    const char *extent;
    const char *at; /* flattened position of the row's first element with " + " after it, or "" */
    int vector, unroll;
};

/* The element `index` positions (an expression) into the row. */
static const char *map_element(struct cu *c, const struct map_work *work, int k, const char *index) {
    const char *stride = cu_stride(c, k, c->vector_loop);
    if (!strcmp(stride, "0")) return cu_text(c, "*%s", work->base[k]);
    if (!strcmp(stride, "1")) return cu_text(c, "%s[%s]", work->base[k], index);
    return cu_text(c, strpbrk(index, " ") ? "%s[(%s) * %s]" : "%s[%s * %s]", work->base[k], index, stride);
}

/* --- one element, and groups -------------------------------------------------------------------------------------- */

struct map_call {
    struct cu_call call;
    const char **index, **x, **y;
};

static struct map_call map_call_new(struct cu *c) {
    struct map_call m = {.index = ARENA_ARRAY(c->arena, const char *, c->n_loops + 1),
                         .x = ARENA_ARRAY(c->arena, const char *, c->kernel->n_operands + 1),
                         .y = ARENA_ARRAY(c->arena, const char *, c->kernel->n_operands + 1)};
    m.call.index = m.index;
    m.call.x = m.x;
    m.call.y = m.y;
    return m;
}

/* The element at `index`. */
static void map_single(struct cu *c, const struct map_work *work) {
    struct map_call m = map_call_new(c);
    m.index[c->vector_loop] = work->index;
    m.call.at = cu_text(c, "%s%s", work->at, work->index);
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (c->body.stores[k]) {
            cu_line(c, "%s y%d;", cu_memory_type(c->kernel->operands[k].type), k);
            m.y[k] = cu_text(c, "y%d", k);
        } else if (cu_moves(c, k)) {
            m.x[k] = map_element(c, work, k, work->index);
        }
    }
    cu_call_body(c, &m.call);
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (c->body.stores[k]) cu_line(c, "%s = y%d;", map_element(c, work, k, work->index), k);
}

/* What the `unroll` groups of a thread hold of operand k: "x0[u].of[e]" and the like. */
static const char *map_held(struct cu *c, const struct map_work *work, int k, int unroll, bool element) {
    return cu_text(c, "%c%d%s%s", c->body.stores[k] ? 'y' : 'x', k, unroll > 1 ? "[u]" : "",
                   element && work->vector > 1 ? ".of[e]" : "");
}

static bool map_moves_groups(const struct cu *c, const struct map_work *work, int k) {
    return work->vector > 1 && map_is_unit(c, k);
}

static void map_declare(struct cu *c, const struct map_work *work, int unroll) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k) || (unroll == 1 && !c->body.stores[k] && map_moves_groups(c, work, k))) continue;
        const char *type = cu_memory_type(c->kernel->operands[k].type);
        if (work->vector > 1) type = cu_text(c, "weft_vec<%s, %d>", type, work->vector);
        cu_line(c, unroll > 1 ? "%s %c%d[%d];" : "%s %c%d;", type, c->body.stores[k] ? 'y' : 'x', k, unroll);
    }
}

static void map_begin_unrolled(struct cu *c, int n, const char *counter) {
    if (n <= 1) return;
    cu_line(c, "#pragma unroll");
    cu_open(c, "for (int %s = 0; %s < %d; %s++)", counter, counter, n, counter);
}

static void map_end_unrolled(struct cu *c, int n) {
    if (n > 1) cu_close(c, "");
}

/* Are operand k's elements loaded (stored) one by one? */
static bool map_is_scattered(const struct cu *c, const struct map_work *work, int k, bool store) {
    return cu_moves(c, k) && c->body.stores[k] == store && !map_moves_groups(c, work, k);
}

static bool map_any(const struct cu *c, const struct map_work *work, bool store, bool scattered) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k) || c->body.stores[k] != store) continue;
        if (!scattered || map_is_scattered(c, work, k, store)) return true;
    }
    return false;
}

static bool map_body_wants_position(const struct cu *c) {
    return c->body.index[c->vector_loop] || c->body.can_fail || c->body.loops;
}

/* Position of the first element of the group. */
static void map_position(struct cu *c, const struct map_work *work, const char *group) {
    if (work->vector == 1)
        cu_line(c, "const long long %s = %s;", work->index, group);
    else
        cu_line(c,
                strpbrk(group, " ") ? "const long long %s = head + %d * (%s);" : "const long long %s = head + %d * %s;",
                work->index, work->vector, group);
}

/* Loads, or stores, a group of each operand: whole where its elements are neighbours, else one by one. */
static void map_move(struct cu *c, const struct map_work *work, const char *group, int unroll, bool store) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k) || c->body.stores[k] != store || !map_moves_groups(c, work, k)) continue;
        const char *held = map_held(c, work, k, unroll, false), *memory = cu_text(c, "groups%d[%s]", k, group);
        if (unroll == 1 && !store)
            cu_line(c, "const weft_vec<%s, %d> %s = %s;", cu_memory_type(c->kernel->operands[k].type), work->vector,
                    held, memory);
        else
            cu_line(c, "%s = %s;", store ? memory : held, store ? held : memory);
    }
    if (!map_any(c, work, store, true)) return;
    const char *element = work->vector > 1 ? cu_text(c, "%s + e", work->index) : work->index;
    map_begin_unrolled(c, work->vector, "e");
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!map_is_scattered(c, work, k, store)) continue;
        const char *held = map_held(c, work, k, unroll, true), *memory = map_element(c, work, k, element);
        cu_line(c, "%s = %s;", store ? memory : held, store ? held : memory);
    }
    map_end_unrolled(c, work->vector);
}

/* The same for `unroll` groups. */
static void map_moves(struct cu *c, const struct map_work *work, const char *group, int unroll, bool store) {
    if (!map_any(c, work, store, false)) return;
    map_begin_unrolled(c, unroll, "u");
    if (unroll > 1 && map_any(c, work, store, true)) map_position(c, work, group);
    map_move(c, work, group, unroll, store);
    map_end_unrolled(c, unroll);
}

/* `unroll` groups, the first of which is group g, the others `width` groups further on each: all is loaded, then the
 * body runs for each element, then all is stored. */
static void map_groups(struct cu *c, const struct map_work *work, int unroll) {
    const char *group = unroll > 1 ? "g + u * width" : "g";
    const char *element = work->vector > 1 ? cu_text(c, "%s + e", work->index) : work->index;
    struct map_call m = map_call_new(c);
    m.index[c->vector_loop] = element;
    m.call.at = cu_text(c, "%s%s", work->at, element);
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k)) continue;
        *(c->body.stores[k] ? &m.y[k] : &m.x[k]) = map_held(c, work, k, unroll, true);
    }
    map_declare(c, work, unroll);
    const bool wanted = map_body_wants_position(c);
    if (unroll == 1 && (wanted || map_any(c, work, false, true) || map_any(c, work, true, true)))
        map_position(c, work, group);
    map_moves(c, work, group, unroll, false);
    map_begin_unrolled(c, unroll, "u");
    if (unroll > 1 && wanted) map_position(c, work, group);
    map_begin_unrolled(c, work->vector, "e");
    cu_call_body(c, &m.call);
    map_end_unrolled(c, work->vector);
    map_end_unrolled(c, unroll);
    map_moves(c, work, group, unroll, true);
}

/* --- a row -------------------------------------------------------------------------------------------------------- */

static void map_group_addresses(struct cu *c, const struct map_work *work) {
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!cu_moves(c, k) || !map_moves_groups(c, work, k)) continue;
        const struct kernel_operand *operand = &c->kernel->operands[k];
        cu_line(c, "%sweft_vec<%s, %d> *const groups%d = weft_groups<%d>(%s + head);",
                operand->kind == OPERAND_READ ? "const " : "", cu_memory_type(operand->type), work->vector, k,
                work->vector, work->base[k]);
    }
}

static void map_columns(struct cu *c, const struct map_work *work) {
    const char *going = c->stops ? " && !stop" : "";
    const int vector = work->vector, unroll = work->unroll;
    const bool grouped = vector * unroll > 1;
    const char *groups = work->extent;
    if (grouped) {
        if (vector > 1) {
            cu_line(c, "const long long groups = (%s - %s) / %d;", work->extent, cu_grid(c, MAP_HEAD, "head"), vector);
            groups = "groups";
            map_group_addresses(c, work);
        }
        cu_line(c, "long long g = column;");
        if (unroll > 1) {
            cu_line(c, "#pragma unroll 1");
            cu_open(c, "for (; g + %s < %s%s; g += %d * width)",
                    unroll > 2 ? cu_text(c, "%d * width", unroll - 1) : "width", groups, going, unroll);
            map_groups(c, work, unroll);
            cu_close(c, "");
        }
        if (vector > 1) {
            cu_line(c, "#pragma unroll 1");
            cu_open(c, "for (; g < groups%s; g += width)", going);
            map_groups(c, work, 1);
            cu_close(c, "");
        }
    }
    if (vector > 1) {
        cu_line(c, "// before the first group and after the last one");
        cu_line(c, "#pragma unroll 1");
        /* Not ended by `stop`: what is at the row's beginning must tell of its failures after what comes later did. */
        cu_open(c, "for (long long rest = column; rest < %s - %d * groups; rest += width)", work->extent, vector);
        cu_line(c, "const long long %s = rest < %s ? rest : rest + %d * groups;", work->index,
                cu_grid(c, MAP_HEAD, "head"), vector);
    } else if (grouped) {
        cu_line(c, "#pragma unroll 1");
        cu_open(c, "for (; g < %s%s; g += width)", work->extent, going);
        cu_line(c, "const long long %s = g;", work->index);
    } else {
        cu_line(c, "#pragma unroll 1");
        cu_open(c, "for (long long %s = column; %s < %s%s; %s += width)", work->index, work->index, work->extent, going,
                work->index);
    }
    map_single(c, work);
    cu_close(c, "");
}

static void map_row(struct cu *c, struct map_work *work) {
    cu_define_reads(c, &c->body, true, c->vector_loop);
    cu_define_bases(c, c->vector_loop, NULL, work->base);
    cu_define_body(c);
    map_columns(c, work);
}

static const char *map_place(struct cu *c, int k) {
    const char *offset = cu_offset(c, k, 0, c->n_loops);
    return strcmp(offset, "0") ? cu_text(c, "%s[%s]", cu_data(c, k), offset) : cu_text(c, "*%s", cu_data(c, k));
}

/* One position: all that is read is fixed. */
static void map_point(struct cu *c) {
    struct map_call m = map_call_new(c);
    m.call.at = "0";
    cu_define_reads(c, &c->body, true, c->n_loops);
    cu_define_body(c);
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (!c->body.stores[k]) continue;
        cu_line(c, "%s y%d;", cu_memory_type(c->kernel->operands[k].type), k);
        m.y[k] = cu_text(c, "y%d", k);
    }
    cu_call_body(c, &m.call);
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (c->body.stores[k]) cu_line(c, "%s = y%d;", map_place(c, k), k);
}

/* i<j> of the row, for whoever needs them. */
static void map_row_position(struct cu *c) {
    const int outer = c->rows->outer;
    bool used[KERNEL_MAX_LOOPS] = {0}, any = false;
    for (int j = 0; j < outer; j++) {
        used[j] = c->body.index[j];
        for (int k = 0; k < c->kernel->n_operands; k++) used[j] |= cu_is_touched(c, k) && cu_depends(c, k, j);
        any |= used[j];
    }
    if (!any) return;
    cu_decode(c, "row", 0, outer);
    for (int j = 0; j < outer; j++)
        if (!used[j]) cu_line(c, "(void)i%d;", j);
}

/* A thread for each row of the set. */
static void map_rows_of_one(struct cu *c) {
    cu_line(c, "#pragma unroll 1");
    cu_open(c, "for (long long row = first + threadIdx.x; row < end; row += %d)", c->out->threads);
    map_row_position(c);
    cu_define_scratch(c, "row");
    map_point(c);
    cu_close(c, "");
}

/* Several threads for each line of the set's rows. */
static void map_rows(struct cu *c, struct map_work *work) {
    const int outer = c->rows->outer, between = c->vector_loop - outer;
    const char *across = cu_grid(c, MAP_ACROSS, "across");
    cu_line(c, "const long long width = 1LL << %s; // threads side by side in a line", across);
    cu_line(c, "const long long column = threadIdx.x & (width - 1);");
    if (between)
        cu_line(c, "const long long inner = %s, lines = (end - first) * inner;", cu_extents(c, outer, between));
    cu_line(c, "#pragma unroll 1");
    if (between) {
        cu_open(c, "for (long long line = threadIdx.x >> %s; line < lines; line += %d >> %s)", across, c->out->threads,
                across);
        cu_line(c, "const long long row = first + line / inner, within = line %% inner;");
        cu_decode(c, "within", outer, between);
    } else {
        cu_open(c, "for (long long row = first + (threadIdx.x >> %s); row < end; row += %d >> %s)", across,
                c->out->threads, across);
    }
    map_row_position(c);
    cu_define_scratch(c, "row");
    map_row(c, work);
    cu_close(c, "");
}

void cu_emit_map(struct cu *c) {
    struct ptx_kernel *out = c->out;
    const struct ir_kernel *kernel = c->kernel;
    if (c->vector_loop < 0) {
        out->threads = 32;
        cu_line(c, "if (threadIdx.x != 0) return;");
        cu_define_values(c);
        map_point(c);
        return;
    }
    if (c->rows && c->vector_loop < c->rows->outer) {
        out->threads = MAP_THREADS;
        cu_define_values(c);
        map_rows_of_one(c);
        return;
    }
    if (c->variant->aligned) out->vector = ptx_vector_of(kernel, c->variant->access);
    out->unroll = map_unroll(c, out->vector);
    out->threads = c->rows                                       ? MAP_THREADS
                   : c->body.loops || c->body.weight > MAP_HEAVY ? MAP_THREADS_HEAVY
                                                                 : MAP_THREADS;

    struct map_work work = {.base = ARENA_ARRAY(c->arena, const char *, kernel->n_operands + 1),
                            .index = cu_text(c, "i%d", c->vector_loop),
                            .extent = cu_extent(c, c->vector_loop),
                            .at = "",
                            .vector = out->vector,
                            .unroll = out->unroll};
    cu_define_values(c);
    if (c->rows) {
        map_rows(c, &work);
        return;
    }
    cu_line(c, "const long long width = (long long)gridDim.x * blockDim.x; // threads side by side in a row");
    cu_line(c, "const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;");
    if (c->variant->single_row || kernel->n_par == 1) {
        map_row(c, &work);
        return;
    }
    work.at = cu_text(c, "row * %s + ", work.extent);
    cu_line(c, "const long long rows = %s;", cu_extents(c, 0, c->vector_loop));
    cu_line(c, "#pragma unroll 1");
    cu_open(c,
            "for (long long row = (long long)blockIdx.y * blockDim.y + threadIdx.y; row < rows%s; row += (long "
            "long)gridDim.y * "
            "blockDim.y)",
            c->stops ? " && !stop" : "");
    cu_decode(c, "row", 0, c->vector_loop);
    map_row(c, &work);
    cu_close(c, "");
}

/* --- the shape of a launch ---------------------------------------------------------------------------------------- */

enum { MAP_WAVES = 64, GRID_Y_MAX = 65535, GRID_X_MAX = 2147483647 };

/* Threads that a row can use, each with `unroll` groups if that leaves it whole warps. */
int cu_map_across(const struct ptx_kernel *kernel, int64_t groups, int threads) {
    int across = threads;
    while (across > 1 && (int64_t)(across / 2) * (across > 32 ? kernel->unroll : 1) >= groups) across /= 2;
    return across;
}

void cu_shape_map(const struct ptx_kernel *kernel, const int64_t *extents, int64_t head,
                  const struct ptx_limits *limits, struct ptx_grid *out) {
    *out = (struct ptx_grid){.grid = {1, 1, 1}, .block = {(unsigned)kernel->threads, 1, 1}};
    if (kernel->n_par == 0) return;
    const int64_t columns = extents[kernel->n_par - 1];
    const int64_t rows = cu_product(extents, 0, kernel->n_par - 1);
    out->value[MAP_HEAD] = cu_smaller(head, columns);

    int64_t groups = (columns - out->value[MAP_HEAD]) / kernel->vector;
    if (groups < 1) groups = 1;
    const int across = rows > 1 ? cu_map_across(kernel, groups, kernel->threads) : kernel->threads;
    const int down = kernel->threads / across;
    out->block[0] = (unsigned)across;
    out->block[1] = (unsigned)down;

    /* A tile of `unroll` groups for each thread, but for work so small that it would not fill the device, and so large
     * that threads can as well do several. */
    const int64_t full = (int64_t)limits->multiprocessors * (limits->threads_per_multiprocessor / kernel->threads + 1),
                  most = MAP_WAVES * full;
    const int64_t high = cu_ceil(rows, down);
    int64_t x = cu_ceil(groups, (int64_t)across * kernel->unroll);
    if (x < cu_ceil(full, high)) x = cu_smaller(cu_ceil(groups, across), cu_ceil(full, high));
    x = cu_smaller(cu_smaller(x, most), GRID_X_MAX);
    const int64_t y = cu_smaller(cu_smaller(high, cu_ceil(most, x)), GRID_Y_MAX);
    out->grid[0] = (unsigned)x;
    out->grid[1] = (unsigned)y;
}
