/*
 * What Landlock adds to a worker's mounts and namespaces, where the kernel has it (landlock(7)).
 */
#ifndef ZERROW_LANDLOCK_H
#define ZERROW_LANDLOCK_H

/* What is in force after zerrow_landlock_enter(), as bits. */
enum {
    /* Nothing is written, made or removed but below /tmp and /dev/shm; with Linux 6.10 no device takes an ioctl. */
    ZERROW_LANDLOCK_FILES = 1 << 0,
    /* Abstract unix sockets and signals of others can't be reached. */
    ZERROW_LANDLOCK_SCOPE = 1 << 1,
};

/* The version of Landlock's interface; 0 where there is none. */
int zerrow_landlock_version(void);

/*
 * Restricts the calling thread and all that it starts, for good; no_new_privs must be set. What the kernel does not
 * have is left out.
 *
 * Returns the bits of what is in force, or a negative errno.
 */
int zerrow_landlock_enter(void);

#endif
