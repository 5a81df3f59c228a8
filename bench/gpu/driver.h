/* driver.h: the few functions of the CUDA driver that the benchmark calls itself: memory, a stream, events.
 * libcuda.so.1 is opened when the program runs, so it builds without CUDA's headers, and a test can put another libcuda
 * in its place.
 */
#ifndef GPU_DRIVER_H
#define GPU_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens the driver and makes the primary context of its first device the calling thread's (CUDA_VISIBLE_DEVICES chooses
 * another). False with a line on stderr that says why there is no device. */
bool driver_open(void);
void driver_close(void);
const char *driver_device_name(void);
/* 13000 for 13.0. */
int driver_version(void);

/* These end the program with a message if the driver refuses. */
uint64_t driver_alloc(size_t bytes);
void driver_free(uint64_t address);
void driver_to_device(uint64_t to, const void *from, size_t bytes); /* is there when it returns, for every stream */
void driver_to_host(void *to, uint64_t from, size_t bytes);
void driver_copy(uint64_t to, uint64_t from, size_t bytes); /* on the device, on driver_stream */
void driver_wait(void);                                     /* for driver_stream */
void *driver_stream(void);

/* Device time: of what is put on driver_stream in between. driver_stop waits for it; seconds. */
void driver_start(void);
double driver_stop(void);

#endif
