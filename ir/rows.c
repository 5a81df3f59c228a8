/* rows.c: see rows.h. */
#include "ir/rows.h"

/* Loads may be out of range, and loops may never end: after half the rows, with half of what a launch writes. */
static bool may_stop(const struct ir_region *region) {
    for (int i = 0; i < region->n_values; i++) {
        const struct ir_value *value = region->values[i];
        if (value->op == OP_load || value->op == OP_loop) return true;
        for (int r = 0; r < 2; r++)
            if (value->regions[r] && may_stop(value->regions[r])) return true;
    }
    return false;
}

const char *rows_wrong_kernel(const struct ir_kernel *kernel) {
    if (kernel->kind == KERNEL_COLUMNS) return "reduces columns";
    if (may_stop(&kernel->body)) return "has a load or a loop";
    if (kernel->kind == KERNEL_LANES && may_stop(&kernel->epilogue)) return "has a load or a loop in its epilogue";
    for (int i = 0; i < kernel->n_operands; i++)
        if (kernel->operands[i].kind == OPERAND_WRITE && kernel->operands[i].uses) return "stores while it reduces";
    return NULL;
}

const char *rows_wrong_launch(const struct plan_launch *launch, int outer, const struct size *const *sizes) {
    const struct ir_kernel *kernel = launch->kernel;
    if (outer < 1 || kernel->n_par < outer) return "has fewer parallel dimensions than a row";
    if (kernel->kind == KERNEL_LANES && kernel->n_par != outer) return "reduces less than a row";
    for (int d = 0; d < outer; d++)
        if (launch->extents[d] != sizes[d]) return "has other rows";
    return NULL;
}

static bool is_own_row(const struct view_axis *axis, int d, const struct size *size) {
    if (!size_is_const(axis->offset, 0)) return false;
    if (axis->n_terms == 0) return size_is_const(size, 1);
    return axis->n_terms == 1 && axis->terms[0].dim == d && size_is_const(axis->terms[0].coef, 1);
}

const char *rows_wrong_read(const struct plan_launch *launch, int operand, int outer, const struct size *const *sizes) {
    const struct view_map *map = &launch->operands[operand].map;
    if (launch->kernel->operands[operand].kind == OPERAND_WHOLE) return "reads the whole of what is made row by row";
    if (map->source_rank < outer) return "reads what has no such rows";
    for (int d = 0; d < outer; d++)
        if (!is_own_row(&map->axis[d], d, sizes[d])) return "reads another row than its own";
    for (int d = outer; d < map->source_rank; d++)
        for (int t = 0; t < map->axis[d].n_terms; t++)
            if (map->axis[d].terms[t].dim < outer) return "reads elsewhere in each row";
    return NULL;
}

int rows_scratch_number(const struct plan_rows *rows, int slot) {
    for (int i = 0; i < rows->n_scratch; i++)
        if (rows->scratch[i] == slot) return i;
    return -1;
}

bool rows_written_before(const struct plan_rows *rows, int launch, int slot) {
    for (int i = 0; i < launch; i++) {
        const struct plan_launch *earlier = rows->launches[i];
        for (int k = 0; k < earlier->kernel->n_operands; k++)
            if (earlier->kernel->operands[k].kind == OPERAND_WRITE && earlier->operands[k].slot == slot) return true;
    }
    return false;
}
