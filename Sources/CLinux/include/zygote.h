/*
 * Spawning a process in namespaces of its own, with a private root that shows a few folders read-only: a zygote, which
 * isolates others, or a reader, which keeps no privilege at all.
 *
 * Everything between the clone and the exec runs in the child of a process that may have threads, so it is C that uses
 * nothing but system calls. Sources: clone3(2), user_namespaces(7), mount_setattr(2), open_tree(2), pivot_root(2).
 */
#ifndef ZERROW_ZYGOTE_H
#define ZERROW_ZYGOTE_H

#include "reader_sandbox.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One thing that the private root shows. */
struct zerrow_zygote_entry {
    /* A file or folder of the host, shown read-only at the same path; or the path of a symbolic link. Absolute. */
    const char *path;
    /* The content of the symbolic link; NULL for a file or folder. */
    const char *link;
};

struct zerrow_zygote_spec {
    /* NULL-terminated; arguments[0] is the absolute path of the program. */
    const char *const *arguments;
    const char *const *environment;
    /* Ancestors before what lies below them. */
    const struct zerrow_zygote_entry *entries;
    size_t entry_count;
    /* Borrowed: become descriptors 3, 1 and 2. */
    int control;
    int output;
    int errors;
    /* User and group ids 0 … id_count - 1 inside are id_first … outside. One id needs no privilege: the caller's own.
     */
    uint32_t id_first;
    uint32_t group_first;
    uint32_t id_count;
    /* Whether it stays in the caller's network namespace; else it has one with nothing in it. */
    int has_network;
    /* The size of /tmp and of /dev/shm, each. */
    uint64_t tmp_bytes_max;
    /* NULL for a zygote. A reader that is not isolated has no namespaces: of the rest of this only descriptors count.
     */
    const struct zerrow_reader *reader;
};

/* How far the child had come when something failed. */
enum zerrow_zygote_stage {
    ZERROW_STAGE_NONE = 0,
    ZERROW_STAGE_CLONE,
    ZERROW_STAGE_ID_MAP,
    ZERROW_STAGE_ENTRY,
    ZERROW_STAGE_IDENTITY,
    ZERROW_STAGE_ROOT,
    ZERROW_STAGE_DEVICES,
    ZERROW_STAGE_PROC,
    ZERROW_STAGE_PIVOT,
    ZERROW_STAGE_DESCRIPTORS,
    ZERROW_STAGE_CONFINE,
    ZERROW_STAGE_EXEC,
};

struct zerrow_zygote_failure {
    int stage;
    int error;
    /* The entry that failed, where the stage is about entries. */
    int entry;
};

/*
 * Starts the process and waits until it has exec'ed. It is the first process of its pid namespace and dies with the
 * calling thread. A zygote keeps all capabilities in its user namespace, which it needs to isolate workers.
 *
 * Returns 0 with *pid and *pidfd (close-on-exec, the caller's), or -1 with *failure; then nothing is left behind.
 */
int zerrow_zygote_spawn(const struct zerrow_zygote_spec *spec, pid_t *pid, int *pidfd,
                        struct zerrow_zygote_failure *failure);

/*
 * Forks the calling process, which has one thread, into namespaces of its own, with the caller's id alone in them. The
 * child sees and may what the caller does until it becomes a reader; it must run nothing of a stranger's before.
 *
 * Returns the child's pid with *pidfd (close-on-exec, the caller's), 0 in the child, or a negative errno.
 */
pid_t zerrow_fork_reader(int *pidfd);

/*
 * Makes the calling process, which zerrow_fork_reader has made, what zerrow_zygote_spawn would have started: same root,
 * same limits, same filters, nothing open but its descriptors; it dies with the process that has forked it.
 *
 * paths: what the private root shows, `count` of them; links: of what is a symbolic link its content, else "".
 * descriptors: those that become 3, 1 and 2, and a pipe that ends when the process that has forked it is dead.
 * bytes_max: those of its /tmp, of its memory, and of its output.
 *
 * Returns 0 or a negative errno; where something can't be done that comes later, the process exits with 127.
 */
int zerrow_fork_become_reader(const char *const *paths, const char *const *links, uint64_t count,
                              const int32_t descriptors[4], const uint64_t bytes_max[3]);

#endif
