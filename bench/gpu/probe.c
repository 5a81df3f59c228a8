/* probe.c: exit status 0 if there is a GPU, 77 with a line that says why not. */
#include <stdio.h>

#include "driver.h"

int main(void) {
    if (!driver_open()) return 77;
    printf("%s, driver for CUDA %d.%d\n", driver_device_name(), driver_version() / 1000, driver_version() % 1000 / 10);
    driver_close();
    return 0;
}
