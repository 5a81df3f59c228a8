#include "codegen/cpu/engine.h"

#include <stdio.h>
#include <string.h>

static const char *const isa_names[] = {"avx512", "avx2", "sse2", "scalar", "generic"};
static const int isa_bytes[] = {64, 32, 16, 8, 16};

bool cpu_why_set(struct cpu_why *why, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return false;
}

bool cpu_why_memory(struct cpu_why *why) {
    why->text[0] = '\0';
    return false;
}

bool cpu_why_error(struct cpu_why *why, const char *doing, LLVMErrorRef error) {
    char *message = LLVMGetErrorMessage(error);
    cpu_why_set(why, "%s: %s", doing, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

/* True if the comma-separated list has the item "+name". */
static bool engine_has_feature(const char *features, const char *name) {
    size_t length = strlen(name);
    for (const char *at = features; (at = strstr(at, name)); at += length)
        if (at > features && at[-1] == '+' && (at[length] == ',' || !at[length])) return true;
    return false;
}

static bool engine_has_all(const char *features, const char *const *names) {
    for (; *names; names++)
        if (!engine_has_feature(features, *names)) return false;
    return true;
}

static bool engine_choose_isa(struct cpu_engine *engine, const char *host_features, struct cpu_why *why) {
    static const char *const avx512[] = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd", "fma", NULL};
    static const char *const avx2[] = {"avx2", "fma", "bmi", "bmi2", "f16c", NULL};
    const char *wanted = engine->options.isa;
    bool x86 = !strncmp(engine->triple, "x86_64", 6);
    enum cpu_isa best = !x86                                    ? ISA_OTHER
                        : engine_has_all(host_features, avx512) ? ISA_AVX512
                        : engine_has_all(host_features, avx2)   ? ISA_AVX2
                                                                : ISA_SSE2;
    engine->isa = best;
    if (!wanted) return true;
    for (int isa = ISA_AVX512; isa <= ISA_SCALAR; isa++) {
        if (strcmp(wanted, isa_names[isa])) continue;
        if (isa != ISA_SCALAR && (!x86 || isa < (int)best)) return cpu_why_set(why, "this processor has no %s", wanted);
        engine->isa = (enum cpu_isa)isa;
        return true;
    }
    return cpu_why_set(why, "unknown instruction set `%s`", wanted);
}

/* The host as it is at its best, or one of the psABI's levels for tests. */
static bool engine_choose_target(struct cpu_engine *engine, struct cpu_why *why) {
    engine->triple = LLVMGetDefaultTargetTriple();
    char *host_features = LLVMGetHostCPUFeatures();
    char *message = NULL;
    bool ok = engine_choose_isa(engine, host_features, why);
    if (ok && LLVMGetTargetFromTriple(engine->triple, &engine->target, &message)) {
        ok = cpu_why_set(why, "no code generator for %s: %s", engine->triple, message);
        LLVMDisposeMessage(message);
    }
    char features[8192];
    switch (engine->isa) {
    case ISA_AVX512: /* zmm registers throughout: kernels run long enough to earn any change of frequency */
        engine->cpu = LLVMGetHostCPUName();
        snprintf(features, sizeof features, "%s,-prefer-256-bit", host_features);
        break;
    case ISA_AVX2:
    case ISA_SSE2:
        if (!engine->options.isa) {
            engine->cpu = LLVMGetHostCPUName();
            snprintf(features, sizeof features, "%s", host_features);
            break;
        }
        engine->cpu = LLVMCreateMessage(engine->isa == ISA_AVX2 ? "x86-64-v3" : "x86-64");
        features[0] = 0;
        break;
    default:
        engine->cpu = strncmp(engine->triple, "x86_64", 6) ? LLVMGetHostCPUName() : LLVMCreateMessage("x86-64");
        features[0] = 0;
    }
    engine->features = LLVMCreateMessage(features);
    LLVMDisposeMessage(host_features);
    engine->vector_bytes = isa_bytes[engine->isa];
    return ok;
}

LLVMTargetMachineRef engine_take_machine(struct cpu_engine *engine, struct cpu_why *why) {
    LLVMTargetMachineRef machine = NULL;
    pthread_mutex_lock(&engine->lock);
    if (engine->n_idle) machine = engine->idle[--engine->n_idle];
    pthread_mutex_unlock(&engine->lock);
    if (machine) return machine;
    machine = LLVMCreateTargetMachine(engine->target, engine->triple, engine->cpu, engine->features, engine->level,
                                      LLVMRelocPIC, LLVMCodeModelDefault);
    if (!machine) cpu_why_set(why, "LLVM cannot generate code for %s", engine->cpu);
    return machine;
}

void engine_give_machine(struct cpu_engine *engine, LLVMTargetMachineRef machine) {
    pthread_mutex_lock(&engine->lock);
    if (engine->n_idle < ENGINE_MACHINES) {
        engine->idle[engine->n_idle++] = machine;
        machine = NULL;
    }
    pthread_mutex_unlock(&engine->lock);
    if (machine) LLVMDisposeTargetMachine(machine);
}

static void engine_describe(struct cpu_engine *engine) {
    static const char *const names[] = {"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "f16c"};
    char *at = engine->info_features, *end = at + sizeof engine->info_features;
    *at = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (engine_has_feature(engine->features, names[i]) && at < end)
            at += snprintf(at, (size_t)(end - at), "%s%s", at == engine->info_features ? "" : " ", names[i]);
}

/* LLVM's registry of targets is its own global state, and not guarded against two engines starting at once. */
static pthread_once_t engine_llvm_once = PTHREAD_ONCE_INIT;
static bool engine_llvm_ready;

static void engine_init_llvm(void) {
    engine_llvm_ready = !LLVMInitializeNativeTarget() && !LLVMInitializeNativeAsmPrinter();
}

static bool engine_start(struct cpu_engine *engine, struct cpu_why *why) {
    pthread_once(&engine_llvm_once, engine_init_llvm);
    if (!engine_llvm_ready) return cpu_why_set(why, "LLVM has no code generator for this processor");
    if (!engine_choose_target(engine, why)) return false;
    engine_describe(engine);
    if (!vecmath_open(engine, why)) return false;

    LLVMTargetMachineRef machine = engine_take_machine(engine, why);
    if (!machine) return false;
    LLVMOrcLLJITBuilderRef builder = LLVMOrcCreateLLJITBuilder();
    /* The builder takes this machine; it serves the object layer only. */
    LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(builder,
                                                  LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(machine));
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&engine->jit, builder);
    if (error) {
        engine->jit = NULL;
        return cpu_why_error(why, "LLVM's linker does not start", error);
    }
    return module_define_symbols(engine, why);
}

struct cpu_engine *cpu_engine_new(struct mem *mem, const struct cpu_engine_options *options, struct strbuf *why) {
    struct cpu_engine *engine = mem_zalloc(mem, 1, sizeof *engine);
    if (!engine) return NULL;
    engine->mem = mem;
    engine->options = *options;
    engine->level = LLVMCodeGenLevelLess;
    pthread_mutex_init(&engine->lock, NULL);
    struct cpu_why reason = {{0}};
    if (engine_start(engine, &reason)) {
        engine->options.isa = NULL; /* the caller's string: not ours to keep */
        return engine;
    }
    cpu_engine_free(engine);
    strbuf_puts(why, reason.text);
    return NULL;
}

void cpu_engine_free(struct cpu_engine *engine) {
    if (!engine) return;
    if (engine->jit) {
        LLVMErrorRef error = LLVMOrcDisposeLLJIT(engine->jit);
        if (error) LLVMConsumeError(error);
    }
    while (engine->n_idle) LLVMDisposeTargetMachine(engine->idle[--engine->n_idle]);
    vecmath_close(engine);
    LLVMDisposeMessage(engine->triple);
    LLVMDisposeMessage(engine->cpu);
    LLVMDisposeMessage(engine->features);
    pthread_mutex_destroy(&engine->lock);
    mem_free(engine->mem, engine, sizeof *engine);
}

void cpu_engine_info(const struct cpu_engine *engine, struct cpu_info *info) {
    *info = (struct cpu_info){
        .llvm_version = llvm_compat_version(),
        .cpu = engine->cpu,
        .isa = isa_names[engine->isa],
        .features = engine->info_features,
        .vector_math = engine->info_math,
        .vector_bytes = engine->vector_bytes,
    };
}
