/*
 * Confining a process that reads what strangers wrote, before it runs its program: the planner.
 *
 * Sources: setrlimit(2), capabilities(7), seccomp(2), landlock(7).
 */
#ifndef ZERROW_READER_SANDBOX_H
#define ZERROW_READER_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

struct zerrow_reader {
    /* Whether it has namespaces and a root of its own; else its limits and rights are all that confines it. */
    int is_isolated;
    /* The most memory that it may take, and the longest file that it may write. */
    uint64_t memory_bytes_max;
    uint64_t output_bytes_max;
    /* Without a root of its own: the files and folders that it may read, absolute, closed by NULL. */
    const char *const *read_paths;
};

/*
 * In the new process, which has one thread and is about to exec: limits, no capability, no new privileges, Landlock
 * where the kernel has it, and system call filters. There is no way back. 0 or a negative errno; without namespaces of
 * its own what the kernel lacks is left out.
 */
int zerrow_reader_confine(const struct zerrow_reader *reader);

#endif
