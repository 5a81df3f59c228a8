/* The disk cache of compiled kernels: what it gives back is what was stored, whatever happens to its files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cuda/disk_cache.h"
#include "support/check.h"
#include "support/failing.h"

struct room {
    char root[64];   /* a fresh folder */
    char folder[96]; /* the cache's, inside it */
    struct failing failing;
    struct mem mem;
    struct disk_cache *cache;
};

static struct room room;

static int room_open(void **state) {
    (void)state;
    snprintf(room.root, sizeof room.root, "/tmp/weft-cache-XXXXXX");
    if (!mkdtemp(room.root)) return -1;
    snprintf(room.folder, sizeof room.folder, "%s/a/b", room.root);
    failing_init(&room.failing, &room.mem);
    room.cache = disk_cache_open(&room.mem, room.folder, 0);
    return room.cache ? 0 : -1;
}

static int room_close(void **state) {
    char command[100];
    (void)state;
    disk_cache_close(room.cache);
    room.cache = NULL;
    int blocks = (int)room.failing.blocks, wrong = room.failing.wrong_sizes;
    snprintf(command, sizeof command, "rm -rf %s", room.root);
    int status = system(command);
    return blocks || wrong || status ? -1 : 0;
}

static void fill(char *to, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; i++) to[i] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
}

static void store(const char *key, size_t size, unsigned seed) {
    char *image = malloc(size);
    fill(image, size, seed);
    disk_cache_write(room.cache, key, strlen(key), image, size);
    free(image);
}

/* Whether the key's image is there; if so, it is the one that store made. */
static bool has(const char *key, size_t size, unsigned seed) {
    size_t found_size = 0;
    char *found = disk_cache_read(room.cache, key, strlen(key), &found_size);
    if (!found) return false;
    char *image = malloc(size);
    fill(image, size, seed);
    assert_int_equal(found_size, size);
    assert_memory_equal(found, image, size);
    assert_int_equal(found[size], 0);
    free(image);
    mem_free(&room.mem, found, found_size + 1);
    return true;
}

/* The folder's files; `first` receives the path of one of them. */
static int count_files(char *first, size_t size) {
    int n = 0;
    DIR *folder = opendir(room.folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (first && n == 0) snprintf(first, size, "%s/%.64s", room.folder, entry->d_name);
        n++;
    }
    closedir(folder);
    return n;
}

static char *only_file(void) {
    static char path[200];
    assert_int_equal(count_files(path, sizeof path), 1);
    return path;
}

