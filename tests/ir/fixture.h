/* fixture.h: an arena for each test, and the sizes that tests write. */
#ifndef TESTS_IR_FIXTURE_H
#define TESTS_IR_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "ir/parse.h"
#include "ir/verify.h"
#include "support/check.h"

struct fixture {
    struct mem mem;
    struct arena arena;
    struct size_table sizes;
    struct graph *graph;
    struct strbuf text;
};

static inline int fixture_setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    arena_init(&f->arena, &f->mem);
    size_table_init(&f->sizes, &f->arena);
    f->graph = graph_new(&f->arena, &f->sizes);
    strbuf_init(&f->text, &f->arena);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    struct fixture *f = *state;
    arena_free(&f->arena);
    int leaked = f->mem.used != 0;
    free(f);
    return leaked;
}

#define FIXTURE_TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

static const struct span nowhere = {0, 0};

#endif
