#include "codegen/cpu/engine.h"

#include "codegen/cpu/support.h"

struct cpu_module {
    LLVMOrcResourceTrackerRef tracker;
};

static LLVMOrcCSymbolMapPair module_symbol(struct cpu_engine *engine, const char *name, void *address) {
    return (LLVMOrcCSymbolMapPair){
        .Name = LLVMOrcLLJITMangleAndIntern(engine->jit, name),
        .Sym = {.Address = (LLVMOrcExecutorAddress)(uintptr_t)address,
                .Flags = {.GenericFlags = LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable}},
    };
}

bool module_define_symbols(struct cpu_engine *engine, struct cpu_why *why) {
    LLVMOrcCSymbolMapPair pairs[64 + 2 * OP_COUNT];
    size_t n = 0;
    for (const struct cpu_symbol *symbol = cpu_support_symbols; symbol->name; symbol++)
        pairs[n++] = module_symbol(engine, symbol->name, symbol->address);
    for (int op = 0; op < OP_COUNT; op++)
        for (int wide = 0; wide < 2; wide++)
            if (engine->math[op][wide].address)
                pairs[n++] = module_symbol(engine, engine->math[op][wide].symbol, engine->math[op][wide].address);
    LLVMErrorRef error =
        LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(engine->jit), LLVMOrcAbsoluteSymbols(pairs, n));
    return error ? cpu_why_error(why, "cannot define the mathematical functions", error) : true;
}

struct cpu_module *module_load(struct cpu_engine *engine, LLVMMemoryBufferRef object, int n, const char *const *names,
                               void **addresses, struct cpu_why *why) {
    struct cpu_module *module = mem_alloc(engine->mem, sizeof *module);
    if (!module) {
        LLVMDisposeMemoryBuffer(object);
        cpu_why_memory(why);
        return NULL;
    }
    pthread_mutex_lock(&engine->lock);
    module->tracker = LLVMOrcJITDylibCreateResourceTracker(LLVMOrcLLJITGetMainJITDylib(engine->jit));
    LLVMErrorRef error = LLVMOrcLLJITAddObjectFileWithRT(engine->jit, module->tracker, object);
    for (int i = 0; i < n && !error; i++) {
        LLVMOrcExecutorAddress address = 0;
        error = LLVMOrcLLJITLookup(engine->jit, &address, names[i]);
        addresses[i] = (void *)(uintptr_t)address;
    }
    pthread_mutex_unlock(&engine->lock);
    if (error) {
        cpu_why_error(why, "cannot load machine code", error);
        module_free(engine, module);
        return NULL;
    }
    return module;
}

void module_free(struct cpu_engine *engine, struct cpu_module *module) {
    if (!module) return;
    pthread_mutex_lock(&engine->lock);
    LLVMErrorRef error = LLVMOrcResourceTrackerRemove(module->tracker);
    LLVMOrcReleaseResourceTracker(module->tracker);
    pthread_mutex_unlock(&engine->lock);
    if (error) LLVMConsumeError(error);
    mem_free(engine->mem, module, sizeof *module);
}