static void test_store_and_read(void **state) {
    (void)state;
    assert_false(has("one", 1000, 1));
    store("one", 1000, 1);
    assert_true(has("one", 1000, 1));
    store("two", 1, 2);
    store("three", 1 << 20, 3);
    assert_true(has("one", 1000, 1));
    assert_true(has("two", 1, 2));
    assert_true(has("three", 1 << 20, 3));
    store("one", 500, 7); /* in place of the old one */
    assert_true(has("one", 500, 7));
    assert_int_equal(count_files(NULL, 0), 3);
    disk_cache_remove(room.cache, "one", 3);
    assert_false(has("one", 500, 7));
    assert_true(has("two", 1, 2));
    disk_cache_write(room.cache, "none", 4, "", 0);
    assert_false(has("none", 0, 0));

    /* Another opening of the same folder sees the same. */
    struct disk_cache *first = room.cache;
    room.cache = disk_cache_open(&room.mem, room.folder, 0);
    assert_true(has("three", 1 << 20, 3));
    disk_cache_close(room.cache);
    room.cache = first;

    struct stat status;
    assert_int_equal(stat(room.folder, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

/* Every prefix of a file, and the file with any one byte changed, is as good as none, and makes way for a new one. */
static void test_damage(void **state) {
    enum { IMAGE = 300 };
    char whole[1000], damaged[1001];
    (void)state;
    store("key", IMAGE, 5);
    char *path = only_file();
    int file = open(path, O_RDONLY);
    ssize_t size = read(file, whole, sizeof whole);
    close(file);
    assert_int_equal(size, 32 + 3 + IMAGE);

    for (ssize_t i = 0; i <= 2 * size + 1; i++) {
        ssize_t written = size;
        memcpy(damaged, whole, sizeof whole);
        if (i < size)
            written = i; /* cut short */
        else if (i < 2 * size)
            damaged[i - size] ^= (char)(1 << (i % 8)); /* one bit */
        else if (i == 2 * size)
            written = size + 1; /* something behind it */
        else
            written = 0;
        file = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
        assert_int_equal(write(file, damaged, (size_t)written), written);
        close(file);
        if (has("key", IMAGE, 5)) fail_msg("damage %d was not seen", (int)i);
        assert_int_equal(access(path, F_OK), -1); /* it was removed */
    }
    store("key", IMAGE, 5);
    assert_true(has("key", IMAGE, 5));
}

/* A file of another key under this key's name: as after a collision of names, or a rename by somebody. */
static void test_other_key(void **state) {
    char path[200];
    (void)state;
    store("key one", 100, 1);
    strcpy(path, only_file());
    store("key two", 100, 2);
    char other[200] = "";
    DIR *folder = opendir(room.folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char candidate[200];
        snprintf(candidate, sizeof candidate, "%s/%.64s", room.folder, entry->d_name);
        if (entry->d_name[0] != '.' && strcmp(candidate, path) != 0) strcpy(other, candidate);
    }
    closedir(folder);
    assert_int_equal(rename(other, path), 0);
    assert_false(has("key one", 100, 1));
    assert_false(has("key two", 100, 2));
    store("key one", 100, 1);
    assert_true(has("key one", 100, 1));
}

/* What is no file of ours under an entry's name. */
static void test_no_regular_file(void **state) {
    char path[200];
    (void)state;
    store("key", 100, 1);
    strcpy(path, only_file());
    for (int kind = 0; kind < 7; kind++) {
        char elsewhere[120];
        unlink(path);
        snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", room.root);
        switch (kind) {
        case 0: assert_int_equal(mkfifo(path, 0600), 0); break; /* must not block */
        case 1: assert_int_equal(mkdir(path, 0700), 0); break;
        case 2: assert_int_equal(symlink("/dev/zero", path), 0); break;
        case 3: assert_int_equal(symlink("nowhere", path), 0); break;
        case 4: /* a good file elsewhere, linked to */
            store("key", 100, 1);
            assert_int_equal(rename(path, elsewhere), 0);
            assert_int_equal(symlink(elsewhere, path), 0);
            break;
        case 5: /* writable by others */
            store("key", 100, 1);
            assert_int_equal(chmod(path, 0622), 0);
            break;
        case 6: { /* a socket */
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            int s = socket(AF_UNIX, SOCK_STREAM, 0);
            assert_true(strlen(path) < sizeof address.sun_path);
            memcpy(address.sun_path, path, strlen(path));
            assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
            close(s);
            break;
        }
        }
        if (has("key", 100, 1)) fail_msg("kind %d was read", kind);
        store("key", 100, 1);
        if (!has("key", 100, 1)) fail_msg("kind %d stays in the way", kind);
    }
}

/* Folders that are not ours alone, or no folders. */
static void test_folders(void **state) {
    char path[300];
    struct mem *mem = &room.mem;
    (void)state;
    assert_null(disk_cache_open(mem, "", 0));
    assert_null(disk_cache_open(mem, "/dev/null/weft", 0));
    assert_null(disk_cache_open(mem, "/proc/weft", 0));
    assert_int_equal(chmod(room.folder, 0770), 0);
    assert_null(disk_cache_open(mem, room.folder, 0));
    assert_int_equal(chmod(room.folder, 0707), 0);
    assert_null(disk_cache_open(mem, room.folder, 0));
    assert_int_equal(chmod(room.folder, 0755), 0);
    struct disk_cache *readable = disk_cache_open(mem, room.folder, 0);
    assert_non_null(readable);
    disk_cache_close(readable);
    if (geteuid() == 0) { /* somebody else's */
        assert_int_equal(chown(room.folder, 1, (gid_t)-1), 0);
        assert_null(disk_cache_open(mem, room.folder, 0));
        assert_int_equal(chown(room.folder, 0, (gid_t)-1), 0);
        store("key", 10, 1);
        assert_int_equal(chown(only_file(), 1, (gid_t)-1), 0);
        assert_false(has("key", 10, 1));
    }
    char *far = malloc(9000);
    memset(far, 'x', 8999);
    far[0] = '/', far[8999] = '\0';
    assert_null(disk_cache_open(mem, far, 0));
    free(far);

    /* A link to a good folder is fine; a slash at the end, too. */
    char link[100];
    snprintf(link, sizeof link, "%s/link", room.root);
    assert_int_equal(symlink(room.folder, link), 0);
    struct disk_cache *linked = disk_cache_open(mem, link, 0);
    assert_non_null(linked);
    disk_cache_close(linked);
    snprintf(path, sizeof path, "%s/new/", room.root);
    linked = disk_cache_open(mem, path, 0);
    assert_non_null(linked);
    disk_cache_close(linked);

    /* Defaults. */
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL,
         *cache = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    struct stat status;
    setenv("XDG_CACHE_HOME", room.root, 1);
    linked = disk_cache_open(mem, NULL, 0);
    assert_non_null(linked);
    disk_cache_close(linked);
    snprintf(path, sizeof path, "%s/weft", room.root);
    assert_int_equal(stat(path, &status), 0);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", room.root, 1);
    linked = disk_cache_open(mem, NULL, 0);
    assert_non_null(linked);
    disk_cache_close(linked);
    snprintf(path, sizeof path, "%s/.cache/weft", room.root);
    assert_int_equal(stat(path, &status), 0);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_null(disk_cache_open(mem, NULL, 0));
    if (home) setenv("HOME", home, 1);
    if (cache) setenv("XDG_CACHE_HOME", cache, 1);
    free(home), free(cache);
}

/* A cache whose folder vanishes, or cannot be written, is empty and harmless. */
static void test_folder_gone(void **state) {
    char command[120];
    (void)state;
    store("key", 10, 1);
    snprintf(command, sizeof command, "rm -rf %s", room.folder);
    assert_int_equal(system(command), 0);
    assert_false(has("key", 10, 1));
    store("key", 10, 1);
    assert_false(has("key", 10, 1));
    disk_cache_remove(room.cache, "key", 3);
    assert_null(disk_cache_read(NULL, "key", 3, &(size_t){0}));
    disk_cache_write(NULL, "key", 3, "x", 1);
    disk_cache_remove(NULL, "key", 3);
    disk_cache_close(NULL);
}

/* Each new file makes the ones go that were not used for longest. */
static void test_bound(void **state) {
    enum { SIZE = 10000, FILES = 5 };
    char key[20];
    (void)state;
    disk_cache_close(room.cache);
    room.cache = disk_cache_open(&room.mem, room.folder, FILES * (SIZE + 100));
    assert_non_null(room.cache);
    for (int i = 0; i < FILES; i++) {
        snprintf(key, sizeof key, "key %d", i);
        store(key, SIZE, (unsigned)i);
        usleep(20000); /* file times are coarse */
    }
    assert_int_equal(count_files(NULL, 0), FILES);
    assert_true(has("key 0", SIZE, 0)); /* used: now the latest */
    usleep(20000);
    store("key 5", SIZE, 5);
    assert_int_equal(count_files(NULL, 0), FILES);
    assert_false(has("key 1", SIZE, 1));
    assert_true(has("key 0", SIZE, 0));
    assert_true(has("key 5", SIZE, 5));
    usleep(20000);
    store("large", 3 * SIZE, 6);
    assert_true(has("large", 3 * SIZE, 6));
    assert_true(count_files(NULL, 0) <= 3);
    store("too large", FILES * (SIZE + 100), 7); /* would not fit alone: the others stay */
    assert_false(has("too large", FILES * (SIZE + 100), 7));
    assert_true(has("large", 3 * SIZE, 6));
}

/* Files that are no entries are left alone; temporary ones only while somebody may be writing them. */
static void test_other_files(void **state) {
    char notes[200], old[200], fresh[200];
    (void)state;
    snprintf(notes, sizeof notes, "%s/notes.txt", room.folder);
    snprintf(old, sizeof old, "%s/.weft-1-0", room.folder);
    snprintf(fresh, sizeof fresh, "%s/.weft-2-0", room.folder);
    for (int i = 0; i < 3; i++) close(open(i == 0 ? notes : i == 1 ? old : fresh, O_CREAT | O_WRONLY, 0600));
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, old, long_ago, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, notes, long_ago, 0), 0);
    store("key", 10, 1);
    assert_int_equal(access(notes, F_OK), 0);
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_equal(access(old, F_OK), -1);
}

static void test_no_memory(void **state) {
    (void)state;
    store("key", 1000, 1);
    for (long at = 1; at < 20; at++) {
        room.failing.failed = 0;
        room.failing.fail_at = at;
        store("other", 1000, 2);
        bool found = has("key", 1000, 1);
        if (!room.failing.failed) break;
        room.failing.fail_at = 0;
        if (!found) store("key", 1000, 1); /* it was taken for damaged */
        assert_true(at < 19);
    }
    room.failing.fail_at = 1;
    assert_null(disk_cache_open(&room.mem, room.folder, 0));
    room.failing.fail_at = 0;
}

/* --- several at once ---------------------------------------------------------------------------------------------- */

static void hammer(unsigned seed) {
    for (int i = 0; i < 150; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned n = seed >> 16 & 7;
        char key[20];
        snprintf(key, sizeof key, "key %u", n);
        if (seed >> 24 & 1)
            store(key, 2000 + n, n);
        else
            has(key, 2000 + n, n);
        if ((seed >> 25 & 31) == 0) disk_cache_remove(room.cache, key, strlen(key));
    }
}

struct hammering {
    unsigned seed;
    pthread_t thread;
};

static void *hammer_thread(void *argument) {
    /* Nothing may fail here: cmocka's jumps belong to the main thread. Images are compared by has. */
    struct hammering *hammering = argument;
    hammer(hammering->seed);
    return NULL;
}

static void test_threads_and_processes(void **state) {
    enum { PROCESSES = 3, THREADS = 3 };
    pid_t children[PROCESSES];
    struct hammering threads[THREADS];
    (void)state;
    disk_cache_close(room.cache);
    room.mem.resize = NULL; /* failing's counts are for one thread */
    room.cache = disk_cache_open(&room.mem, room.folder, 5 * 2100);
    assert_non_null(room.cache);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            hammer((unsigned)(100 + i));
            _exit(0);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        threads[i].seed = (unsigned)i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, hammer_thread, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i].thread, NULL);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    store("last", 100, 9);
    assert_true(has("last", 100, 9));
    assert_true(count_files(NULL, 0) <= 6);
    disk_cache_close(room.cache);
    room.cache = NULL;
    assert_int_equal(room.mem.used, 0);
}

