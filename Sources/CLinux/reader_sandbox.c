#define _GNU_SOURCE
#include "reader_sandbox.h"
#include "landlock.h"
#include "system_call_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Processes and threads; libraries start some for each processor. */
#define PROCESSES_MAX 1024

/* Named pipes and sockets take what is written to them on a read-only mount, too; with these rights they do not. */
static int restrict_files(const struct zerrow_reader *reader) {
    uint64_t reading = ZERROW_ACCESS_EXECUTE | ZERROW_ACCESS_READ_FILE | ZERROW_ACCESS_READ_FOLDER;
    struct zerrow_landlock landlock;
    int code = zerrow_landlock_open(&landlock,
                                    reading | ZERROW_ACCESS_WRITE_FILE | ZERROW_ACCESS_CHANGE_FOLDER |
                                        ZERROW_ACCESS_REFER | ZERROW_ACCESS_TRUNCATE | ZERROW_ACCESS_IOCTL_DEVICE,
                                    1, 1);
    if (code == -EOPNOTSUPP)
        return 0;
    if (code < 0)
        return code;
    /* Of the host's /proc what is its own, and what libraries ask of the machine: others' environments are in there. */
    static const char *const kernels[] = {"/proc/self",        "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
                                          "/proc/filesystems", "/dev/urandom",  "/dev/random",   "/dev/zero"};
    /* What can't be opened, or allowed, can't be read: the reader itself says so. */
    if (reader->is_isolated)
        (void)zerrow_landlock_allow(&landlock, "/", reading);
    for (size_t i = 0; !reader->is_isolated && i < sizeof(kernels) / sizeof(kernels[0]); i++)
        (void)zerrow_landlock_allow(&landlock, kernels[i], ZERROW_ACCESS_READ_FILE | ZERROW_ACCESS_READ_FOLDER);
    for (const char *const *path = reader->read_paths; !reader->is_isolated && path && *path; path++)
        (void)zerrow_landlock_allow(&landlock, *path, reading);
    (void)zerrow_landlock_allow(&landlock, "/dev/null", ZERROW_ACCESS_READ_FILE | ZERROW_ACCESS_WRITE_FILE);
    return zerrow_landlock_enter(&landlock);
}

/* What a reader of files has no use for, beyond what no worker may do. */
static const long refused[] = {
    SYS_socket,       SYS_bind,    SYS_connect,  SYS_listen,  SYS_flock,  SYS_shmget,  SYS_semget,
    SYS_msgget,       SYS_mq_open, SYS_io_setup, SYS_mknodat, SYS_setsid, SYS_setpgid,
#ifdef SYS_mknod
    SYS_mknod,
#endif
#ifdef SYS_memfd_secret
    SYS_memfd_secret,
#endif
};
#define REFUSED_COUNT (sizeof(refused) / sizeof(refused[0]))

/* fcntl's commands for locks and leases, which would hold up others that use the same files. */
static const int locks[] = {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE};
#define LOCK_COUNT (sizeof(locks) / sizeof(locks[0]))

static int refuse_calls(void) {
    struct sock_filter code[8 + 2 * REFUSED_COUNT + 2 * LOCK_COUNT];
    unsigned short count = 0;
    /* The other filter kills what is called by another architecture's numbers. */
    code[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < REFUSED_COUNT; i++) {
        code[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)refused[i], 0, 1);
        code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    code[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 1, 0);
    code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]));
    for (size_t i = 0; i < LOCK_COUNT; i++) {
        code[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)locks[i], 0, 1);
        code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    code[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = count, .filter = code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Before Linux 5.14 the processes that a user has elsewhere count, too. */
static int counts_processes_by_namespace(void) {
    struct utsname names;
    int major = 0, minor = 0;
    return uname(&names) == 0 && sscanf(names.release, "%d.%d", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 14));
}

static int lower(int resource, uint64_t value) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return -errno;
    if (limit.rlim_max > value)
        limit.rlim_max = value;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int set_limits(const struct zerrow_reader *reader) {
    /* As in a worker: 1 also stops a dump into a program that the host's core_pattern names. */
    int code = lower(RLIMIT_CORE, 1);
    if (code == 0)
        code = lower(RLIMIT_DATA, reader->memory_bytes_max);
    if (code == 0)
        code = lower(RLIMIT_FSIZE, reader->output_bytes_max);
    if (code == 0 && reader->is_isolated && counts_processes_by_namespace())
        code = lower(RLIMIT_NPROC, PROCESSES_MAX);
    /* When memory is short, it goes before its caller. It may not be there to write; nothing rests on it. */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "500", 3);
        close(fd);
    }
    return code;
}

/* Root without namespaces goes on reading the files of those whose project it is asked for; else nothing is kept. */
static int drop_privileges(int is_isolated) {
    uint32_t kept = is_isolated || geteuid() != 0 ? 0 : 1u << CAP_DAC_READ_SEARCH;
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if ((capability > 31 || !(kept >> capability & 1)) && prctl(PR_CAPBSET_DROP, capability) < 0 && is_isolated)
            return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    memset(data, 0, sizeof(data));
    data[0].effective = data[0].permitted = kept;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int zerrow_reader_confine(const struct zerrow_reader *reader) {
    int code = set_limits(reader);
    /* It stays its caller's user, whom files of /proc/sys may belong to. */
    if (code == 0 && reader->is_isolated &&
        mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        code = -errno;
    if (code == 0)
        code = drop_privileges(reader->is_isolated);
    if (code == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        code = -errno;
    if (code == 0)
        code = restrict_files(reader);
    if (code == 0)
        code = zerrow_system_call_filter_install(0);
    if (code == 0)
        code = refuse_calls();
    return reader->is_isolated ? code : 0;
}
