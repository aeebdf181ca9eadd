/*
 * What a worker mounts over what its zygote sees: /proc, /tmp and /dev/shm of its own, and nothing over what it may not
 * see.
 */
#ifndef ZERROW_PRIVATE_MOUNTS_H
#define ZERROW_PRIVATE_MOUNTS_H

#include <stdint.h>

/* A folder that is replaced by an empty one in which some of what lies in it, or further down, is shown again. */
struct zerrow_rebuilt_folder {
    const char *path;
    /* Absolute paths below it, closed by NULL. A link is shown as the same link; what is not there is left out. */
    const char *const *shown;
};

struct zerrow_private_mounts {
    /* The size of /tmp and of /dev/shm, each. */
    uint64_t tmp_bytes_max;
    /* Files and folders below /tmp that stay visible in the new one, closed by NULL; may be NULL. */
    const char *const *tmp_entries;
    /* Folders to replace, each before those that lie in it, closed by one without a path; may be NULL. */
    const struct zerrow_rebuilt_folder *rebuilt;
    /*
     * Files and folders to cover so that they can't be seen, after those are replaced, closed by NULL; may be NULL.
     * None lies in another one. What is not there any more needs no cover.
     */
    const char *const *covered;
    /*
     * Folders to show through a file system of the worker's own (overlayfs), before any of that, closed by NULL; may be
     * NULL. Files are the same to read, but locks, notices, named sockets and FIFOs are the worker's own: what it does
     * with them nobody outside sees. Nothing may be mounted below them. Where the kernel can't, they stay as they are.
     */
    const char *const *overlaid;
    /* A mount that is nowhere yet, to be attached at ZERROW_SCRATCH; none if it is not above 0. */
    int scratch;
};

/* Where a worker has the folder on a disk that is its own. */
#define ZERROW_SCRATCH "/tmp/scratch"

/* Whether this process's user can have overlaid folders; it tries in a process of its own. */
int zerrow_overlay_is_possible(void);

/*
 * Makes them, in the calling process's mount namespace, which nobody shares, a copy of a zygote's. 0; or a negative
 * errno, with *stage, a static string, saying what failed.
 */
int zerrow_private_mounts_make(const struct zerrow_private_mounts *mounts, const char **stage);

#endif
