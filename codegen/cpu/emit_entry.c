/* emit_entry.c: a plain C function in front of a kernel of scalars, for hosts that want a function pointer. */
#include "codegen/cpu/emit.h"

#include <stddef.h>

/* T name(T, T, ...): lays the launch data out on the stack and runs `range` once. The kernel is a map without loops whose
 * operands are scalars: operand k reads parameter param_of[k], or is the result where that is negative. */
void emit_scalar_entry(struct emit *e, const char *range, const char *name, const struct cpu_scalar_entry *entry) {
    LLVMTypeRef element = emit_element(e, entry->type), parameters[CPU_SCALAR_PARAMETERS];
    for (int i = 0; i < entry->n_parameters; i++) parameters[i] = element;
    LLVMTypeRef type = LLVMFunctionType(element, parameters, (unsigned)entry->n_parameters, 0);
    LLVMValueRef function = LLVMAddFunction(e->module, name, type);
    LLVMPositionBuilderAtEnd(e->builder, LLVMAppendBasicBlockInContext(e->context, function, "entry"));

    int n = e->kernel->n_operands;
    LLVMTypeRef arguments_type = LLVMArrayType2(e->i8, sizeof(struct kernel_argument) * (uint64_t)(n + 1));
    LLVMTypeRef call_type = LLVMArrayType2(e->i8, sizeof(struct kernel_call));
    LLVMTypeRef watch_type = LLVMArrayType2(e->i8, sizeof(struct kernel_watch));
    LLVMValueRef arguments = LLVMBuildAlloca(e->builder, arguments_type, "arguments");
    LLVMValueRef call = LLVMBuildAlloca(e->builder, call_type, "call");
    LLVMValueRef watch = LLVMBuildAlloca(e->builder, watch_type, "watch");
    LLVMValueRef zeros = LLVMBuildAlloca(e->builder, LLVMArrayType2(e->i64, KERNEL_MAX_LOOPS), "zeros");
    LLVMSetAlignment(arguments, 16);
    LLVMSetAlignment(call, 16);
    LLVMSetAlignment(watch, 16);
    LLVMBuildStore(e->builder, LLVMConstNull(LLVMArrayType2(e->i64, KERNEL_MAX_LOOPS)), zeros);
    LLVMBuildStore(e->builder, LLVMConstNull(watch_type), watch);
    LLVMBuildStore(e->builder, zeros, emit_offset_bytes(e, watch, emit_i64(e, offsetof(struct kernel_watch, cancel))));
    LLVMBuildStore(e->builder, emit_i64(e, INT64_MAX),
                   emit_offset_bytes(e, watch, emit_i64(e, offsetof(struct kernel_watch, error_position))));

    LLVMValueRef result = NULL;
    for (int k = 0; k < n; k++) {
        LLVMValueRef room = LLVMBuildAlloca(e->builder, element, "");
        if (entry->parameter_of[k] >= 0) LLVMBuildStore(e->builder, LLVMGetParam(function, (unsigned)entry->parameter_of[k]), room);
        else result = room;
        LLVMValueRef at = emit_offset_bytes(e, arguments, emit_i64(e, (int64_t)sizeof(struct kernel_argument) * k));
        LLVMBuildStore(e->builder, room, emit_offset_bytes(e, at, emit_i64(e, offsetof(struct kernel_argument, data))));
        LLVMBuildStore(e->builder, zeros, emit_offset_bytes(e, at, emit_i64(e, offsetof(struct kernel_argument, stride))));
        LLVMBuildStore(e->builder, zeros, emit_offset_bytes(e, at, emit_i64(e, offsetof(struct kernel_argument, size))));
    }
    LLVMBuildStore(e->builder, arguments, emit_offset_bytes(e, call, emit_i64(e, offsetof(struct kernel_call, arguments))));
    LLVMBuildStore(e->builder, zeros, emit_offset_bytes(e, call, emit_i64(e, offsetof(struct kernel_call, extents))));
    LLVMBuildStore(e->builder, zeros, emit_offset_bytes(e, call, emit_i64(e, offsetof(struct kernel_call, sizes))));
    LLVMBuildStore(e->builder, watch, emit_offset_bytes(e, call, emit_i64(e, offsetof(struct kernel_call, watch))));

    LLVMTypeRef range_parameters[3] = {e->ptr, e->i64, e->i64};
    LLVMTypeRef range_type = LLVMFunctionType(LLVMVoidTypeInContext(e->context), range_parameters, 3, 0);
    LLVMValueRef args[3] = {call, emit_i64(e, 0), emit_i64(e, 1)};
    LLVMBuildCall2(e->builder, range_type, LLVMGetNamedFunction(e->module, range), args, 3, "");
    LLVMBuildRet(e->builder, LLVMBuildLoad2(e->builder, element, result, ""));
}
