/* hostile.h: what test_hostile_api.c and test_hostile_programs.c share. Every call must end in a clean jit_error or a
 * right result, soon. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <weft/jit.h>

#include "support/check.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOWNESS = 8 };
#else
enum { SLOWNESS = 1 };
#endif
enum { SOON = 10 }; /* seconds that nothing may take, times SLOWNESS */

static jit_context *context;

static inline int setup(void **state) {
    (void)state;
    context = jit_context_new(NULL);
    return context ? 0 : -1;
}

static inline int teardown(void **state) {
    (void)state;
    jit_context_free(context);
    return 0;
}

static inline double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static inline jit_function *compile(const char *source) {
    jit_error error = {0};
    jit_function *f = jit_compile(context, source, &error);
    if (!f) fail_msg("%s\n%s", source, error.message);
    return f;
}

/* NULL if this version does not have what the source uses. */
static inline jit_function *compile_available(const char *source) {
    jit_error error = {0};
    jit_function *f = jit_compile(context, source, &error);
    if (!f && error.code != JIT_UNSUPPORTED) fail_msg("%s\n%s", source, error.message);
    return f;
}

/* An error is whole: a known status, the same as returned, and a message. */
static inline void check_error(jit_status status, const jit_error *error, const char *what) {
    if (status != error->code || status <= JIT_OK || status >= JIT_INTERNAL || !error->message[0] ||
        !memchr(error->message, 0, sizeof error->message))
        fail_msg("%s: status %d, error %d: %.300s", what, (int)status, (int)error->code, error->message);
}

static inline void expect(jit_status wanted, jit_status status, const jit_error *error, const char *what) {
    check_error(status, error, what);
    if (status != wanted)
        fail_msg("%s: %s, expected %s: %s", what, jit_status_name(status), jit_status_name(wanted), error->message);
}

/* head, then `count` times unit ("%d" becomes the number), then tail `tails` times. */
static inline char *text_of(const char *head, const char *unit, int count, const char *tail, int tails) {
    size_t room = strlen(head) + (strlen(unit) + 40) * (size_t)count + strlen(tail) * (size_t)tails + 1,
           at = strlen(head);
    char *text = malloc(room);
    assert_non_null(text);
    memcpy(text, head, at + 1);
    for (int i = 0; i < count; i++) {
        for (const char *p = unit; *p; p++) {
            if (p[0] == '%' && p[1] == 'd')
                at += (size_t)sprintf(text + at, "%d", i), p++;
            else if (p[0] == '%' && p[1] == 'p')
                at += (size_t)sprintf(text + at, "%d", i ? i - 1 : 0), p++;
            else
                text[at++] = *p;
        }
    }
    for (int i = 0; i < tails; i++) memcpy(text + at, tail, strlen(tail)), at += strlen(tail);
    text[at] = 0;
    return text;
}

#endif
