/* threads.c: one compiled function, called from eight threads at once.
 *
 * Each thread smooths signals of its own with the function that all share. Calls need no lock: a function is read-only
 * once it is compiled. `threads = 1` in the options keeps each call on its own thread, as they are many already.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include <weft/jit.h>

enum { THREADS = 8, ROUNDS = 200, LENGTH = 5000 };

struct worker {
    pthread_t thread;
    const jit_function *rms;
    double frequency, expected, worst; /* worst difference from what is expected */
    jit_error error;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    double signal[LENGTH], amplitude, rms;
    const DLTensor *in[] = {jit_array(signal, JIT_F64, LENGTH), jit_scalar_f64(&amplitude)};
    DLTensor *out[] = {jit_scalar_f64(&rms)};
    for (int i = 0; i < LENGTH; i++) signal[i] = sin(worker->frequency * 6.283185307179586 * i / LENGTH);
    for (int round = 1; round <= ROUNDS; round++) {
        amplitude = round;
        if (jit_call(worker->rms, in, 2, out, 1, &worker->error) != JIT_OK) return NULL;
        double difference = fabs(rms - amplitude * worker->expected);
        if (difference > worker->worst) worker->worst = difference;
    }
    return NULL;
}

int main(void) {
    jit_error error = {0};
    jit_options options = {.struct_size = sizeof options, .threads = 1};
    jit_context *context = jit_context_new(&options);
    jit_function *rms = jit_compile(context, "param x: f64[n]; param a: f64; sqrt(mean((a*x)**2))", &error);
    if (!rms) {
        fprintf(stderr, "%s\n", error.message);
        jit_context_free(context);
        return 1;
    }

    struct worker workers[THREADS];
    int started = 0, failed = 0;
    for (int i = 0; i < THREADS; i++) {
        /* Whole periods of a sine of amplitude 1: sqrt(1/2). */
        workers[i] = (struct worker){.rms = rms, .frequency = i + 1, .expected = sqrt(0.5)};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) break;
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].error.code) {
            fprintf(stderr, "thread %d: %s\n", i, workers[i].error.message);
            failed = 1;
        } else if (workers[i].worst > 1e-9) {
            fprintf(stderr, "thread %d: off by %g\n", i, workers[i].worst);
            failed = 1;
        }
    }
    if (started < THREADS) failed = 1;
    if (!failed) printf("%d threads, %d calls each, all right\n", THREADS, ROUNDS);
    jit_function_free(rms);
    jit_context_free(context);
    return failed;
}
