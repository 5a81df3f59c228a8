/* compile.c: a kernel's way to machine code: IR in a context of its own, object file, loaded module. */
#include "codegen/cpu/emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Object.h>
#include <stdio.h>
#include <string.h>

/* What a compile holds, to be released whatever happens. */
struct compile {
    struct cpu_engine *engine;
    const struct ir_kernel *kernel;
    const struct cpu_variant *variant;
    struct arena arena;
    struct cpu_why why;
    LLVMTargetMachineRef machine;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    struct emit_summary summary;
    char range[64], blocks[64], finish[64], entry[64]; /* symbol names */
};

static void compile_emit(void *argument) {
    struct compile *c = argument;
    struct emit *e = ARENA_NEW(&c->arena, struct emit);
    e->engine = c->engine;
    e->kernel = c->kernel;
    e->variant = c->variant;
    e->arena = &c->arena;
    e->context = c->context;
    e->module = c->module;
    e->builder = c->builder;
    e->i1 = LLVMInt1TypeInContext(c->context);
    e->i8 = LLVMInt8TypeInContext(c->context);
    e->i16 = LLVMInt16TypeInContext(c->context);
    e->i32 = LLVMInt32TypeInContext(c->context);
    e->i64 = LLVMInt64TypeInContext(c->context);
    e->f32 = LLVMFloatTypeInContext(c->context);
    e->f64 = LLVMDoubleTypeInContext(c->context);
    e->ptr = LLVMPointerTypeInContext(c->context, 0);
    e->operands = ARENA_ARRAY(&c->arena, struct emit_operand, c->kernel->n_operands + 1);
    e->prof_kind = LLVMGetMDKindIDInContext(c->context, "prof", 4);
    LLVMMetadataRef weights[] = {LLVMMDStringInContext2(c->context, "branch_weights", 14),
                                 LLVMValueAsMetadata(LLVMConstInt(e->i32, 1, 0)),
                                 LLVMValueAsMetadata(LLVMConstInt(e->i32, 1 << 20, 0))};
    e->unlikely = LLVMMetadataAsValue(c->context, LLVMMDNodeInContext2(c->context, weights, 3));
    switch (c->kernel->kind) {
    case KERNEL_MAP: emit_map_kernel(e, c->range, &c->summary); break;
    case KERNEL_LANES: emit_lanes_kernel(e, c->blocks, c->finish, &c->summary); break;
    case KERNEL_COLUMNS: emit_columns_kernel(e, c->range, &c->summary); break;
    }
    if (c->variant->entry) emit_entry(e, c->entry);
}

