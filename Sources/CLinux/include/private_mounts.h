/*
 * What a worker mounts over what its zygote sees: /proc, /tmp and /dev/shm of its own, and nothing over what is hidden.
 */
#ifndef ZERROW_PRIVATE_MOUNTS_H
#define ZERROW_PRIVATE_MOUNTS_H

#include <stdint.h>

struct zerrow_private_mounts {
    /* The size of /tmp and of /dev/shm, each. */
    uint64_t tmp_bytes_max;
    /* Files and folders below /tmp that stay visible in the new one, separated by ':'; may be NULL. */
    const char *tmp_entries;
    /* Files and folders to cover so that they can't be seen, separated by ':'; may be NULL. */
    const char *hidden;
};

/*
 * Makes them, in the calling process's mount namespace, which nobody shares. 0; or a negative errno, with *stage, a
 * static string, saying what failed.
 */
int zerrow_private_mounts_make(const struct zerrow_private_mounts *mounts, const char **stage);

#endif
