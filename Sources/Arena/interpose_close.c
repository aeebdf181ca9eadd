/* The close family as the process sees it: a program that closes all descriptors it does not know may not close the
 * arena's. */
#include "arena.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

extern int __close(int fd);

static bool is_arena(int fd) { return atomic_load_explicit(&arena.open, memory_order_relaxed) && fd == arena.fd; }

EXPORT int close(int fd) {
    if (!is_arena(fd))
        return __close(fd);
    errno = EBADF;
    return -1;
}

EXPORT int close_range(unsigned first, unsigned last, int flags) {
    unsigned kept = (unsigned)arena.fd;
    if (!is_arena(arena.fd) || kept < first || last < kept)
        return (int)syscall(SYS_close_range, first, last, flags);
    if (first < kept && syscall(SYS_close_range, first, kept - 1, flags) != 0)
        return -1;
    return kept < last ? (int)syscall(SYS_close_range, kept + 1, last, flags) : 0;
}

EXPORT void closefrom(int first) {
    if (close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0) == 0)
        return;
    for (int fd = first < 0 ? 0 : first, end = getdtablesize(); fd < end; fd++)
        close(fd);
}
