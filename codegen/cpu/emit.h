/* emit.h: from a kernel to LLVM IR. Private to this room.
 *
 * A body is emitted for `width` neighbouring positions at once. A value that is the same for all of them ("uniform") is
 * one scalar, any other a vector of `width` lanes; bools are i1 in registers and bytes in memory. Control that differs
 * by lane runs under a mask. With width 1 (and in scalar code such as epilogues of rows) everything is a scalar and
 * masks are i1.
 *
 * Blocks of a function: `entry` loads arguments and holds allocas; values that do not change along the vector loop go
 * to the end of the block `hoist`; the rest is emitted where the builder stands.
 */
#ifndef CODEGEN_CPU_EMIT_H
#define CODEGEN_CPU_EMIT_H

#include "codegen/cpu/engine.h"

/* What is known of each value of a region before anything is emitted; by value id. */
struct emit_fact {
    bool varying;
    bool hoistable; /* uniform, cannot fail, not inside an if or loop, and so are its operands */
    bool heavy;     /* if: worth branching around when no lane is active */
    unsigned used;  /* loop: bit k: carried value k is read after the loop (bit 31: so is some k >= 31) */
};

struct emit_facts {
    struct emit_fact *of;
    int n;
    int widest;     /* bytes of the widest varying element, at least 1 */
    int operations; /* values */
    int calls;      /* of vector math */
    bool loops;
};

/* How much is the same for all lanes. */
enum emit_mode {
    EMIT_MAP,     /* lanes run along the last parallel dimension */
    EMIT_LANES,   /* lanes run along the flattened reduced dimensions */
    EMIT_COLUMNS, /* lanes run along the last parallel dimension, reduced dimensions are loops */
    EMIT_SCALAR,  /* one position */
};

struct emit_value {
    LLVMValueRef value;
    LLVMValueRef splat;    /* uniform: its vector, where it was hoisted */
    unsigned calls;        /* e->calls when it was made */
    LLVMValueRef *results; /* of an if or loop; each uniform (scalar) or not as result_varying says */
    bool *result_varying;
};

struct emit_operand {
    LLVMValueRef data;
    LLVMValueRef stride[KERNEL_MAX_LOOPS], size[TYPE_MAX_RANK];
    LLVMValueRef row;   /* address of the first element of what the vector loop runs over */
    LLVMValueRef lanes; /* strided: byte offsets of the lanes, hoisted */
    LLVMValueRef safe;  /* whole: `data`, or zeros if the array is empty */
};

struct emit {
    struct cpu_engine *engine;
    const struct ir_kernel *kernel;
    const struct cpu_variant *variant;
    struct arena *arena;
    const char *prefix; /* of symbol names */

    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr;
    LLVMValueRef unlikely; /* metadata: branch weights */
    unsigned prof_kind;

    /* the function being built */
    LLVMValueRef function;
    LLVMBasicBlockRef entry, hoist, leave;
    LLVMBasicBlockRef cancelled; /* where emit_cut leaves by; NULL until needed */
    LLVMValueRef watch, cancel, arguments, extents_at, sizes_at;
    LLVMValueRef extents[KERNEL_MAX_LOOPS];
    struct emit_operand *operands;

    /* the place in the iteration space */
    enum emit_mode mode;
    int width;
    LLVMValueRef position, step;               /* flattened position of lane 0, and from lane to lane; i64 */
    LLVMValueRef index[KERNEL_MAX_LOOPS];      /* by loop dimension: scalar; the vector dimension's is that of lane 0 */
    LLVMValueRef lane_index[KERNEL_MAX_LOOPS]; /* EMIT_LANES over several dimensions: by lane; NULL otherwise */
    LLVMValueRef in_row;       /* with lane_index: i1, the lanes are neighbours along the last dimension */
    LLVMValueRef offset;       /* i64: elements from operand->row to lane 0 */
    LLVMValueRef count;        /* NULL: all lanes are real; otherwise only the first `count` (i64) */
    LLVMValueRef mask;         /* lanes at work: NULL all */
    LLVMValueRef chunk_mask;   /* what `mask` was at the top of the body */
    LLVMValueRef par_position; /* flattened position over the parallel dimensions of the row's first element */
    LLVMValueRef count_mask;   /* made from `count`, for vectors of count_lanes; valid with it */
    int count_lanes;
    bool often_whole; /* `count` is set although mostly all lanes are real */

    /* the region being emitted */
    struct emit_facts *facts;
    struct emit_value *values;
    unsigned calls; /* of vector math so far: no vector register survives one */
    bool stored;    /* the region has stored: operands may have changed */
};

