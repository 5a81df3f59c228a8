#include "codegen/cpu/llvm_compat.h"

#include <llvm/Config/llvm-config.h>
#include <string.h>

LLVMValueRef llvm_compat_intrinsic(LLVMBuilderRef builder, const char *name, LLVMTypeRef *types, int n_types,
                                   LLVMValueRef *args, int n_args) {
    LLVMModuleRef module = LLVMGetGlobalParent(LLVMGetBasicBlockParent(LLVMGetInsertBlock(builder)));
    LLVMContextRef context = LLVMGetModuleContext(module);
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(module, id, types, (size_t)n_types);
    LLVMTypeRef type = LLVMIntrinsicGetType(context, id, types, (size_t)n_types);
    return LLVMBuildCall2(builder, type, function, args, (unsigned)n_args, "");
}

#if LLVM_VERSION_MAJOR >= 22
/* The alignment became an attribute of the pointer argument at the call. */
static void llvm_compat_align(LLVMBuilderRef builder, LLVMValueRef call, unsigned argument, unsigned alignment) {
    LLVMContextRef context = LLVMGetBuilderContext(builder);
    LLVMAttributeRef attribute =
        LLVMCreateEnumAttribute(context, LLVMGetEnumAttributeKindForName("align", 5), alignment);
    LLVMAddCallSiteAttribute(call, argument, attribute);
}
#else
static LLVMValueRef llvm_compat_alignment(LLVMBuilderRef builder, unsigned alignment) {
    LLVMContextRef context =
        LLVMGetModuleContext(LLVMGetGlobalParent(LLVMGetBasicBlockParent(LLVMGetInsertBlock(builder))));
    return LLVMConstInt(LLVMInt32TypeInContext(context), alignment, 0);
}
#endif

LLVMValueRef llvm_compat_masked_load(LLVMBuilderRef builder, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef mask,
                                     unsigned alignment) {
    LLVMTypeRef types[] = {type, LLVMTypeOf(pointer)};
#if LLVM_VERSION_MAJOR >= 22
    LLVMValueRef args[] = {pointer, mask, LLVMConstNull(type)};
    LLVMValueRef call = llvm_compat_intrinsic(builder, "llvm.masked.load", types, 2, args, 3);
    llvm_compat_align(builder, call, 1, alignment);
    return call;
#else
    LLVMValueRef args[] = {pointer, llvm_compat_alignment(builder, alignment), mask, LLVMConstNull(type)};
    return llvm_compat_intrinsic(builder, "llvm.masked.load", types, 2, args, 4);
#endif
}

void llvm_compat_masked_store(LLVMBuilderRef builder, LLVMValueRef value, LLVMValueRef pointer, LLVMValueRef mask,
                              unsigned alignment) {
    LLVMTypeRef types[] = {LLVMTypeOf(value), LLVMTypeOf(pointer)};
#if LLVM_VERSION_MAJOR >= 22
    LLVMValueRef args[] = {value, pointer, mask};
    LLVMValueRef call = llvm_compat_intrinsic(builder, "llvm.masked.store", types, 2, args, 3);
    llvm_compat_align(builder, call, 2, alignment);
#else
    LLVMValueRef args[] = {value, pointer, llvm_compat_alignment(builder, alignment), mask};
    llvm_compat_intrinsic(builder, "llvm.masked.store", types, 2, args, 4);
#endif
}

LLVMValueRef llvm_compat_gather(LLVMBuilderRef builder, LLVMTypeRef type, LLVMValueRef pointers, unsigned alignment) {
    LLVMTypeRef types[] = {type, LLVMTypeOf(pointers)};
    LLVMTypeRef bit = LLVMInt1TypeInContext(LLVMGetTypeContext(type));
    LLVMValueRef mask = LLVMConstAllOnes(LLVMVectorType(bit, LLVMGetVectorSize(type)));
#if LLVM_VERSION_MAJOR >= 22
    LLVMValueRef args[] = {pointers, mask, LLVMGetPoison(type)};
    LLVMValueRef call = llvm_compat_intrinsic(builder, "llvm.masked.gather", types, 2, args, 3);
    llvm_compat_align(builder, call, 1, alignment);
    return call;
#else
    LLVMValueRef args[] = {pointers, llvm_compat_alignment(builder, alignment), mask, LLVMGetPoison(type)};
    return llvm_compat_intrinsic(builder, "llvm.masked.gather", types, 2, args, 4);
#endif
}

const char *llvm_compat_version(void) {
    return LLVM_VERSION_STRING;
}
