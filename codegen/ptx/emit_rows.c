/* emit_rows.c: several kernels as one, row by row: plan_rows of ir/plan.h.
 *
 *     k0_max(...), k1_map(...), ...       a function for each stage: what it does to rows [first, end)
 *     k0_k3_rows: for each set of rows
 *         k0_max(...);
 *         __syncthreads();
 *         k1_map(...);
 *         __syncthreads();
 *
 * All threads of the block take part in every stage. Of scratch arrays there is room for a set's rows: in the thread
 * block's dynamic shared memory or, where that is too small, in a piece of device memory of its own. One text does for
 * both: addresses are generic.
 */
#include <string.h>

#include "codegen/ptx/emit.h"

struct rows {
    struct cu all;     /* the function that calls the others; the parameters of all */
    struct cu *stages; /* [n] */
    struct cu_rows *own;
    int n, outer;
    int n_scratch;
    struct ptx_scratch *scratch;
    struct strbuf functions;
};

/* --- stages ------------------------------------------------------------------------------------------------------- */

static bool touches(const struct cu *c, int scratch) {
    for (int k = 0; k < c->kernel->n_operands; k++)
        if (c->rows->scratch[k] == scratch && cu_is_touched(c, k)) return true;
    return false;
}

/* The inside of its function. */
static void emit_stage(struct rows *rows, int number, const struct ptx_stage *stage, struct ptx_kernel *out) {
    struct cu *c = &rows->stages[number];
    rows->own[number] = (struct cu_rows){.outer = rows->outer,
                                         .scratch = stage->scratch,
                                         .exchanged = stage->exchanged,
                                         .stage = number,
                                         .grid = ROWS_STAGES + ROWS_EACH * number};
    *c = (struct cu){.arena = rows->all.arena,
                     .kernel = stage->kernel,
                     .variant = stage->variant,
                     .rows = &rows->own[number],
                     .out = out};
    cu_begin(c);
    cu_emit(c);
    for (int k = 0; k < c->kernel->n_operands; k++) {
        if (c->kernel->operands[k].kind != OPERAND_WRITE || stage->scratch[k] < 0) continue;
        rows->scratch[stage->scratch[k]] =
            (struct ptx_scratch){.stage = number, .size = dtype_size(c->kernel->operands[k].type)};
    }
}

/* "4LL * s1_n1": bytes of a row. */
static const char *row_bytes(struct rows *rows, int scratch) {
    const struct ptx_scratch *s = &rows->scratch[scratch];
    struct cu *c = &rows->stages[s->stage];
    const char *bytes = cu_text(c, "%dLL", s->size);
    for (int j = rows->outer; j < c->kernel->n_par; j++) {
        const char *extent = cu_extent(c, j);
        if (strcmp(extent, "1LL")) bytes = cu_text(c, "%s * s%d_%s", bytes, s->stage, extent);
    }
    return bytes;
}

