/* assemble.h: collected kernels through NVRTC to PTX and through ptxas to machine code, for every architecture, by a
 * process for each core; and what is wrong with them.
 *
 * Every kernel is assembled for every architecture from the PTX that NVRTC writes for that architecture. NVRTC takes
 * longer than ptxas, and mostly it writes the same for several architectures. So a sample of the kernels, each
 * `sample`-th, goes through it for each of them, and what it makes of the others it makes once for all those for which
 * the sample's PTX differs in nothing but the .target line. Kernels that may ask what the architecture is, CUDA's
 * elementary functions among them, go through it for each. Kernels with the same PTX are assembled once.
 */
#ifndef TESTS_GPU_PTXAS_ASSEMBLE_H
#define TESTS_GPU_PTXAS_ASSEMBLE_H

#include "gpu/ptxas/collect.h"

enum { ARCHS = 5 };
extern const int assemble_archs[ARCHS]; /* 75: sm_75 */

/* What became of a kernel on an architecture. */
struct verdict {
    unsigned char checked, failed;
    unsigned short registers;
    int stack, spilled; /* bytes */
    int same_as;        /* 1 + the kernel whose PTX is the same, which was assembled for both; 0: none */
};

struct assembling {
    const struct collection *all;
    bool wanted[ARCHS];
    int sample;         /* 1: NVRTC compiles every kernel for every architecture */
    const char *only;   /* kernels whose origin holds this text; NULL: all */
    const char *ptxas;  /* the program */
    const char *folder; /* for files; `keep`: they stay there */
    bool keep;
    struct assembled *shared; /* with the processes */
    struct verdict *verdicts; /* [kernel * ARCHS + arch] */
};

/* NVRTC, or NULL with a message. */
struct ptx_compiler *assemble_open(struct mem *mem);
/* After assemble_all: NVRTC compiled once for both, unless for kernels that may ask for the architecture. */
bool assemble_shares(const struct assembling *job, int arch, int other);
bool assemble_is_chosen(const struct assembling *job, int kernel);
/* Fills in `shared` and `verdicts`; the rest is given. False: something went wrong in a process, which said so; kernels
 * that are wrong are in the verdicts. Prints the time it took. */
bool assemble_all(struct assembling *job);
void assemble_free(struct assembling *job);
/* Notes that a kernel is wrong, and says so of the first few. */
void assemble_complain(struct assembling *job, int kernel, int arch, const char *what);

#endif
