#define _GNU_SOURCE
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/landlock.h as of version 6; a machine's headers may be older than its kernel. */
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
enum { SCOPE_ABSTRACT_SOCKETS = 1 << 0, SCOPE_SIGNALS = 1 << 1 };

#define WRITE_FILE (UINT64_C(1) << 1)
/* From REMOVE_DIR to MAKE_SYM: all that changes a folder. */
#define CHANGE_FOLDER (UINT64_C(0x1FF) << 4)
#define REFER (UINT64_C(1) << 13)
#define TRUNCATE (UINT64_C(1) << 14)
#define IOCTL_DEVICE (UINT64_C(1) << 15)

/* Before version 2 no file could be moved between folders at all, which is worse than what mounts keep anyway. */
#define FILES_VERSION 2
#define TRUNCATE_VERSION 3
#define IOCTL_VERSION 5
#define SCOPE_VERSION 6

int zerrow_landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version < 0 ? 0 : (int)version;
}

static int allow(int ruleset, const char *path, uint64_t access) {
    int parent = open(path, O_PATH | O_CLOEXEC);
    if (parent < 0)
        return errno == ENOENT ? 0 : -errno;
    struct rule rule = {.allowed = access, .parent = parent};
    int code = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
    close(parent);
    return code;
}

static int allow_own(int ruleset, uint64_t all) {
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    uint64_t of_files = WRITE_FILE | TRUNCATE | IOCTL_DEVICE;
    int code = allow(ruleset, "/tmp", all);
    if (code == 0)
        code = allow(ruleset, "/dev/shm", all);
    /* A process's own settings, such as a thread's name; what is the machine's is mounted read-only. */
    if (code == 0)
        code = allow(ruleset, "/proc", all & (WRITE_FILE | TRUNCATE));
    for (size_t i = 0; code == 0 && i < sizeof(devices) / sizeof(devices[0]); i++)
        code = allow(ruleset, devices[i], all & of_files);
    return code;
}

int zerrow_landlock_enter(void) {
    int version = zerrow_landlock_version(), in_force = 0;
    struct ruleset rights = {.file_access = 0};
    if (version >= FILES_VERSION) {
        rights.file_access = WRITE_FILE | CHANGE_FOLDER | REFER;
        in_force |= ZERROW_LANDLOCK_FILES;
    }
    if (version >= TRUNCATE_VERSION)
        rights.file_access |= TRUNCATE;
    if (version >= IOCTL_VERSION)
        rights.file_access |= IOCTL_DEVICE;
    if (version >= SCOPE_VERSION) {
        rights.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
        in_force |= ZERROW_LANDLOCK_SCOPE;
    }
    if (in_force == 0)
        return 0;
    /* An older kernel takes what is longer than it knows, if the rest is zero. */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
    if (ruleset < 0)
        return -errno;
    int code = rights.file_access ? allow_own(ruleset, rights.file_access) : 0;
    if (code == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        code = -errno;
    close(ruleset);
    return code < 0 ? code : in_force;
}
