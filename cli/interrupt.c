/* interrupt.c: Ctrl-C asks the running call to end. */
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

volatile int interrupt_flag;
static bool second_ends;

static void on_interrupt(int number) {
    (void)number;
    if (interrupt_flag && second_ends) _exit(130);
    interrupt_flag = 1;
}

void interrupt_catch(bool twice_ends) {
    second_ends = twice_ends;
    interrupt_flag = 0;
    struct sigaction action = {.sa_handler = on_interrupt}; /* no SA_RESTART: a prompt waiting for a line must notice */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}
