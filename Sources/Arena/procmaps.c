/* This process's mappings, read from /proc/self/maps without allocating. */
#include "arena.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t number(const char **at, unsigned radix) {
    uint64_t value = 0;
    for (;; ++*at) {
        char c = **at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= radix)
            return value;
        value = value * radix + digit;
    }
}

/* One line: low-high rwxp offset major:minor inode   name */
static struct procmap parse(const char *at) {
    struct procmap map = {0};
    map.low = number(&at, 16);
    at++;
    map.high = number(&at, 16);
    at++;
    if (at[0] == 'r')
        map.protection |= PROT_READ;
    if (at[1] == 'w')
        map.protection |= PROT_WRITE;
    if (at[2] == 'x')
        map.protection |= PROT_EXEC;
    map.shared = at[3] == 's';
    at += 5;
    map.offset = number(&at, 16);
    at++;
    number(&at, 16);
    at++;
    number(&at, 16);
    at++;
    map.inode = number(&at, 10);
    while (*at == ' ')
        at++;
    map.named = *at != 0 && strncmp(at, "[anon:", 6) != 0;
    return map;
}

bool procmaps_each(void (*visit)(const struct procmap *map, void *context), void *context) {
    static char buffer[32 * 1024];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t held = 0;
    bool whole = true;
    for (;;) {
        ssize_t got = read(fd, buffer + held, sizeof buffer - 1 - held);
        if (got <= 0) {
            whole = got == 0 && held == 0;
            break;
        }
        held += (size_t)got;
        buffer[held] = 0;
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = 0;
            struct procmap map = parse(line);
            visit(&map, context);
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
    }
    close(fd);
    return whole;
}
