#define _GNU_SOURCE
#include "socket_scope.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/landlock.h as of ABI 6; a machine's headers may be older than its kernel. */
struct ruleset {
    uint64_t file_access;
    uint64_t network_access;
    uint64_t scoped;
};
enum { SCOPE_ABSTRACT_SOCKETS = 1 << 0, SCOPE_SIGNALS = 1 << 1 };

int zerrow_socket_scope_enter(void) {
    struct ruleset scope = {.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &scope, sizeof(scope), 0);
    if (fd < 0)
        return -errno;
    int code = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
    close(fd);
    return code;
}