/* The call of the function, whose parameters are known now, and the function. */
static void call_stage(struct rows *rows, int number) {
    struct cu *c = &rows->stages[number], *all = &rows->all;
    const char *name = c->kernel->name;
    struct cu_list arguments = cu_list_begin(all, 4 * all->indent + (int)strlen(name) + 1, 4 * all->indent + 8),
                   parameters = cu_list_begin(c, 4, 4);
    cu_sort_parameters(c);
    cu_add_parameters(c, &parameters);
    for (int i = 0; i < c->n_parameters; i++)
        cu_list_add(&arguments, cu_text(c, "s%d_%s", number, c->parameter_names[i]));
    for (int s = 0; s < rows->n_scratch; s++) {
        if (!touches(c, s)) continue;
        cu_list_add(&parameters, cu_text(c, "char *kept%d", s));
        cu_list_add(&parameters, cu_text(c, "const long long bytes%d", s));
        cu_list_add(&arguments, cu_text(c, "kept%d", s));
        cu_list_add(&arguments, cu_text(c, "bytes%d", s));
    }
    if (c->kernel->kind == KERNEL_LANES) {
        cu_list_add(&parameters, "char *room");
        cu_list_add(&arguments, "room");
    }
    cu_list_add(&parameters, "const long long first");
    cu_list_add(&parameters, "const long long end");
    cu_list_add(&arguments, "first");
    cu_list_add(&arguments, "end");
    cu_line(all, "%s(%s);", name, strbuf_text(&arguments.text));
    cu_line(all, "__syncthreads();");

    strbuf_puts(&rows->functions, strbuf_text(&c->before));
    cu_add_comment(c, &rows->functions);
    strbuf_printf(&rows->functions, "static __device__ __forceinline__ void %s", name);
    cu_add_head(&parameters, &rows->functions);
    strbuf_printf(&rows->functions, "%s}\n\n", strbuf_text(&c->text));
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void define_scratch(struct rows *rows) {
    struct cu *all = &rows->all;
    if (!rows->n_scratch) return;
    const char *apart = cu_grid(all, ROWS_APART, "apart"), *set = cu_grid(all, ROWS_SET, "set_rows");
    cu_line(all, "extern __shared__ weft_vec<char, %d> %s_shared[];", ROWS_ALIGNMENT, all->out->name);
    for (int s = 0; s < rows->n_scratch; s++) {
        cu_line(all, "const long long bytes%d = %s;", s, row_bytes(rows, s));
        if (s)
            cu_line(all, "char *const kept%d = kept%d + (%s * bytes%d + %d) / %d * %d;", s, s - 1, set, s - 1,
                    ROWS_ALIGNMENT - 1, ROWS_ALIGNMENT, ROWS_ALIGNMENT);
        else
            cu_line(all, "char *const kept0 = %s ? %s + blockIdx.x * %s : reinterpret_cast<char *>(%s_shared);", apart,
                    cu_partials(all), apart, all->out->name);
    }
}

/* What reductions need of shared memory: they come one after the other. */
static void define_room(struct rows *rows) {
    struct cu *all = &rows->all;
    const char *size = NULL;
    for (int i = 0; i < rows->n; i++) {
        const struct ir_kernel *kernel = rows->stages[i].kernel;
        if (kernel->kind != KERNEL_LANES) continue;
        const char *own = cu_text(all, "sizeof(%s_rows::memory)", kernel->name);
        size = size ? cu_text(all, "weft_most(%s, %s)", size, own) : own;
    }
    if (size) cu_line(all, "alignas(8) __shared__ char room[%s];", size);
}

/* Blocks at a time that a multiprocessor has registers for without spilling. */
static int resident_of(const struct rows *rows) {
    enum { LIGHT = 64, MOST_IN_FLIGHT = 8 }; /* weight of a body; steps of a reduction: more are kept in registers */
    for (int i = 0; i < rows->n; i++) {
        const struct cu *c = &rows->stages[i];
        const bool light = c->kernel->kind == KERNEL_MAP ? !c->body.branches && c->body.weight <= LIGHT
                                                         : c->out->resident > 1 && c->out->unroll <= MOST_IN_FLIGHT;
        if (!light) return 1;
    }
    return 2;
}

/* Those of all stages after its own. */
static void join_parameters(struct rows *rows) {
    struct cu *all = &rows->all;
    int n = all->n_parameters;
    for (int i = 0; i < rows->n; i++) n += rows->stages[i].n_parameters;
    struct ptx_parameter *parameters = ARENA_ARRAY(all->arena, struct ptx_parameter, n + 1);
    const char **names = ARENA_ARRAY(all->arena, const char *, n + 1),
               **types = ARENA_ARRAY(all->arena, const char *, n + 1);
    n = 0;
    for (int i = -1; i < rows->n; i++) {
        const struct cu *c = i < 0 ? all : &rows->stages[i];
        for (int p = 0; p < c->n_parameters; p++, n++) {
            parameters[n] = c->parameters[p];
            types[n] = c->parameter_types[p];
            names[n] = i < 0 ? c->parameter_names[p] : cu_text(all, "s%d_%s", i, c->parameter_names[p]);
        }
    }
    all->parameters = parameters;
    all->parameter_names = names;
    all->parameter_types = types;
    all->n_parameters = n;
}

static void describe(struct rows *rows, const struct ptx_kernel *stages, const char *name) {
    struct ptx_kernel *out = rows->all.out;
    *out = (struct ptx_kernel){.name = name,
                               .kind = KERNEL_MAP,
                               .vector = 1,
                               .unroll = 1,
                               .threads = 256,
                               .resident = resident_of(rows),
                               .n_stages = rows->n,
                               .stages = stages,
                               .outer = rows->outer,
                               .n_scratch = rows->n_scratch,
                               .scratch = rows->scratch};
    for (int i = 0; i < rows->n; i++) out->device_stack |= stages[i].device_stack;
}

bool ptx_emit_rows(struct arena *arena, const char *name, int outer, int n_stages, const struct ptx_stage *stages,
                   int n_scratch, struct ptx_kernel *out, struct strbuf *why) {
    for (int i = 0; i < n_stages; i++)
        if (!cu_check(stages[i].kernel, stages[i].variant, why)) return false;
    struct rows rows = {.all = {.arena = arena, .out = out, .indent = 1},
                        .stages = ARENA_ARRAY(arena, struct cu, n_stages),
                        .own = ARENA_ARRAY(arena, struct cu_rows, n_stages),
                        .n = n_stages,
                        .outer = outer,
                        .n_scratch = n_scratch,
                        .scratch = ARENA_ARRAY(arena, struct ptx_scratch, n_scratch + 1)};
    struct cu *all = &rows.all;
    strbuf_init(&all->text, arena);
    strbuf_init(&rows.functions, arena);
    struct ptx_kernel *each = ARENA_ARRAY(arena, struct ptx_kernel, n_stages);
    for (int i = 0; i < n_stages; i++) emit_stage(&rows, i, &stages[i], &each[i]);
    describe(&rows, each, name);

    strbuf_printf(&rows.functions, "/* %s: a thread block takes rows, and does all of this to them:", name);
    for (int i = 0; i < n_stages; i++) strbuf_printf(&rows.functions, "%s %s", i ? "," : "", stages[i].kernel->name);
    strbuf_puts(&rows.functions, " */\n\n");
    const char *count = cu_grid(all, ROWS_COUNT, "rows"), *set = cu_grid(all, ROWS_SET, "set_rows");
    define_room(&rows);
    define_scratch(&rows);
    cu_line(all, "#pragma unroll 1");
    cu_open(all, "for (long long first = blockIdx.x * %s; first < %s; first += gridDim.x * %s)", set, count, set);
    cu_line(all, "const long long end = first + %s < %s ? first + %s : %s;", set, count, set, count);
    for (int i = 0; i < n_stages; i++) call_stage(&rows, i);
    cu_close(all, "");
    cu_sort_parameters(all);
    join_parameters(&rows);
    cu_finish(all, strbuf_text(&rows.functions));
    return true;
}
