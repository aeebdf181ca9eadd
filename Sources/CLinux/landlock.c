#define _GNU_SOURCE
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/landlock.h as of version 6. */
struct ruleset {
    uint64_t file_access;
    uint64_t network_access;
    uint64_t scoped;
};
struct __attribute__((packed)) rule {
    uint64_t allowed;
    int32_t parent;
};
enum { CREATE_VERSION = 1 << 0, RULE_PATH_BENEATH = 1 };
enum { BIND_TCP = 1 << 0, CONNECT_TCP = 1 << 1 };
enum { SCOPE_ABSTRACT_SOCKETS = 1 << 0, SCOPE_SIGNALS = 1 << 1 };

/* What a rule for a file, and not a folder, may name. */
#define OF_FILES                                                                                                       \
    (ZERROW_ACCESS_EXECUTE | ZERROW_ACCESS_WRITE_FILE | ZERROW_ACCESS_READ_FILE | ZERROW_ACCESS_TRUNCATE |             \
     ZERROW_ACCESS_IOCTL_DEVICE)

#define REFER_VERSION 2
#define TRUNCATE_VERSION 3
#define TCP_VERSION 4
#define IOCTL_VERSION 5
#define SCOPE_VERSION 6

int zerrow_landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version < 0 ? 0 : (int)version;
}

static uint64_t known(uint64_t files, int version) {
    if (version < 1)
        return 0;
    if (version < REFER_VERSION)
        files &= ~(uint64_t)ZERROW_ACCESS_REFER;
    if (version < TRUNCATE_VERSION)
        files &= ~(uint64_t)ZERROW_ACCESS_TRUNCATE;
    if (version < IOCTL_VERSION)
        files &= ~(uint64_t)ZERROW_ACCESS_IOCTL_DEVICE;
    return files;
}

int zerrow_landlock_open(struct zerrow_landlock *landlock, uint64_t files, int tcp, int scope) {
    int version = zerrow_landlock_version();
    struct ruleset rights = {
        .file_access = known(files, version),
        .network_access = tcp && version >= TCP_VERSION ? BIND_TCP | CONNECT_TCP : 0,
        .scoped = scope && version >= SCOPE_VERSION ? SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS : 0,
    };
    if (rights.file_access == 0 && rights.network_access == 0 && rights.scoped == 0)
        return -EOPNOTSUPP;
    /* An older kernel takes what is longer than it knows, if the rest is zero. */
    landlock->ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
    landlock->files = rights.file_access;
    return landlock->ruleset < 0 ? -errno : 0;
}

int zerrow_landlock_allow(const struct zerrow_landlock *landlock, const char *path, uint64_t access) {
    struct stat status = {.st_mode = 0};
    int code = 0, parent = open(path, O_PATH | O_CLOEXEC);
    if (parent < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (fstat(parent, &status) < 0)
        code = -errno;
    struct rule rule = {.allowed = access & landlock->files, .parent = parent};
    if (!S_ISDIR(status.st_mode))
        rule.allowed &= OF_FILES;
    /* A rule that allows nothing is refused by the kernel. */
    if (code == 0 && rule.allowed != 0 &&
        syscall(SYS_landlock_add_rule, landlock->ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
        code = -errno;
    close(parent);
    return code;
}

int zerrow_landlock_enter(struct zerrow_landlock *landlock) {
    int code = syscall(SYS_landlock_restrict_self, landlock->ruleset, 0) < 0 ? -errno : 0;
    zerrow_landlock_leave(landlock);
    return code;
}

void zerrow_landlock_leave(struct zerrow_landlock *landlock) {
    close(landlock->ruleset);
    landlock->ruleset = -1;
}

static int allow_own(const struct zerrow_landlock *landlock) {
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    int code = zerrow_landlock_allow(landlock, "/tmp", landlock->files);
    if (code == 0)
        code = zerrow_landlock_allow(landlock, "/dev/shm", landlock->files);
    /* A process's own settings, such as a thread's name; what is the machine's is mounted read-only. */
    if (code == 0)
        code = zerrow_landlock_allow(landlock, "/proc", ZERROW_ACCESS_WRITE_FILE | ZERROW_ACCESS_TRUNCATE);
    for (size_t i = 0; code == 0 && i < sizeof(devices) / sizeof(devices[0]); i++)
        code = zerrow_landlock_allow(landlock, devices[i], landlock->files);
    return code;
}

int zerrow_landlock_enter_worker(void) {
    uint64_t files = ZERROW_ACCESS_WRITE_FILE | ZERROW_ACCESS_CHANGE_FOLDER | ZERROW_ACCESS_REFER |
                     ZERROW_ACCESS_TRUNCATE | ZERROW_ACCESS_IOCTL_DEVICE;
    int version = zerrow_landlock_version();
    /* Before that version no file could be moved between folders at all, which is worse than what mounts keep anyway.
     */
    if (version < REFER_VERSION)
        return 0;
    struct zerrow_landlock landlock;
    int code = zerrow_landlock_open(&landlock, files, 0, 1);
    if (code < 0)
        return code;
    code = allow_own(&landlock);
    if (code == 0)
        code = zerrow_landlock_enter(&landlock);
    else
        zerrow_landlock_leave(&landlock);
    return code < 0 ? code : ZERROW_LANDLOCK_FILES | (version >= SCOPE_VERSION ? ZERROW_LANDLOCK_SCOPE : 0);
}
