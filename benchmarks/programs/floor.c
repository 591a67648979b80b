/* floor FILE SECOND: run the commands in FILE, one a line, whenever the minute's SECOND comes. Keeps and logs nothing:
   what a scheduler costs that does only what it cannot leave out. */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

int main(int count, char **words) {
    static char *commands[100000];
    size_t known = 0, room = 0;
    char *line = NULL;
    FILE *file = count == 3 ? fopen(words[1], "r") : NULL;
    if (!file) return 2;
    while (known < 100000 && getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = 0;
        commands[known++] = strdup(line);
    }
    posix_spawnattr_t session;
    posix_spawnattr_init(&session);
    posix_spawnattr_setflags(&session, POSIX_SPAWN_SETSID);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct timespec due = {0}, at;
        /* Not time(2): it lags by up to a tick, and commands that end within that would be run again. */
        clock_gettime(CLOCK_REALTIME, &at);
        long second = atol(words[2]), now = at.tv_sec;
        due.tv_sec = now - now % 60 + second + (now % 60 >= second ? 60 : 0);
        while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &due, NULL) == EINTR) {}
        for (size_t i = 0; i < known; i++) {
            char *arguments[] = {"/bin/sh", "-c", commands[i], NULL};
            pid_t child;
            posix_spawn(&child, "/bin/sh", NULL, &session, arguments, environ);
        }
        while (wait(NULL) > 0 || errno == EINTR) {}
    }
}
