/* progress.c: a bar on the last line of the terminal while a call is long. */
#include <unistd.h>

#include "cli/cli.h"

enum { BAR_CELLS = 30 };

void progress_begin(struct host *host) {
    host->started = host_clock();
    host->drawn = 0;
    host->bar_seen = false;
}

int progress_step(void *argument, double share, const char *what) {
    struct host *host = argument;
    double now = host_clock();
    if (!host->bar || now - host->started < 0.5 || now - host->drawn < 0.1) return 0;
    host->drawn = now;
    host->bar_seen = true;
    if (!(share > 0 && share <= 1)) { /* how much is left is not known */
        fprintf(stderr, "\r%.30s ... %.1f s\033[K", what ? what : "running", now - host->started);
        fflush(stderr);
        return 0;
    }
    char bar[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(share * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = 0;
    fprintf(stderr, "\r[%s] %3d %%  %.1f s  %.30s\033[K", bar, (int)(share * 100), now - host->started,
            what ? what : "");
    fflush(stderr);
    return 0;
}

void progress_clear(struct host *host) {
    if (!host->bar_seen) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    host->bar_seen = false;
}
