#define _GNU_SOURCE
#include "worker_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

#define CHANNEL_DESCRIPTOR 3
#define FIRST_FREE_DESCRIPTOR 4

EXPORTED int zerrow_worker_place_descriptors(int channel, int output) {
    /* Out of the way first: either may have one of the numbers that are about to be taken. */
    channel = fcntl(channel, F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR);
    output = fcntl(output, F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR);
    if (channel < 0 || output < 0)
        return zerrow_worker_failed("moving descriptors");
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        dup3(channel, CHANNEL_DESCRIPTOR, O_CLOEXEC) < 0 ||
        syscall(SYS_close_range, (unsigned)FIRST_FREE_DESCRIPTOR, ~0U, 0U) < 0)
        return zerrow_worker_failed("placing descriptors");
    return 0;
}

static int become_worker(const struct zerrow_worker_spec *spec, int channel, int output) {
    int code = zerrow_worker_place_descriptors(channel, output);
    if (code == 0 && spec)
        code = zerrow_worker_enter(spec);
    else if (code == 0 && setpgid(0, 0) < 0)
        code = zerrow_worker_failed("leading a process group");
    return code;
}

EXPORTED int zerrow_fork_worker(const struct zerrow_worker_spec *spec, int channel, int output, int *pidfd) {
    int code = spec ? zerrow_fork_prepare() : 0;
    if (code < 0)
        return code;
    pid_t pid = fork();
    if (pid == 0) {
        *pidfd = become_worker(spec, channel, output);
        return 0;
    }
    if (pid < 0)
        code = zerrow_worker_failed("forking");
    int restored = spec ? zerrow_fork_restore() : 0;
    if (code == 0)
        code = restored;
    if (code == 0 && (*pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) < 0)
        code = zerrow_worker_failed("opening a pidfd");
    if (code == 0)
        return pid;
    if (pid > 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return code;
}
