/* emit_entry.c: a plain C function T f(T, ...) of a kernel over scalars. Elementary functions are the vector library's,
 * as everywhere, so the function gives the same bits as the kernel. */
#include <stddef.h>

#include "codegen/cpu/emit.h"

/* What loops poll: a watch of the call's own, which nobody ever sets. */
static void entry_watch(struct emit *e) {
    e->watch = emit_alloca(e, e->i8, sizeof(struct kernel_watch), 8);
    e->cancel = emit_alloca(e, e->i32, 1, 4);
    LLVMBuildStore(e->builder, emit_int(e->i32, 0), e->cancel);
    LLVMBuildStore(e->builder, emit_int(e->i32, 0),
                   emit_offset_bytes(e, e->watch, emit_i64(e, offsetof(struct kernel_watch, stop))));
    LLVMBuildStore(e->builder, e->cancel,
                   emit_offset_bytes(e, e->watch, emit_i64(e, offsetof(struct kernel_watch, cancel))));
    LLVMBuildStore(e->builder, emit_i64(e, INT64_MAX),
                   emit_offset_bytes(e, e->watch, emit_i64(e, offsetof(struct kernel_watch, error_position))));
}

void emit_entry(struct emit *e, const char *name) {
    const struct cpu_scalar_entry *entry = e->variant->entry;
    LLVMTypeRef type = emit_element(e, entry->type), parameters[CPU_SCALAR_PARAMETERS];
    for (int i = 0; i < entry->n_parameters; i++) parameters[i] = type;
    emit_frame_begin(e, name, LLVMFunctionType(type, parameters, (unsigned)entry->n_parameters, 0));
    emit_at(e, e->entry);
    entry_watch(e);
    LLVMValueRef result = emit_alloca(e, type, 1, 8);
    LLVMBuildStore(e->builder, LLVMConstNull(type), result);
    for (int k = 0; k < e->kernel->n_operands; k++) {
        int parameter = entry->parameter_of[k];
        e->operands[k].row = result;
        if (parameter < 0) continue;
        e->operands[k].row = emit_alloca(e, type, 1, 8);
        LLVMBuildStore(e->builder, LLVMGetParam(e->function, (unsigned)parameter), e->operands[k].row);
    }
    emit_at(e, emit_block(e, "start"));
    e->mode = EMIT_SCALAR;
    e->width = 1;
    e->position = e->offset = e->par_position = emit_i64(e, 0);
    e->step = emit_i64(e, 1);
    struct emit_value *values = NULL;
    emit_region_begin(e, emit_facts_of(e, &e->kernel->body, EMIT_SCALAR, false), &values, false);
    emit_region(e, &e->kernel->body);
    emit_go(e, e->leave);
    emit_at(e, e->leave);
    LLVMBuildRet(e->builder, LLVMBuildLoad2(e->builder, type, result, ""));
    emit_function_end(e);
}
