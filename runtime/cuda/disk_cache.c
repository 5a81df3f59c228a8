/* disk_cache.c: see disk_cache.h. */
#define _GNU_SOURCE
#include "runtime/cuda/disk_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_DIGITS = 32,
    STALE_SECONDS = 3600, /* a temporary file this old was left behind by a process that died */
    LARGEST_FILE = 256 << 20,
};

struct disk_cache {
    struct mem *mem;
    int folder;
    size_t bound;
    _Atomic uint32_t serial; /* of temporary files */
};

/* A file: this, the key, the image. */
struct file_header {
    char magic[8];
    uint64_t key_size, image_size;
    uint64_t checksum; /* of the key and the image */
};
static const char file_magic[8] = "weftcub1";

struct file_name {
    char text[NAME_DIGITS + 8];
};

/* --- hashing ------------------------------------------------------------------------------------------------------ */

static uint64_t hash_mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 29;
    h *= 0xe9846af9b1a615d1u;
    return h ^ h >> 32;
}

uint64_t disk_cache_hash(const void *data, size_t size, uint64_t seed) {
    const unsigned char *at = data;
    uint64_t h = hash_mix(seed + 0x9e3779b97f4a7c15u) ^ size;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        h = (h ^ hash_mix(word + seed)) * 0x9fb21c651e98df25u;
        h ^= h >> 35;
    }
    uint64_t rest = 0;
    memcpy(&rest, at, size);
    return hash_mix((h ^ hash_mix(rest + seed)) * 0x9fb21c651e98df25u);
}

static struct file_name name_of(const void *key, size_t key_size) {
    struct file_name name;
    snprintf(name.text, sizeof name.text, "%016llx%016llx.bin", (unsigned long long)disk_cache_hash(key, key_size, 1),
             (unsigned long long)disk_cache_hash(key, key_size, 2));
    return name;
}

static uint64_t checksum_of(const void *key, size_t key_size, const void *image, size_t size) {
    return disk_cache_hash(image, size, disk_cache_hash(key, key_size, 3));
}

/* --- the folder --------------------------------------------------------------------------------------------------- */

static bool is_ours_alone(const struct stat *status) {
    return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Makes the folder and those above it. `path` is written to on the way. */
static void make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = '\0';
        mkdir(path, 0700); /* one that is there is as good; any other failure shows when it is opened */
        if (!slash) return;
        *slash = '/';
    }
}

/* "": none. */
static void choose_folder(const char *folder, char *path, size_t size) {
    int length = 0;
    const char *base;
    path[0] = '\0';
    if (folder)
        length = snprintf(path, size, "%s", folder);
    else if ((base = secure_getenv("XDG_CACHE_HOME")) &&
             base[0] == '/') /* a relative one is to be ignored, says its specification */
        length = snprintf(path, size, "%s/weft", base);
    else if ((base = secure_getenv("HOME")) && base[0] == '/')
        length = snprintf(path, size, "%s/.cache/weft", base);
    if (length < 0 || (size_t)length >= size) path[0] = '\0';
}

struct disk_cache *disk_cache_open(struct mem *mem, const char *folder, size_t bound) {
    char path[4096];
    choose_folder(folder, path, sizeof path);
    if (!path[0]) return NULL;
    make_folders(path);

    struct stat status;
    int opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return NULL;
    struct disk_cache *cache = NULL;
    if (fstat(opened, &status) == 0 && is_ours_alone(&status)) cache = mem_zalloc(mem, 1, sizeof *cache);
    if (!cache) {
        close(opened);
        return NULL;
    }
    cache->mem = mem;
    cache->folder = opened;
    cache->bound = bound ? bound : DISK_CACHE_BYTES;
    atomic_init(&cache->serial, 0);
    return cache;
}

