/* tools_file.c: .npy files as tensors. */
#include "runtime/npy.h"
#include "runtime/runtime.h"

/* A tensor over a file's mapping, or over the copy that was made of it. Needs no context: it may outlive all of them.
 */
struct file_tensor {
    DLManagedTensor managed;
    struct npy_array array;
    struct mem mem;                 /* of `array` */
    int64_t strides[TYPE_MAX_RANK]; /* elements */
};

static void file_release(struct file_tensor *file) {
    struct mem heap = {0};
    atomic_store(&heap.used, sizeof *file);
    mem_free(&heap, file, sizeof *file);
}

static void file_delete(DLManagedTensor *managed) {
    struct file_tensor *file = managed->manager_ctx;
    npy_close(&file->array);
    file_release(file);
}

jit_status jit_load(const char *path, DLManagedTensor **out, jit_error *error) {
    if (!path || !out)
        return error_set(error, JIT_ARGUMENT, "%s is NULL", path ? "the place for the result" : "the path");
    *out = NULL;
    struct mem heap = {0};
    struct file_tensor *file = mem_zalloc(&heap, 1, sizeof *file);
    if (!file) return error_set(error, JIT_MEMORY, "cannot read '%.400s': out of memory", path);
    struct npy_error why;
    if (!npy_open(path, &file->mem, &file->array, &why)) {
        file_release(file);
        return error_set(error, (jit_status)why.code, "%s", why.text);
    }
    const struct npy_header *header = &file->array.header;
    int64_t size = dtype_size(header->dtype);
    for (int d = 0; d < header->rank; d++) file->strides[d] = file->array.strides[d] / size;
    file->managed = (DLManagedTensor){
        .dl_tensor = {.data = (void *)file->array.data,
                      .device = {kDLCPU, 0},
                      .ndim = header->rank,
                      .dtype = tensor_dl_type(header->dtype),
                      .shape = file->array.header.shape,
                      .strides = file->strides},
        .manager_ctx = file,
        .deleter = file_delete,
    };
    *out = &file->managed;
    return JIT_OK;
}

jit_status jit_save(const char *path, const DLTensor *value, jit_error *error) {
    if (!path || !value) return error_set(error, JIT_ARGUMENT, "%s is NULL", path ? "the value" : "the path");
    enum dtype type = tensor_dtype(value);
    if (type == TY_NONE || type == TY_F16 || value->ndim < 0 || value->ndim > TYPE_MAX_RANK || !tensor_is_here(value))
        return error_set(error, JIT_ARGUMENT, "cannot write '%.400s': the tensor is none that Weft computes with",
                         path);
    struct mem heap = {0};
    struct npy_error why;
    int64_t strides[TYPE_MAX_RANK];
    tensor_strides(value, strides);
    if (npy_write(path, &heap, type, value->ndim, value->shape, strides, (const char *)value->data + value->byte_offset,
                  &why))
        return JIT_OK;
    return error_set(error, (jit_status)why.code, "%s", why.text);
}
