/* emit_lanes.h: what the three files about KERNEL_LANES share: emit_lanes.c (blocks of elements), emit_lanes_join.c
 * (the lanes of a block become one value; a variance's second pass) and emit_lanes_finish.c (the tree above the blocks,
 * the epilogue). A block is LANES_RUNS runs of LANES_RUN times `lanes` elements. Private to those files. */
#ifndef CODEGEN_CPU_EMIT_LANES_H
#define CODEGEN_CPU_EMIT_LANES_H

#include "codegen/cpu/emit.h"

enum { LANES_RUN = 16, LANES_RUNS = 4 };

struct lanes_reduction {
    const struct kernel_reduction *reduction;
    enum dtype operand;
    int n_parts;
    enum dtype types[REDUCE_PARTS];
    LLVMValueRef slots[REDUCE_PARTS]; /* memory: the lanes of each run */
    /* VAR */
    bool all;              /* every element counts */
    int sum;               /* a reduction that has the sum already; -1: none */
    int again;             /* the operand that the second pass reads again; -1: from memory of our own: */
    LLVMValueRef x, flags; /* the block's elements and whether they count; NULL if `all` */
};

struct lanes_work {
    struct emit_facts *facts;
    struct emit_value *values, *tail_values; /* of vectors of `width` and `tail_width` lanes */
    int width, tail_width;
    struct lanes_reduction *reductions;
    int n;
    int lanes;
    LLVMValueRef n_elements, row_position;
    LLVMValueRef alone; /* the block at hand has one run: the others would be of identities, and are left out */
    LLVMValueRef digits[KERNEL_MAX_LOOPS]; /* memory: each lane's indices, where lanes may lie in different rows */
    bool across;
    bool ahead; /* so little is computed that memory sets the pace: ask it early */
    int passes; /* over each block: 2 for variances */
};

/* --- emit_lanes.c */

bool lanes_is_var(const struct lanes_reduction *r);
/* Elements of memory of our own, or of a row: their address; `n` of them. */
LLVMValueRef lanes_at(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element);
LLVMValueRef lanes_load(struct emit *e, enum dtype type, LLVMValueRef base, LLVMValueRef element, int n);
void lanes_store(struct emit *e, enum dtype type, LLVMValueRef value, LLVMValueRef base, LLVMValueRef element);
LLVMValueRef lanes_minimum(struct emit *e, LLVMValueRef a, LLVMValueRef b);
/* for each of the runs of a block of `length` elements: begin (block position) and end; the body of the loop
 * follows. */
struct emit_loop lanes_runs_begin(struct emit *e, struct lanes_work *work, LLVMValueRef length, LLVMValueRef *begin,
                                  LLVMValueRef *end);
/* Where the whole vectors of `n` lanes from `begin` end. Runs beyond the end are empty. */
LLVMValueRef lanes_whole(struct emit *e, LLVMValueRef begin, LLVMValueRef end, int n);
/* Where a vector's accumulators are in memory: run `run`, lane `at` mod lanes. */
LLVMValueRef lanes_slot(struct emit *e, struct lanes_work *work, LLVMValueRef run, LLVMValueRef at);
/* Asks for what is read by the vector that comes `blocks` and `bytes` after the one at position p. */
void lanes_prefetch(struct emit *e, struct lanes_work *work, LLVMValueRef p, int blocks, int64_t bytes);
/* The row's place: indices of the parallel dimensions, number of reduced elements. */
void lanes_row(struct emit *e, struct lanes_work *work, LLVMValueRef row);

/* --- emit_lanes_join.c */

/* What a variance can do without: flags that are all true, a sum that is there already, a copy of what can be read. */
void lanes_simplify(struct emit *e, struct lanes_work *work, struct lanes_reduction *r);
/* The four runs' lanes, joined down to one value: ((r0+r1)+(r2+r3)), then halves. */
void lanes_join(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, enum reduce_stage stage,
                LLVMValueRef first, LLVMValueRef *out);
/* VAR: squared deviations of the block's elements. `ahead`: meanwhile the next block is on its way. */
LLVMValueRef lanes_second_pass(struct emit *e, struct lanes_work *work, struct lanes_reduction *r, LLVMValueRef start,
                               LLVMValueRef mean, LLVMValueRef length, bool ahead);

/* --- emit_lanes_finish.c: blocks' states in memory ("partials"), 8 bytes a part */

size_t lanes_state_bytes(const struct lanes_work *work);
LLVMValueRef lanes_state_at(struct emit *e, struct lanes_work *work, LLVMValueRef partials, LLVMValueRef block);
/* Moves states between registers and a block's place. */
void lanes_state(struct emit *e, struct lanes_work *work, LLVMValueRef at, LLVMValueRef *states, bool store);
void lanes_emit_finish(struct emit *e, struct lanes_work *work, const char *name);

#endif
