#define _GNU_SOURCE
#include "include/mapped_file.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

struct range {
    uintptr_t start;
    uintptr_t end;
    const struct range *next;
};

/* Only ever grows, and what is in it never changes: the handler may run at any time, in any thread. */
static _Atomic(const struct range *) ranges;

static uintptr_t page_bytes;

/* Puts zeros in place of what is behind the end of the file: all from the page of the fault to the mapping's end. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
    (void)context;
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    for (const struct range *range = atomic_load(&ranges); range != NULL; range = range->next) {
        if (info->si_code != BUS_ADRERR || address < range->start || address >= range->end)
            continue;
        uintptr_t page = address & ~(page_bytes - 1);
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
        if (mmap((void *)page, range->end - page, PROT_READ, flags, -1, 0) == MAP_FAILED)
            break;
        errno = saved;
        return;
    }
    /* The access is tried again, and ends the process. */
    signal(number, SIG_DFL);
    errno = saved;
}

EXPORTED int zerrow_worker_guard(const void *start, size_t bytes) {
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    if ((uintptr_t)start % page_bytes != 0)
        return -EINVAL;
    struct range *range = malloc(sizeof *range);
    if (range == NULL)
        return -ENOMEM;
    range->start = (uintptr_t)start;
    range->end = (range->start + bytes + page_bytes - 1) & ~(page_bytes - 1);
    range->next = atomic_load(&ranges);
    while (!atomic_compare_exchange_weak(&ranges, &range->next, range))
        ;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}
