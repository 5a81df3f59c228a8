/* emit_math.c: calls of elementary functions. Whatever the shape of the argument, each element goes through the same
 * vector function: vectors are cut to its width, single values fill all its lanes. */
#include "codegen/cpu/emit.h"

static LLVMValueRef emit_call_native(struct emit *e, const struct math_function *function, LLVMValueRef *args,
                                     int n_args) {
    return emit_support(e, function->symbol, LLVMTypeOf(args[0]), args, n_args);
}

/* A function without a vector form, on all lanes: through memory, in a loop that is not part of the code. */
static LLVMValueRef emit_call_lanes(struct emit *e, const struct math_function *function, enum dtype type,
                                    LLVMValueRef *args, int n_args) {
    static const char *const names[2][2] = {{"cpu_support_map1f", "cpu_support_map2f"},
                                            {"cpu_support_map1", "cpu_support_map2"}};
    LLVMTypeRef vector = LLVMTypeOf(args[0]), scalar = emit_scalar_of(vector);
    LLVMTypeRef parameters[] = {scalar, scalar};
    LLVMValueRef target = LLVMGetNamedFunction(e->module, function->symbol);
    if (!target)
        target =
            LLVMAddFunction(e->module, function->symbol, LLVMFunctionType(scalar, parameters, (unsigned)n_args, 0));
    LLVMValueRef call[4] = {target};
    for (int i = 0; i < n_args; i++) {
        call[1 + i] = emit_alloca(e, vector, 1, 64);
        LLVMBuildStore(e->builder, args[i], call[1 + i]);
    }
    call[1 + n_args] = emit_i64(e, emit_lanes_of(vector));
    emit_support(e, names[type == TY_F64][n_args - 1], LLVMVoidTypeInContext(e->context), call, 2 + n_args);
    return LLVMBuildLoad2(e->builder, vector, call[1], "");
}

LLVMValueRef emit_math(struct emit *e, enum op op, enum dtype type, LLVMValueRef *args, int n_args) {
    const struct math_function *function = &e->engine->math[op][type == TY_F64];
    const int have = emit_lanes_of(LLVMTypeOf(args[0])), lanes = function->lanes;
    LLVMValueRef inputs[2], parts[64];
    e->calls++;
    for (int i = 0; i < n_args; i++) {
        inputs[i] = args[i];
        /* Lanes that are off may hold anything: keep the functions' slow paths out of it. */
        if (e->mask && have > 1 && have == e->width)
            inputs[i] = emit_select(e, e->mask, inputs[i], emit_real(LLVMTypeOf(inputs[i]), 1));
    }
    if (lanes == 1)
        return have == 1 ? emit_call_native(e, function, inputs, n_args)
                         : emit_call_lanes(e, function, type, inputs, n_args);
    if (have < lanes) {
        /* One value: all lanes alike. A short vector: repeated. */
        for (int i = 0; i < n_args; i++) {
            if (have == 1) {
                inputs[i] = emit_splat_to(e, inputs[i], lanes);
                continue;
            }
            for (int p = 0; p < lanes / have; p++) parts[p] = inputs[i];
            inputs[i] = emit_concat(e, parts, lanes / have);
        }
        return emit_slice(e, emit_call_native(e, function, inputs, n_args), 0, have);
    }
    for (int p = 0; p < have / lanes; p++) {
        LLVMValueRef slices[2];
        for (int i = 0; i < n_args; i++) slices[i] = emit_slice(e, inputs[i], p * lanes, lanes);
        parts[p] = emit_call_native(e, function, slices, n_args);
    }
    return emit_concat(e, parts, have / lanes);
}