void disk_cache_close(struct disk_cache *cache) {
    if (!cache) return;
    close(cache->folder);
    mem_free(cache->mem, cache, sizeof *cache);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool read_all(int file, void *to, size_t size) {
    for (char *at = to; size > 0;) {
        ssize_t n = read(file, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n, size -= (size_t)n;
    }
    return true;
}

/* Removes whatever has this name. */
static void clear(struct disk_cache *cache, const char *name) {
    if (unlinkat(cache->folder, name, 0) != 0 && (errno == EISDIR || errno == EPERM))
        unlinkat(cache->folder, name, AT_REMOVEDIR);
}

/* `size`: of the file. */
static void *read_image(struct disk_cache *cache, int file, size_t size, const void *key, size_t key_size,
                        size_t *image_size) {
    struct file_header header;
    if (size < sizeof header || !read_all(file, &header, sizeof header)) return NULL;
    size -= sizeof header;
    if (memcmp(header.magic, file_magic, sizeof file_magic) != 0 || header.key_size != key_size || key_size > size ||
        header.image_size != size - key_size || header.image_size == 0)
        return NULL;
    size_t wanted = (size_t)header.image_size;
    char *image = mem_alloc(cache->mem, wanted + 1);
    char *stored = mem_alloc(cache->mem, key_size);
    bool good = image && stored && read_all(file, stored, key_size) && read_all(file, image, wanted) &&
                memcmp(stored, key, key_size) == 0 && checksum_of(stored, key_size, image, wanted) == header.checksum;
    mem_free(cache->mem, stored, key_size);
    if (!good) {
        mem_free(cache->mem, image, wanted + 1);
        return NULL;
    }
    image[wanted] = '\0';
    *image_size = wanted;
    return image;
}

void *disk_cache_read(struct disk_cache *cache, const void *key, size_t key_size, size_t *size) {
    if (!cache) return NULL;
    struct file_name name = name_of(key, key_size);
    /* O_NONBLOCK: opening a pipe that somebody put there must not wait. */
    int file = openat(cache->folder, name.text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) {
        if (errno == ELOOP || errno == ENXIO || errno == EACCES)
            clear(cache, name.text); /* a link, a socket: in the way */
        return NULL;
    }
    struct stat status;
    void *image = NULL;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && is_ours_alone(&status) &&
        status.st_size <= LARGEST_FILE)
        image = read_image(cache, file, (size_t)status.st_size, key, key_size, size);
    if (image)
        futimens(file, NULL); /* used now: see remove_oldest */
    else
        clear(cache, name.text);
    close(file);
    return image;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static bool write_all(int file, const void *from, size_t size) {
    for (const char *at = from; size > 0;) {
        ssize_t n = write(file, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n, size -= (size_t)n;
    }
    return true;
}

struct entry {
    struct file_name name;
    size_t size;
    struct timespec used;
};

static int by_use(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec) return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->name.text, y->name.text);
}

static bool is_entry(const char *name) {
    return strspn(name, "0123456789abcdef") == NAME_DIGITS && strcmp(name + NAME_DIGITS, ".bin") == 0;
}

static bool is_temporary(const char *name) {
    return name[0] == '.' && strncmp(name + 1, "weft-", 5) == 0;
}

/* All entries of the folder; temporary files that were left behind are removed. The result has *capacity places. */
static struct entry *list_entries(struct disk_cache *cache, size_t *count, size_t *capacity) {
    struct entry *entries = NULL;
    *count = *capacity = 0;
    int again = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again >= 0 ? fdopendir(again) : NULL;
    if (!folder) {
        if (again >= 0) close(again);
        return NULL;
    }
    for (struct dirent *found; (found = readdir(folder));) {
        struct stat status;
        bool temporary = is_temporary(found->d_name);
        if (!temporary && !is_entry(found->d_name)) continue; /* not ours */
        if (fstatat(cache->folder, found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (temporary) {
            if (time(NULL) - status.st_mtime > STALE_SECONDS) unlinkat(cache->folder, found->d_name, 0);
            continue;
        }
        if (*count == *capacity) {
            size_t larger = *capacity ? 2 * *capacity : 64;
            struct entry *grown =
                mem_resize(cache->mem, entries, *capacity * sizeof *entries, larger * sizeof *entries);
            if (!grown) break; /* the rest is seen the next time */
            entries = grown, *capacity = larger;
        }
        struct entry *entry = &entries[(*count)++];
        memcpy(entry->name.text, found->d_name, strlen(found->d_name) + 1);
        entry->size = (size_t)status.st_size;
        entry->used = status.st_mtim;
    }
    closedir(folder);
    return entries;
}

static void remove_oldest(struct disk_cache *cache) {
    size_t count, capacity, total = 0;
    struct entry *entries = list_entries(cache, &count, &capacity);
    for (size_t i = 0; i < count; i++) total += entries[i].size;
    if (total > cache->bound) {
        qsort(entries, count, sizeof *entries, by_use);
        for (size_t i = 0; i < count && total > cache->bound; i++) {
            unlinkat(cache->folder, entries[i].name.text, 0);
            total -= entries[i].size;
        }
    }
    mem_free(cache->mem, entries, capacity * sizeof *entries);
}

void disk_cache_write(struct disk_cache *cache, const void *key, size_t key_size, const void *image, size_t size) {
    struct file_header header = {.key_size = key_size, .image_size = size};
    if (!cache || size == 0 || key_size > LARGEST_FILE / 2 || size > LARGEST_FILE / 2) return;
    if (sizeof header + key_size + size > cache->bound) return;
    memcpy(header.magic, file_magic, sizeof file_magic);
    header.checksum = checksum_of(key, key_size, image, size);

    struct file_name name = name_of(key, key_size);
    char temporary[64];
    int file = -1;
    for (int attempt = 0; attempt < 100 && file < 0;
         attempt++) { /* a dead process of our number may have left its files */
        snprintf(temporary, sizeof temporary, ".weft-%lx-%x", (unsigned long)getpid(),
                 atomic_fetch_add(&cache->serial, 1));
        file = openat(cache->folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file < 0 && errno != EEXIST) return;
    }
    if (file < 0) return;
    bool written =
        write_all(file, &header, sizeof header) && write_all(file, key, key_size) && write_all(file, image, size);
    if (close(file) != 0) written = false;
    if (!written || renameat(cache->folder, temporary, cache->folder, name.text) != 0) {
        unlinkat(cache->folder, temporary, 0);
        return;
    }
    remove_oldest(cache);
}

void disk_cache_remove(struct disk_cache *cache, const void *key, size_t key_size) {
    if (cache) unlinkat(cache->folder, name_of(key, key_size).text, 0);
}
