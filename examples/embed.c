/* embed.c: a formula from the command line, compiled once and called on this program's own memory.
 *
 *     embed                       the distance of two points
 *     embed 'max(abs(x - y))'     any other formula of x and y
 */
#include <stdio.h>

#include <weft/jit.h>

int main(int argc, char **argv) {
    const char *formula = argc > 1 ? argv[1] : "sqrt(sum((x - y)**2))";
    char program[1000];
    snprintf(program, sizeof program, "param x: f64[n]; param y: f64[n]\n%s", formula);

    jit_error error = {0};
    jit_context *context = jit_context_new(NULL);
    jit_function *function = jit_compile(context, program, &error);
    if (!function) {
        fprintf(stderr, "%s\n", error.message);
        jit_context_free(context);
        return 1;
    }

    double x[4] = {1, 2, 3, 4}, y[4] = {4, 2, 3, 0}, result;
    const DLTensor *in[] = {jit_array(x, JIT_F64, 4), jit_array(y, JIT_F64, 4)};
    DLTensor *out[] = {jit_scalar_f64(&result)};
    jit_status status = jit_call(function, in, 2, out, 1, &error);
    if (status == JIT_OK)
        printf("%s = %g\n", formula, result);
    else
        fprintf(stderr, "%s\n", error.message);

    jit_function_free(function);
    jit_context_free(context);
    return status == JIT_OK ? 0 : 1;
}