/* Makes the module; false with c->why. `unique`: symbol names that no other module has. */
static bool compile_begin(struct compile *c, struct cpu_engine *engine, const struct ir_kernel *kernel,
                          const struct cpu_variant *variant, bool unique) {
    memset(c, 0, sizeof *c);
    c->engine = engine;
    c->kernel = kernel;
    c->variant = variant;
    arena_init(&c->arena, engine->mem);
    if (kernel->n_reductions > EMIT_MAX_REDUCTIONS)
        return cpu_why_set(&c->why, "%d reductions in one kernel, more than %d", kernel->n_reductions,
                           EMIT_MAX_REDUCTIONS);
    unsigned serial = unique ? atomic_fetch_add(&engine->serial, 1) : 0;
    snprintf(c->range, sizeof c->range, "%.32s_%u_range", kernel->name, serial);
    snprintf(c->blocks, sizeof c->blocks, "%.32s_%u_blocks", kernel->name, serial);
    snprintf(c->finish, sizeof c->finish, "%.32s_%u_finish", kernel->name, serial);
    snprintf(c->entry, sizeof c->entry, "%.32s_%u_entry", kernel->name, serial);
    c->machine = engine_take_machine(engine, &c->why);
    if (!c->machine) return false;
    c->context = LLVMContextCreate();
    c->module = LLVMModuleCreateWithNameInContext(kernel->name, c->context);
    c->builder = LLVMCreateBuilderInContext(c->context);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(c->machine);
    LLVMSetModuleDataLayout(c->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(c->module, engine->triple);
    if (!arena_try(&c->arena, compile_emit, c)) return cpu_why_memory(&c->why);
#ifndef NDEBUG
    char *message = NULL;
    if (LLVMVerifyModule(c->module, LLVMReturnStatusAction, &message)) {
        cpu_why_set(&c->why, "internal error in generated code of %s: %s", kernel->name, message);
        LLVMDisposeMessage(message);
        return false;
    }
    LLVMDisposeMessage(message);
#endif
    return true;
}

static void compile_end(struct compile *c) {
    if (c->builder) LLVMDisposeBuilder(c->builder);
    if (c->module) LLVMDisposeModule(c->module);
    if (c->context) LLVMContextDispose(c->context);
    if (c->machine) engine_give_machine(c->engine, c->machine);
    arena_free(&c->arena);
}

static LLVMMemoryBufferRef compile_generate(struct compile *c, LLVMCodeGenFileType kind) {
    char *message = NULL;
    LLVMMemoryBufferRef buffer = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(c->machine, c->module, kind, &message, &buffer)) {
        cpu_why_set(&c->why, "LLVM cannot generate code for %s: %s", c->kernel->name, message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    return buffer;
}

static bool compile_load(struct compile *c, struct kernel_code *code) {
    LLVMMemoryBufferRef object = compile_generate(c, LLVMObjectFile);
    if (!object) return false;
    code->code_bytes = LLVMGetBufferSize(object);
    bool lanes = c->kernel->kind == KERNEL_LANES;
    const char *names[3] = {lanes ? c->blocks : c->range};
    void *addresses[3] = {NULL};
    int n = 1;
    if (lanes) names[n++] = c->finish;
    if (c->variant->entry) names[n++] = c->entry;
    code->module = module_load(c->engine, object, n, names, addresses, &c->why);
    if (!code->module) return false;
    if (lanes)
        code->blocks = (kernel_blocks_fn *)addresses[0], code->finish = (kernel_finish_fn *)addresses[1];
    else
        code->range = (kernel_range_fn *)addresses[0];
    if (c->variant->entry) code->entry = (void (*)(void))addresses[n - 1];
    code->state_bytes = c->summary.state_bytes;
    code->block = c->summary.block;
    code->vector_width = c->summary.width;
    code->math_calls = c->summary.calls;
    code->operations = c->summary.operations;
    return true;
}

bool cpu_kernel_compile(struct cpu_engine *engine, const struct ir_kernel *kernel, const struct cpu_variant *variant,
                        struct kernel_code *code, struct strbuf *why) {
    struct compile c;
    memset(code, 0, sizeof *code);
    bool ok = compile_begin(&c, engine, kernel, variant, true) && compile_load(&c, code);
    compile_end(&c);
    if (!ok) strbuf_puts(why, c.why.text);
    return ok;
}

void cpu_kernel_free(struct cpu_engine *engine, struct kernel_code *code) {
    module_free(engine, code->module);
    memset(code, 0, sizeof *code);
}

struct text_copy {
    struct strbuf *out;
    const char *text;
    size_t length;
};

static void text_add(void *argument) {
    struct text_copy *copy = argument;
    strbuf_add(copy->out, copy->text, copy->length);
}

bool cpu_kernel_text(struct cpu_engine *engine, const struct ir_kernel *kernel, const struct cpu_variant *variant,
                     enum cpu_text what, struct strbuf *out, struct strbuf *why) {
    struct compile c;
    bool ok = compile_begin(&c, engine, kernel, variant, false), room = true;
    if (ok && what == CPU_TEXT_LLVM) {
        char *text = LLVMPrintModuleToString(c.module);
        struct text_copy copy = {out, text, strlen(text)};
        room = arena_try(out->arena, text_add, &copy);
        LLVMDisposeMessage(text);
    } else if (ok) {
        LLVMMemoryBufferRef buffer = compile_generate(&c, LLVMAssemblyFile);
        ok = buffer != NULL;
        if (ok) {
            struct text_copy copy = {out, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer)};
            room = arena_try(out->arena, text_add, &copy);
            LLVMDisposeMemoryBuffer(buffer);
        }
    }
    compile_end(&c);
    if (!room) arena_fail(out->arena);
    if (!ok) strbuf_puts(why, c.why.text);
    return ok;
}
