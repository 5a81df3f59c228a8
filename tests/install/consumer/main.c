#include <stdio.h>

#include <weft/jit.h>
#include <weft/tools.h>

int main(void) {
    jit_error error = {0};
    jit_context *context = jit_context_new(NULL);
    jit_function *function = jit_compile(context, "sum(x * 0.5)", &error);
    double x[] = {1, 2, 4, 6}, sum = 0;
    const DLTensor *in[] = {jit_array(x, JIT_F64, 4)};
    DLTensor *out[] = {jit_scalar_f64(&sum)};
    if (!function || jit_call(function, in, 1, out, 1, &error) != JIT_OK) {
        fputs(error.message, stderr);
        return 1;
    }
    printf("%.17g\n", sum);
    jit_function_free(function);
    jit_context_free(context);
    return 0;
}
