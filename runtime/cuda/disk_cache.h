/* disk_cache.h: compiled kernels in a folder, shared by any number of threads and processes.
 *
 * A file holds its whole key beside the image, and a checksum over both: what is read back is what was stored for
 * exactly this key, or nothing. Files are written under a temporary name and renamed. The folder must belong to this
 * user and be writable by nobody else, since what lies in it is run; files likewise. Nothing here is an error to the
 * caller: a cache that does not work is one that is empty.
 */
#ifndef RUNTIME_CUDA_DISK_CACHE_H
#define RUNTIME_CUDA_DISK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct disk_cache;

enum { DISK_CACHE_BYTES = 256 << 20 };

/* `folder`: NULL: $XDG_CACHE_HOME/weft or $HOME/.cache/weft; made, with those above it, if it is not there. `bound`:
 * bytes of all files together; 0: DISK_CACHE_BYTES. NULL: no cache ("" as folder, no such place, not ours alone, no
 * memory). */
struct disk_cache *disk_cache_open(struct mem *mem, const char *folder, size_t bound);
void disk_cache_close(struct disk_cache *cache);

/* The image stored for the key, in memory of the cache's `mem` (size + 1 bytes, the last one NUL), or NULL. Files that
 * are not whole are removed. */
void *disk_cache_read(struct disk_cache *cache, const void *key, size_t key_size, size_t *size);
/* Stores it, in place of what was there, and removes the files that were not used for longest until the bound is kept.
 */
void disk_cache_write(struct disk_cache *cache, const void *key, size_t key_size, const void *image, size_t size);
/* What is stored for the key is of no use. */
void disk_cache_remove(struct disk_cache *cache, const void *key, size_t key_size);

/* 64 bits of a hash that is not meant to withstand malice. Different seeds, different functions. */
uint64_t disk_cache_hash(const void *data, size_t size, uint64_t seed);

#endif
