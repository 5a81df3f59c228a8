/* llvm_compat.h: everything in LLVM's C API that differs between the versions we build with (19 to 22), and nothing
 * else. */
#ifndef CODEGEN_CPU_LLVM_COMPAT_H
#define CODEGEN_CPU_LLVM_COMPAT_H

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

/* Calls the overloaded intrinsic `name`; `types` are what it is overloaded on. */
LLVMValueRef llvm_compat_intrinsic(LLVMBuilderRef builder, const char *name, LLVMTypeRef *types, int n_types,
                                   LLVMValueRef *args, int n_args);

/* Masked memory: `type` is the vector type, `alignment` in bytes. Lanes switched off read as zero. */
LLVMValueRef llvm_compat_masked_load(LLVMBuilderRef builder, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef mask,
                                     unsigned alignment);
void llvm_compat_masked_store(LLVMBuilderRef builder, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef mask,
                              unsigned alignment);
/* All lanes are read; `pointers` is a vector of pointers. */
LLVMValueRef llvm_compat_gather(LLVMBuilderRef builder, LLVMTypeRef type, LLVMValueRef pointers, unsigned alignment);

/* "19.1.4" */
const char *llvm_compat_version(void);

#endif
