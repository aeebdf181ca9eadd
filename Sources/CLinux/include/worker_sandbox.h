/*
 * Isolating a worker: what a process that a zygote has forked does to itself before it runs a model.
 *
 * The functions are exported from libzerrow_worker.so for the zygote's and the worker's Python. They return 0 or a
 * negative errno; zerrow_worker_stage() says what failed. Sources: namespaces(7), capabilities(7), seccomp(2).
 */
#ifndef ZERROW_WORKER_SANDBOX_H
#define ZERROW_WORKER_SANDBOX_H

#include "private_mounts.h"

#include <stdint.h>

/*
 * In the zygote: the next fork makes the first process of a new pid namespace. To be followed, after the fork, by
 * zerrow_fork_restore() in the parent.
 */
int zerrow_fork_prepare(void);
int zerrow_fork_restore(void);

struct zerrow_worker_spec {
    /* The user and group to become, in the zygote's user namespace; 0 stays what the zygote is. */
    uint32_t uid;
    /* 1: the zygote's network namespace is the host's, and stays. 0: a new one with nothing in it. */
    uint32_t has_network;
    /* The size of /tmp and of /dev/shm, each. */
    uint64_t tmp_bytes_max;
    /* What it sees of the file system, as in zerrow_private_mounts. */
    const char *const *tmp_entries;
    const struct zerrow_rebuilt_folder *rebuilt;
    const char *const *covered;
    const char *const *overlaid;
    /* As in zerrow_private_mounts. */
    int32_t scratch;
};

/*
 * In the forked child, which has one thread: new mounts of /proc, /tmp and /dev/shm that show nothing of others, no
 * network, its own user, no capabilities, no new privileges, Landlock, the system call filter. There is no way back.
 */
int zerrow_worker_enter(const struct zerrow_worker_spec *spec);

/*
 * In the zygote, which has one thread: forks a worker and has it isolate itself as zerrow_worker_enter() does, as the
 * first process of a new pid namespace; without a spec it only leads a process group of its own. Gives the pid, and a
 * pidfd that the caller closes. A worker that can't be watched is killed at once.
 *
 * In the worker it gives 0, and *pidfd is 0 or a negative errno. The worker has exactly these descriptors: 0 reads
 * nothing, 1 and 2 are the output, 3 is the channel.
 */
int zerrow_fork_worker(const struct zerrow_worker_spec *spec, int channel, int output, int *pidfd);

/* In a forked child: leave exactly these descriptors open. */
int zerrow_worker_place_descriptors(int channel, int output);

/* What the last of these functions was doing; a static string. */
const char *zerrow_worker_stage(void);

/* Among these functions: notes what one was doing when it failed, and gives its negative errno. */
int zerrow_worker_failed(const char *what);

#endif