/* --- emit_core.c: types, constants, blocks, function frames ------------------------------------------------------- */

bool emit_is_vector(LLVMValueRef value);
LLVMTypeRef emit_element(struct emit *e, enum dtype type);        /* i1 for bool */
LLVMTypeRef emit_memory_element(struct emit *e, enum dtype type); /* i8 for bool */
LLVMTypeRef emit_vector_of(LLVMTypeRef element, int n);           /* the element itself if n is 1 */
/* A type of `element`s shaped as `like` is. */
LLVMTypeRef emit_like(LLVMValueRef like, LLVMTypeRef element);
LLVMTypeRef emit_scalar_of(LLVMTypeRef type);
int emit_lanes_of(LLVMTypeRef type);
/* Constants, splatted if `type` is a vector. */
LLVMValueRef emit_int(LLVMTypeRef type, int64_t value);
LLVMValueRef emit_real(LLVMTypeRef type, double value);
LLVMValueRef emit_i64(struct emit *e, int64_t value);
/* 0, 1, 2, ... as a vector of `element` (0 for one lane). */
LLVMValueRef emit_iota(struct emit *e, LLVMTypeRef element, int n);
LLVMValueRef emit_splat_to(struct emit *e, LLVMValueRef value, int n);
LLVMValueRef emit_lane(struct emit *e, LLVMValueRef vector, int lane);
/* Lanes first .. first + n - 1. */
LLVMValueRef emit_slice(struct emit *e, LLVMValueRef vector, int first, int n);
LLVMValueRef emit_concat(struct emit *e, LLVMValueRef *parts, int n_parts);
LLVMValueRef emit_intrinsic(struct emit *e, const char *name, LLVMTypeRef type, LLVMValueRef a, LLVMValueRef b,
                            LLVMValueRef c);
