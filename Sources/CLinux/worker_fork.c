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

/* Leaves open what zerrow_worker_place_descriptors does, and FIRST_FREE_DESCRIPTOR for `scratch`, if that is above 0.
 */
static int place_descriptors(int channel, int output, int scratch) {
    /* Out of the way first: either may have one of the numbers that are about to be taken. */
    channel = fcntl(channel, F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR);
    output = fcntl(output, F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR);
    if (scratch > 0)
        scratch = fcntl(scratch, F_DUPFD_CLOEXEC, FIRST_FREE_DESCRIPTOR + 1);
    if (channel < 0 || output < 0 || scratch < 0)
        return zerrow_worker_failed("moving descriptors");
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        dup3(channel, CHANNEL_DESCRIPTOR, O_CLOEXEC) < 0 ||
        (scratch > 0 && dup3(scratch, FIRST_FREE_DESCRIPTOR, O_CLOEXEC) < 0) ||
        syscall(SYS_close_range, (unsigned)FIRST_FREE_DESCRIPTOR + (scratch > 0), ~0U, 0U) < 0)
        return zerrow_worker_failed("placing descriptors");
    return 0;
}

EXPORTED int zerrow_worker_place_descriptors(int channel, int output) { return place_descriptors(channel, output, 0); }

/* Isolates a worker whose mount `spec` names by its place among the descriptors, which is closed again. */
static int enter(const struct zerrow_worker_spec *spec) {
    if (spec->scratch <= 0)
        return zerrow_worker_enter(spec);
    struct zerrow_worker_spec own = *spec;
    own.scratch = FIRST_FREE_DESCRIPTOR;
    int code = zerrow_worker_enter(&own);
    close(FIRST_FREE_DESCRIPTOR);
    return code;
}

static int become_worker(const struct zerrow_worker_spec *spec, int channel, int output) {
    int code = place_descriptors(channel, output, spec ? spec->scratch : 0);
    if (code == 0 && spec)
        code = enter(spec);
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
