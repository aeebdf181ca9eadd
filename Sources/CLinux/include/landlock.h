/*
 * Landlock (landlock(7)): rights that a process gives up for good, for itself and all that it starts, where the kernel
 * has them.
 */
#ifndef ZERROW_LANDLOCK_H
#define ZERROW_LANDLOCK_H

#include <stdint.h>

/* What is in force after zerrow_landlock_enter_worker(), as bits. */
enum {
    /* Nothing is written, made or removed but below /tmp and /dev/shm; with Linux 6.10 no device takes an ioctl. */
    ZERROW_LANDLOCK_FILES = 1 << 0,
    /* Abstract unix sockets and signals of others can't be reached. */
    ZERROW_LANDLOCK_SCOPE = 1 << 1,
};

/* Rights on files, of linux/landlock.h: a machine's headers may be older than its kernel. */
enum {
    ZERROW_ACCESS_EXECUTE = 1 << 0,
    ZERROW_ACCESS_WRITE_FILE = 1 << 1,
    ZERROW_ACCESS_READ_FILE = 1 << 2,
    ZERROW_ACCESS_READ_FOLDER = 1 << 3,
    /* From REMOVE_DIR to MAKE_SYM: all that changes a folder. */
    ZERROW_ACCESS_CHANGE_FOLDER = 0x1ff << 4,
    ZERROW_ACCESS_REFER = 1 << 13,
    ZERROW_ACCESS_TRUNCATE = 1 << 14,
    ZERROW_ACCESS_IOCTL_DEVICE = 1 << 15,
};

/* Rights that a process is about to give up. Of whoever opened it, until it is entered or left. */
struct zerrow_landlock {
    int ruleset;
    /* The rights on files that are given up, of those that were named: the kernel knows these. */
    uint64_t files;
};

/* The version of Landlock's interface; 0 where there is none. */
int zerrow_landlock_version(void);

/*
 * Begins to give up rights: on files these, those on TCP if asked to, and, if asked to, abstract sockets and signals of
 * others. What the kernel does not have is left out.
 *
 * Returns 0 or a negative errno; -EOPNOTSUPP where the kernel has none of them.
 */
int zerrow_landlock_open(struct zerrow_landlock *landlock, uint64_t files, int tcp, int scope);

/* Keeps rights on a file, or on all below a folder. What is not there needs none. Returns 0 or a negative errno. */
int zerrow_landlock_allow(const struct zerrow_landlock *landlock, const char *path, uint64_t access);

/* Restricts the calling thread and all that it starts, for good; no_new_privs must be set. Returns 0 or a negative
 * errno. */
int zerrow_landlock_enter(struct zerrow_landlock *landlock);

/* Gives nothing up after all. */
void zerrow_landlock_leave(struct zerrow_landlock *landlock);

/*
 * Restricts a worker: zerrow_landlock_enter with what adds to a worker's mounts and namespaces.
 *
 * Returns the bits of what is in force, or a negative errno.
 */
int zerrow_landlock_enter_worker(void);

#endif