LLVMValueRef emit_select(struct emit *e, LLVMValueRef condition, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_any(struct emit *e, LLVMValueRef mask);

LLVMBasicBlockRef emit_block(struct emit *e, const char *name);
LLVMBasicBlockRef emit_here(struct emit *e);
void emit_go(struct emit *e, LLVMBasicBlockRef to); /* br */
void emit_branch(struct emit *e, LLVMValueRef condition, LLVMBasicBlockRef yes, LLVMBasicBlockRef no);
void emit_branch_unlikely(struct emit *e, LLVMValueRef condition, LLVMBasicBlockRef rare, LLVMBasicBlockRef usual);
void emit_at(struct emit *e, LLVMBasicBlockRef block); /* continue at its end */
LLVMValueRef emit_phi(struct emit *e, LLVMTypeRef type);
void emit_phi_add(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from);
LLVMValueRef emit_alloca(struct emit *e, LLVMTypeRef type, int64_t n, unsigned alignment);
LLVMValueRef emit_offset_bytes(struct emit *e, LLVMValueRef pointer, LLVMValueRef bytes);
LLVMValueRef emit_load_field(struct emit *e, LLVMValueRef pointer, int64_t byte_offset, LLVMTypeRef type);

/* Begins `name`(call, i64 ...): n_i64 integer parameters, then a pointer if `with_pointer`. Builder at the start of the
 * code. */
void emit_function_begin(struct emit *e, const char *name, int n_i64, bool with_pointer);
/* The function runs so rarely that what counts is how long it takes to compile. */
void emit_function_once(struct emit *e);
void emit_function_end(struct emit *e);
/* The part of it that every function has: blocks `entry` and (empty) `leave`; nothing is known yet. The block after
 * those two, where the code begins, is the caller's to make. */
void emit_frame_begin(struct emit *e, const char *name, LLVMTypeRef type);
LLVMValueRef emit_argument(struct emit *e, int i); /* after `call` */

/* Launch data, loaded once in the entry block. */
LLVMValueRef emit_data(struct emit *e, int operand);
LLVMValueRef emit_stride(struct emit *e, int operand, int dim);
LLVMValueRef emit_size(struct emit *e, int operand, int dim);
LLVMValueRef emit_extent(struct emit *e, int loop);
LLVMValueRef emit_size_parameter(struct emit *e, int64_t number);

/* Leaves the kernel if it was cancelled or an error came before `position`. Returns how many positions from there are
 * wanted (a phi; NULL unless `wanted`). */
LLVMValueRef emit_poll(struct emit *e, LLVMValueRef position, bool wanted);
/* Begins a new block that LLVM will not join with this one, leaving the kernel if it was cancelled. */
void emit_cut(struct emit *e);
/* Calls a support function. */
LLVMValueRef emit_support(struct emit *e, const char *name, LLVMTypeRef result, LLVMValueRef *args, int n_args);

/* --- emit_facts.c ------------------------------------------------------------------------------------------------- */

/* `params_varying`: the region's parameters differ by lane. */
struct emit_facts *emit_facts_of(struct emit *e, const struct ir_region *region, enum emit_mode mode,
                                 bool params_varying);

/* --- emit_region.c ------------------------------------------------------------------------------------------------ */

/* Forgets all values but hoisted ones (`keep_hoisted`) before the region is emitted again. */
void emit_region_begin(struct emit *e, struct emit_facts *facts, struct emit_value **store, bool keep_hoisted);
void emit_region(struct emit *e, const struct ir_region *region);
/* The value as it is: scalar if uniform. */
LLVMValueRef emit_use(struct emit *e, const struct ir_value *value);
/* The value as `width` lanes. */
LLVMValueRef emit_use_lanes(struct emit *e, const struct ir_value *value);
bool emit_is_varying(struct emit *e, const struct ir_value *value);

/* --- emit_ops.c, emit_float.c, emit_integer.c, emit_math.c: operations on scalars or vectors alike ---------------- */

LLVMValueRef emit_operation(struct emit *e, const struct ir_value *value, LLVMValueRef *args);
LLVMValueRef emit_convert(struct emit *e, enum dtype from, enum dtype to, LLVMValueRef x);
LLVMValueRef emit_float_operation(struct emit *e, enum op op, enum dtype type, LLVMValueRef *args);
LLVMValueRef emit_integer_operation(struct emit *e, enum op op, enum dtype type, LLVMValueRef *args);
LLVMValueRef emit_math(struct emit *e, enum op op, enum dtype type, LLVMValueRef *args, int n_args);
LLVMValueRef emit_float_min(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_float_max(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_float_fmin(struct emit *e, bool max, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_isnan(struct emit *e, LLVMValueRef x);
LLVMValueRef emit_bits_of(struct emit *e, LLVMValueRef x);
LLVMValueRef emit_sqrt(struct emit *e, LLVMValueRef x);
LLVMValueRef emit_add(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_mul(struct emit *e, LLVMValueRef a, LLVMValueRef b);

/* --- emit_memory.c ------------------------------------------------------------------------------------------------ */

/* Loads and stores of `n` neighbouring elements; bools convert. `count`: NULL, or how many of them exist. */
LLVMValueRef emit_load_elements(struct emit *e, enum dtype type, LLVMValueRef pointer, int n, LLVMValueRef count,
                                unsigned alignment);
void emit_store_elements(struct emit *e, enum dtype type, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef count,
                         unsigned alignment, bool nontemporal);
LLVMValueRef emit_count_mask(struct emit *e, LLVMValueRef count, int n);
LLVMValueRef emit_read(struct emit *e, const struct ir_value *value);
LLVMValueRef emit_load_checked(struct emit *e, const struct ir_value *value);
void emit_store(struct emit *e, const struct ir_value *value);
/* Addresses of the row that begins at e->index: sets operand->row of every loop operand used. */
void emit_row_addresses(struct emit *e);

/* --- emit_place.c: positions and loops ---------------------------------------------------------------------------- */

/* index[first .. first + n) of a flattened position. */
void emit_decode(struct emit *e, LLVMValueRef position, int first, int n, LLVMValueRef *index);
LLVMValueRef emit_product_of_extents(struct emit *e, int first, int n);

/* i + step, for the next turn of a loop, hidden from LLVM's strength reduction by a detour through a double that code
 * generation removes: addresses here are made the way they should be, and the pass took a third of the compile time. */
LLVMValueRef emit_next(struct emit *e, LLVMValueRef i, LLVMValueRef step);

struct emit_loop {
    LLVMBasicBlockRef head, after;
    LLVMValueRef i; /* phi */
};
/* for (i = from; i < to; i += step); the test comes first. */
struct emit_loop emit_loop_begin(struct emit *e, LLVMValueRef from, LLVMValueRef to);
void emit_loop_end(struct emit *e, struct emit_loop *loop, int64_t step);

/* Rows of the parallel positions [begin, end): calls `row` for each with e->index, e->position set to its first element
 * and `n` elements. */
void emit_rows(struct emit *e, LLVMValueRef begin, LLVMValueRef end,
               void (*row)(struct emit *e, LLVMValueRef n, void *host), void *host);
/* Goes on with vectors of another width. */
void emit_set_width(struct emit *e, int width);
/* The elements 0 .. n of a row: whole vectors, then the rest under a mask; e->offset, e->count, e->mask and the
 * position are set for `chunk`. `head`: NULL, or how many elements to do first, under a mask; masked vectors have
 * `tail_width` lanes. Without `whole` all vectors are masked, with e->width lanes, and the code is there once. */
void emit_chunks(struct emit *e, LLVMValueRef n, LLVMValueRef head, bool whole, int tail_width,
                 void (*chunk)(struct emit *e, void *host), void *host);

/* --- emit_reduce.c: accumulators ---------------------------------------------------------------------------------- */

enum { REDUCE_PARTS = 3, EMIT_MAX_REDUCTIONS = 64, EMIT_MAX_STATES = EMIT_MAX_REDUCTIONS * REDUCE_PARTS };
/* What a reduction keeps: so many values of these types. VAR keeps (sum, count) on its first pass over a block, one sum
 * on its second, and (count, mean, M2) between blocks. */
enum reduce_stage { STAGE_LANES, STAGE_SECOND, STAGE_STATE };
int emit_reduce_parts(const struct kernel_reduction *reduction, enum dtype operand, enum reduce_stage stage,
                      enum dtype types[REDUCE_PARTS]);
void emit_reduce_identity(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                          enum reduce_stage stage, int n, LLVMValueRef *out);
/* state = state op (x, flag). VAR: without a flag the count stays. `place`: arg*: i64 position of lane 0. `mask`: NULL
 * or which lanes take part. */
void emit_reduce_step(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand, LLVMValueRef *state,
                      LLVMValueRef x, LLVMValueRef flag, LLVMValueRef place, LLVMValueRef mask);
/* Combining takes a few instructions. */
bool emit_reduce_is_simple(const struct kernel_reduction *reduction);
/* a = a op b, states of equal shape; a comes first. */
void emit_reduce_combine(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                         enum reduce_stage stage, LLVMValueRef *a, LLVMValueRef *const b);
/* STAGE_LANES is not what combines: closing is needed (VAR: by emit_reduce_moments). */
bool emit_reduce_closes(const struct kernel_reduction *reduction, enum dtype operand);
/* From STAGE_LANES to what combines. arg*: positions become those of each lane (which are lanes
 * `lane` and following, each one further on; NULL: all at one position); a lane that
 * found nothing better than the identity stands for `first`. */
void emit_reduce_close(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                       LLVMValueRef *state, LLVMValueRef first, LLVMValueRef lane);
/* VAR: the state (count, mean, M2) of a block from its count, mean and M2. */
void emit_reduce_moments(struct emit *e, enum dtype operand, LLVMValueRef count, LLVMValueRef mean, LLVMValueRef m2,
                         LLVMValueRef *state);
/* VAR: the block's mean, in the operand's type, from STAGE_LANES' (sum, count). */
LLVMValueRef emit_reduce_mean(struct emit *e, enum dtype operand, LLVMValueRef *state);
/* VAR: the second pass: sum + (x - mean)^2 where `counts` (NULL: everywhere). */
LLVMValueRef emit_reduce_deviation(struct emit *e, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef mean,
                                   LLVMValueRef counts);
/* Element type of reduction r's operand. */
enum dtype emit_reduce_operand(const struct ir_kernel *kernel, int r);
/* The final value for the epilogue; `empty` (i1): there was nothing to reduce. */
LLVMValueRef emit_reduce_value(struct emit *e, const struct kernel_reduction *reduction, enum dtype operand,
                               LLVMValueRef *state, LLVMValueRef empty);

/* --- one for each kind of kernel ---------------------------------------------------------------------------------- */

/* What compile.c tells of a kernel. */
struct emit_summary {
    int width;
    int64_t block;
    size_t state_bytes;
    int calls, operations;
};
void emit_map_kernel(struct emit *e, const char *name, struct emit_summary *summary);
void emit_lanes_kernel(struct emit *e, const char *blocks, const char *finish, struct emit_summary *summary);
void emit_columns_kernel(struct emit *e, const char *name, struct emit_summary *summary);
/* The function that variant->entry asks for. */
void emit_entry(struct emit *e, const char *name);

/* Lanes for values of `widest` bytes: two native registers or so. */
int emit_choose_width(const struct emit *e, const struct emit_facts *facts);
/* Lanes for the rest of a row after vectors of e->width: one native register, for half as much code. */
int emit_tail_width(const struct emit *e, const struct emit_facts *facts);

#endif
