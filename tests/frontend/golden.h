/* golden.h: every file FOLDER/name.weft is parsed and the outcome compared with FOLDER/name.EXTENSION.
 *
 * UPDATE_SNAPSHOTS=1 in the environment rewrites the expectations instead; the diff is then reviewed. */
#ifndef FRONTEND_GOLDEN_H
#define FRONTEND_GOLDEN_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "support/check.h"

/* The whole file, in the arena; NULL if there is none. */
static inline char *golden_read(struct arena *arena, const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    struct strbuf text;
    char chunk[4096];
    size_t n;
    strbuf_init(&text, arena);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) strbuf_add(&text, chunk, n);
    fclose(file);
    *length = text.length;
    return text.text ? text.text : arena_strdup(arena, "");
}

/* What a source becomes; `name` is the file's, without its folder. */
typedef void golden_make(struct arena *arena, const char *name, const char *source, size_t length, struct strbuf *out);

static inline int golden_compare(struct arena *arena, const char *path, const struct strbuf *actual) {
    const char *update = getenv("UPDATE_SNAPSHOTS");
    if (update && *update && strcmp(update, "0") != 0) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(strbuf_text(actual), 1, actual->length, file), actual->length);
        assert_int_equal(fclose(file), 0);
        return 0;
    }
    size_t length = 0;
    const char *expected = golden_read(arena, path, &length);
    if (expected && length == actual->length && memcmp(expected, strbuf_text(actual), length) == 0) return 0;
    print_error("%s: expected\n%s\nfound\n%s\n(UPDATE_SNAPSHOTS=1 rewrites it)\n", path,
                expected ? expected : "no file", strbuf_text(actual));
    return 1;
}

/* Fails the test if any file differs, or if there are fewer than `least`. */
static inline void golden_check(const char *folder, const char *extension, int least, golden_make *make) {
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    int files = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t stem = strlen(entry->d_name);
        if (stem < 5 || strcmp(entry->d_name + stem - 5, ".weft") != 0) continue;
        stem -= 5;
        files++;
        struct mem mem = {0};
        struct arena arena;
        arena_init(&arena, &mem);
        size_t length = 0;
        const char *source = golden_read(&arena, arena_printf(&arena, "%s/%s", folder, entry->d_name), &length);
        assert_non_null(source);
        struct strbuf out;
        strbuf_init(&out, &arena);
        make(&arena, entry->d_name, source, length, &out);
        wrong += golden_compare(&arena, arena_printf(&arena, "%s/%.*s%s", folder, (int)stem, entry->d_name, extension),
                                &out);
        arena_free(&arena);
        assert_int_equal(mem.used, 0);
    }
    closedir(directory);
    assert_true(files >= least);
    assert_int_equal(wrong, 0);
}

#endif
