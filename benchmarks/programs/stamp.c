/* stamp FILE WORD: append the instant at which this program began (ns since 1970) and the word to a file. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
    struct timespec now;
    char line[128];
    if (clock_gettime(CLOCK_REALTIME, &now) || count != 3) return 2;
    int length = snprintf(line, sizeof line, "%lld %.90s\n", now.tv_sec * 1000000000LL + now.tv_nsec, words[2]);
    int file = open(words[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
    return write(file, line, length) != length;
}
