/* emit_reduce.h: what KERNEL_LANES and KERNEL_COLUMNS share. Private to emit_lanes.c, emit_columns.c, emit_reduce.c,
 * shape_reduce.c.
 *
 * The machinery is in prelude/: weft_rows and weft_columns walk over memory and keep the order of additions.
 * A kernel's text tells them, in lambdas, how elements are read (`read`: V of them, `one`: one of the V), what is done
 * with each (`visit`), and, for REDUCE_VAR, what is done the second time (`repeat`); LANES: how what the body stores is
 * written (`save`, `save_one`). */
#ifndef CODEGEN_PTX_EMIT_REDUCE_H
#define CODEGEN_PTX_EMIT_REDUCE_H

#include "codegen/ptx/emit.h"

enum {
    REDUCE_THREADS = 256,
    REDUCE_RUN = 16,         /* LANES: vectors in a run */
    REDUCE_RUNS = 4,         /* runs in a block, which a team of threads takes */
    REDUCE_RUN_THREADS = 16, /* threads that take a run */
    REDUCE_TEAMS = 4,        /* teams in a thread block */
    REDUCE_COLUMN_RUN = 64,
    REDUCE_HELD = 16, /* steps at a time that say: all of a run, to be kept in registers */
    REDUCE_CHUNK = 2, /* COLUMNS: segments' states that a thread takes at a time: as in columns.cuh */
};

/* What ptx_grid.value[] holds. */
enum { LANES_ROWS, LANES_LENGTH, LANES_ITEMS, LANES_SEGMENTS, LANES_TEAMS, LANES_SPAN };
enum { COLUMNS_LENGTH, COLUMNS_ITEMS, COLUMNS_SEGMENTS, COLUMNS_ACROSS, COLUMNS_RUNS, COLUMNS_SPAN, COLUMNS_LEVELS };

/* An accumulator; reductions that are the same share one. */
struct reduce_entry {
    const struct kernel_reduction *reduction;
    const char *type; /* "weft_fold<float, weft_by_sum>" */
    const struct ir_value *x;
    int first; /* result of the body that it takes; VAR: the next one are the flags */
    bool is_var, counted;
    int sum; /* VAR: the entry that has the sum already; -1: none */
    size_t state_bytes;
};

struct reduce_work {
    struct reduce_entry *entries;
    int n;
    int *of;           /* [n_reductions]: entry */
    bool twice;        /* some entry is a variance */
    bool held;         /* what the second pass needs stays in registers */
    int vector;        /* elements that a thread takes side by side */
    bool grouped;      /* PTX_UNIT operands are moved in groups of `vector` */
    int unroll;        /* steps at a time */
    bool across;       /* several reduced dimensions: positions are decoded */
    const char **base; /* by operand: where the row (LANES) or the thread's columns (COLUMNS) begin */
};

void reduce_prepare(struct cu *c, struct reduce_work *work);
/* "weft_tuple<...>" */
const char *reduce_tuple(struct cu *c, const struct reduce_work *work);
/* About how many instructions the accumulators take for an element. */
int reduce_weight(const struct reduce_work *work);
size_t reduce_state_bytes(const struct reduce_work *work);

/* Thread blocks at a time that a multiprocessor is asked to have registers for: as many as do without spilling. */
int reduce_resident(const struct cu *c, const struct reduce_work *work);

/* Is there an element in `input` that is read, or that is to be stored? */
bool reduce_any(const struct cu *c, bool store);
/* Bytes of what is read at a step. */
int reduce_step_bytes(const struct cu *c, int vector);
/* `struct input`: what moves (cu_moves) in one step. */
void reduce_define_input(struct cu *c, const struct reduce_work *work);
/* What tells that a thread's elements are of no interest any more: the name of a lambda, or of what stands for none. */
const char *reduce_define_idle(struct cu *c);
/* Lines of `visit` and `repeat`: the call of the body; declares its results. `store`: what it stores goes to `in`. */
void reduce_call_body(struct cu *c, const char *at, const char *const *index, bool store);
/* `held<i>` and `kept<i>`: what the second pass takes. */
void reduce_define_held(struct cu *c, const struct reduce_work *work);
/* Lines of `visit` after the body: the accumulators take what it gave. */
void reduce_add(struct cu *c, const struct reduce_work *work);
/* Lines of `repeat`: the squared deviations of what was held, or of what the body gave once more. */
void reduce_add_again(struct cu *c, const struct reduce_work *work);
/* `at` and `failed`, if the epilogue can fail or has loops: it must not run then if the body has failed. */
bool reduce_epilogue_begin(struct cu *c, const char *at, const char *length);
/* The epilogue with the states in `total`, and the stores of its outputs at `position`. The scope's i<j> stand already.
 */
void reduce_epilogue(struct cu *c, const struct reduce_work *work, const char *total, const char *length,
                     const char *position);
/* i<first> ... of a flattened position, for those who use them. */
enum reduce_user {
    REDUCE_PLACES = 1,   /* addresses of rows */
    REDUCE_ELEMENTS = 2, /* addresses of what moves */
    REDUCE_BODY = 4,     /* OP_index */
};
void reduce_decode(struct cu *c, const char *position, int first, int n, unsigned users);

/* LANES: neighbouring elements that a thread takes: its lanes of each vector. */
static inline int reduce_vector(const struct ir_kernel *kernel) {
    return kernel->lanes / REDUCE_RUN_THREADS;
}
/* LANES: the logarithm of the teams that a row of `length` elements has, side by side. */
int reduce_teams(int lanes, int64_t length);
/* LANES: how many segments' states of `bytes` bytes a thread takes at the end: as in rows.cuh. */
int reduce_chunk(size_t bytes);
/* COLUMNS: levels of pending states of `bytes` bytes that are in shared memory: as weft_stacked. */
int reduce_stacked(size_t bytes);

#endif
