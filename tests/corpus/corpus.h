/* corpus.h: reads the expression corpus, tests/corpus/ *.txt, which make_corpus.py wrote with NumPy.
 *
 * A file is a list of cases; `#` starts a comment line, blank lines don't count:
 *
 *     case NAME
 *     | one line of Weft source, and so on for each line
 *     input NAME TYPE [SHAPE] : HEX …                                      in C order
 *     input NAME TYPE [SHAPE] strides [S,…] offset O size N : HEX …         elements lie at O + sum(index*S) of N
 *     default NAME                                                         a param that takes its default (NULL)
 *     expect TYPE [SHAPE] exact|ulp N|abs HEXFLOAT : HEX …                  one line an output
 *     error CODE|CODE… TEXT                                                instead: the status, and what the message
 * holds
 *
 * Values stand in row-major order of the logical array, as the hexadecimal digits of each element's bits, so nothing is
 * lost to decimal. A scalar's shape is []. Storage that no logical element lies in is filled with 0xA5.
 *
 * promotion.txt lists result types: a line `op EXPR` with the operands as $x and $y, then lines `TYPE… RESULT`.
 *
 * A file that does not follow the format ends the program with a message: it is part of the test.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <dlpack/dlpack.h>

enum corpus_tolerance {
    CORPUS_EXACT, /* the same bits; any NaN for a NaN */
    CORPUS_ULP,   /* within `limit` units in the last place of the expected value; zeros of either sign are equal */
    CORPUS_ABS,   /* within `limit` */
};

struct corpus_tensor {
    char name[64]; /* of an input; "" in an output */
    DLTensor tensor;
    int64_t shape[8], strides[8]; /* the tensor points here */
    void *storage;
    size_t storage_bytes;
    bool is_default; /* pass NULL for it */
    enum corpus_tolerance tolerance;
    double limit;
};

enum { CORPUS_INPUTS = 8, CORPUS_OUTPUTS = 8 };

struct corpus_case {
    char name[64];
    char *source;
    struct corpus_tensor input[CORPUS_INPUTS], expect[CORPUS_OUTPUTS];
    int n_input, n_expect;
    char error[64];       /* "TYPE|SHAPE", or "" if the program is to succeed */
    char error_text[128]; /* the message must hold it */
};

struct corpus_file {
    struct corpus_case *cases;
    int count;
};

struct corpus_file *corpus_read(const char *path);
void corpus_free(struct corpus_file *file);

/* "" if the array is the expected one, or what differs first. `slack` is added to bounds in units in the last place.
 * The text is static, overwritten by the next call. */
const char *corpus_compare(const struct corpus_tensor *expect, const DLTensor *got, double slack);

/* One line of promotion.txt. `operand[1]` is "" for an operation of one operand. */
struct corpus_promotion {
    char expression[64], operand[2][8], result[8];
};
struct corpus_promotion *corpus_read_promotion(const char *path, int *count); /* released with free() */

/* "f64" to its DLPack type; ends the program for another name. */
DLDataType corpus_type(const char *name);
const char *corpus_type_name(DLDataType type); /* "?" for none of ours */

#endif