/* Equal only if every byte is: a hash that ignores some part would mix up kernels' names. */
static void test_hash(void **state) {
    char text[40];
    (void)state;
    for (size_t size = 0; size < sizeof text; size++) {
        fill(text, sizeof text, 1);
        uint64_t before = disk_cache_hash(text, size, 1);
        assert_true(before == disk_cache_hash(text, size, 1));
        assert_true(before != disk_cache_hash(text, size, 2));
        for (size_t i = 0; i < size * 8; i++) {
            text[i / 8] ^= (char)(1 << i % 8);
            assert_true(disk_cache_hash(text, size, 1) != before);
            text[i / 8] ^= (char)(1 << i % 8);
        }
        if (size) assert_true(disk_cache_hash(text, size - 1, 1) != before);
    }
    assert_true(disk_cache_hash("\0\0\0\0\0\0\0\0", 3, 1) != disk_cache_hash("\0\0\0\0\0\0\0\0", 4, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define ROOM_TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)
        ROOM_TEST(test_store_and_read), ROOM_TEST(test_damage),
        ROOM_TEST(test_other_key),      ROOM_TEST(test_no_regular_file),
        ROOM_TEST(test_folders),        ROOM_TEST(test_folder_gone),
        ROOM_TEST(test_bound),          ROOM_TEST(test_other_files),
        ROOM_TEST(test_no_memory),      ROOM_TEST(test_threads_and_processes),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
