/* raster.c: a formula that a user types, over the bands of an image, tile by tile.
 *
 *     raster '(nir - red) / (nir + red)'
 *
 * The image is pixel-interleaved: red, green, near infrared, red, green, … as floats. A band is therefore an array with
 * a stride of three, which Weft reads in place. -9999 marks pixels without a value; where a band that the formula uses
 * has none, the result has none. A formula that is wrong gets the compiler's message, and so does one that could not be
 * evaluated tile by tile, such as `nir - mean(nir)`.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <weft/jit.h>

enum { WIDTH = 1000, HEIGHT = 700, TILE = 256, BANDS = 3 };
static const double NODATA = -9999;

/* Some land: a lake in the middle, a strip that the sensor missed. */
static void make_image(float *image) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            float *pixel = image + ((size_t)y * WIDTH + x) * BANDS;
            double wave = sin(0.01 * x) * cos(0.013 * y), distance = hypot(x - WIDTH / 2.0, y - HEIGHT / 2.0);
            int water = distance < 120;
            pixel[0] = (float)(water ? 0.04 : 0.10 + 0.04 * wave);
            pixel[1] = (float)(water ? 0.06 : 0.12 + 0.03 * wave);
            pixel[2] = (float)(water ? 0.02 : 0.45 - 0.15 * wave);
            if (x >= 900 && x < 910) pixel[2] = (float)NODATA;
        }
}

/* One band of a tile: rows of `width` pixels, BANDS floats apart. */
static DLTensor band_of(float *image, int band, int x, int y, int64_t *shape, int64_t *strides) {
    strides[0] = (int64_t)WIDTH * BANDS;
    strides[1] = BANDS;
    return (DLTensor){.data = image + ((size_t)y * WIDTH + x) * BANDS + band,
                      .device = {kDLCPU, 0},
                      .ndim = 2,
                      .dtype = jit_dl_type(JIT_F32),
                      .shape = shape,
                      .strides = strides};
}

static jit_status evaluate(const jit_function *formula, float *image, float *result, jit_error *error) {
    for (int y = 0; y < HEIGHT; y += TILE)
        for (int x = 0; x < WIDTH; x += TILE) {
            int64_t shape[2] = {HEIGHT - y < TILE ? HEIGHT - y : TILE, WIDTH - x < TILE ? WIDTH - x : TILE};
            int64_t strides[BANDS][2];
            DLTensor bands[BANDS];
            const DLTensor *in[BANDS];
            for (int b = 0; b < BANDS; b++) {
                bands[b] = band_of(image, b, x, y, shape, strides[b]);
                in[b] = &bands[b];
            }
            DLTensor *out[] = {jit_matrix(result + (size_t)y * WIDTH + x, JIT_F32, shape[0], shape[1], WIDTH)};
            jit_status status = jit_call(formula, in, BANDS, out, 1, error);
            if (status != JIT_OK) return status;
        }
    return JIT_OK;
}

static void report(const float *result) {
    double sum = 0, low = INFINITY, high = -INFINITY;
    long valid = 0;
    for (size_t i = 0; i < (size_t)WIDTH * HEIGHT; i++) {
        if (result[i] == (float)NODATA) continue;
        valid++;
        sum += result[i];
        if (result[i] < low) low = result[i];
        if (result[i] > high) high = result[i];
    }
    printf("%ld of %d pixels have a value: %.4f to %.4f, mean %.4f\n", valid, WIDTH * HEIGHT, low, high,
           valid ? sum / (double)valid : 0);
}

int main(int argc, char **argv) {
    const char *text = argc > 1 ? argv[1] : "(nir - red) / (nir + red)";
    static const jit_formula_input inputs[BANDS] = {
        {.name = "red", .type = JIT_F32, .rank = 2, .has_nodata = 1, .nodata = -9999},
        {.name = "green", .type = JIT_F32, .rank = 2, .has_nodata = 1, .nodata = -9999},
        {.name = "nir", .type = JIT_F32, .rank = 2, .has_nodata = 1, .nodata = -9999},
    };
    const jit_formula_spec spec = {.struct_size = sizeof spec,
                                   .inputs = inputs,
                                   .n_inputs = BANDS,
                                   .result = JIT_F32,
                                   .has_nodata = 1,
                                   .nodata = NODATA,
                                   .flags = JIT_ELEMENTWISE};
    jit_error error = {0};
    jit_status status = JIT_MEMORY;
    jit_context *context = jit_context_new(NULL);
    float *image = malloc(sizeof *image * WIDTH * HEIGHT * BANDS), *result = malloc(sizeof *result * WIDTH * HEIGHT);
    jit_function *formula = jit_formula(context, text, &spec, &error);
    if (image && result && formula) {
        make_image(image);
        status = evaluate(formula, image, result, &error);
        if (status == JIT_OK) report(result);
    }
    if (status != JIT_OK) fprintf(stderr, "%s\n", error.code ? error.message : "out of memory");
    jit_function_free(formula);
    jit_context_free(context);
    free(image);
    free(result);
    return status == JIT_OK ? 0 : 1;
}
