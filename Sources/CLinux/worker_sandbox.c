#define _GNU_SOURCE
#include "worker_sandbox.h"
#include "landlock.h"
#include "private_mounts.h"
#include "system_call_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

/* Processes and threads of one worker, where it has a user of its own. */
#define PROCESSES_MAX 4096
/* So many more for each pair of processors where workers share a user: as many workers as processors, each with as many
 * threads. */
#define PROCESSES_PER_PAIR 8

/* Descriptors of a worker whose engine may have any number. */
#define FILES_MAX 524288

static const char *stage = "nothing";
/* The zygote's own pid namespace; opened once, before there is any other. */
static int own_pid_namespace = -1;

EXPORTED const char *zerrow_worker_stage(void) { return stage; }

int zerrow_worker_failed(const char *what) {
    stage = what;
    return -errno;
}

static int failed(const char *what) { return zerrow_worker_failed(what); }

/* What is dropped stays dropped in all that is forked from now on; the caller keeps the capabilities that it has. */
static int drop_bounding_set(void) {
    int has = 0;
    for (int capability = 0; (has = prctl(PR_CAPBSET_READ, capability)) >= 0; capability++)
        if (has > 0 && prctl(PR_CAPBSET_DROP, capability) < 0)
            return failed("dropping the bounding set");
    return 0;
}

EXPORTED int zerrow_fork_prepare(void) {
    /* Once, in the zygote, which executes nothing: it takes a worker forty calls that each copy its credentials. */
    int code = own_pid_namespace < 0 ? drop_bounding_set() : 0;
    if (code < 0)
        return code;
    if (own_pid_namespace < 0)
        own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own_pid_namespace < 0)
        return failed("opening the pid namespace");
    return unshare(CLONE_NEWPID) < 0 ? failed("making a pid namespace") : 0;
}

EXPORTED int zerrow_fork_restore(void) {
    return setns(own_pid_namespace, CLONE_NEWPID) < 0 ? failed("returning to the pid namespace") : 0;
}

/*
 * Half of what the engine may have: the kernel counts the descriptors that all of a user's processes have on their way
 * together, and compares with the limit of whoever sends the next one. So the engine and zygotes can send whatever
 * workers do.
 */
static int limit_descriptors(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return failed("reading the limit of descriptors");
    files.rlim_max = files.rlim_max == RLIM_INFINITY ? FILES_MAX : files.rlim_max / 2;
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? failed("limiting descriptors") : 0;
}

/* What the kernel counts by user, for all of the user's processes: no worker may have more than half of it. */
static int halve_limit(int resource) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return failed("reading a limit");
    if (limit.rlim_max == RLIM_INFINITY)
        return 0;
    limit.rlim_max = limit.rlim_max / 2;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) < 0 ? failed("lowering a limit") : 0;
}

/*
 * The kernel counts a user's processes within the zygote's user namespace and below (since Linux 5.14): those of a
 * worker, where that has a user of its own, else those of all workers of the zygote. The zygote's own limit is higher:
 * it can fork when its workers can't.
 */
static int limit_processes(const struct zerrow_worker_spec *spec) {
    struct rlimit processes;
    rlim_t most = PROCESSES_MAX;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (getrlimit(RLIMIT_NPROC, &processes) < 0)
        return failed("reading the limit of processes");
    if (spec->uid == 0 && processors > 0)
        most += (rlim_t)processors * (rlim_t)processors * PROCESSES_PER_PAIR;
    if (spec->uid == 0 && processes.rlim_max / 2 < most)
        most = processes.rlim_max / 2;
    if (processes.rlim_max < most)
        most = processes.rlim_max;
    processes.rlim_cur = processes.rlim_max = most;
    return setrlimit(RLIMIT_NPROC, &processes) < 0 ? failed("limiting processes") : 0;
}

static int set_limits(const struct zerrow_worker_spec *spec) {
    /* 0 would not stop a dump into a program that the host's core_pattern names; 1 stops that, and files: core(5). */
    struct rlimit none = {1, 1};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return failed("forbidding core dumps");
    int code = limit_descriptors();
    if (code == 0)
        code = limit_processes(spec);
    if (code == 0)
        code = halve_limit(RLIMIT_SIGPENDING);
    if (code == 0)
        code = halve_limit(RLIMIT_MEMLOCK);
    if (code < 0)
        return code;
    /* When memory is short, a worker goes before the engine. It may not be there to write; nothing rests on it. */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "500", 3);
        close(fd);
    }
    return 0;
}

static int drop_privileges(const struct zerrow_worker_spec *spec) {
    int code = drop_bounding_set();
    if (code < 0)
        return code;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return failed("dropping ambient capabilities");
    if (spec->uid != 0 && (setgroups(0, NULL) < 0 || setresgid(spec->uid, spec->uid, spec->uid) < 0 ||
                           setresuid(spec->uid, spec->uid, spec->uid) < 0))
        return failed("becoming the worker's user");
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    memset(data, 0, sizeof(data));
    if (syscall(SYS_capset, &header, data) < 0)
        return failed("dropping capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return failed("forbidding new privileges");
    /* Changing the user made /proc/self the host's root's; the arena reads its own page map there. */
    if (prctl(PR_SET_DUMPABLE, 1) < 0)
        return failed("owning /proc/self");
    return 0;
}

EXPORTED int zerrow_worker_enter(const struct zerrow_worker_spec *spec) {
    /*
     * kill(0) knows no pid namespaces: left in the zygote's process group, a worker could kill all workers of its user.
     */
    if (setsid() < 0)
        return failed("leaving the zygote's session");
    /* What an IPC namespace would hold, the filter refuses: queues, semaphores and memory of System V, POSIX queues. */
    int flags = CLONE_NEWNS | (spec->has_network ? 0 : CLONE_NEWNET);
    if (unshare(flags) < 0)
        return failed("making namespaces");
    struct zerrow_private_mounts mounts = {
        .tmp_bytes_max = spec->tmp_bytes_max,
        .tmp_entries = spec->tmp_entries,
        .rebuilt = spec->rebuilt,
        .covered = spec->covered,
        .overlaid = spec->overlaid,
        .scratch = spec->scratch,
    };
    int code = zerrow_private_mounts_make(&mounts, &stage);
    if (code == 0)
        code = set_limits(spec);
    if (code == 0)
        code = drop_privileges(spec);
    if (code < 0)
        return code;
    int landlock = zerrow_landlock_enter_worker();
    if (landlock < 0) {
        stage = "entering Landlock";
        return landlock;
    }
    /*
     * With a network namespace of its own nobody else hears a worker's sockets. In the host's, abstract names would be
     * a way to pass descriptors, such as that of a segment which is writable until its worker is dead.
     */
    int allows_unix_sockets = !spec->has_network || landlock & ZERROW_LANDLOCK_SCOPE;
    if ((code = zerrow_system_call_filter_install(allows_unix_sockets)) < 0)
        stage = "installing the system call filter";
    return code;
}
