#define _GNU_SOURCE
#include "zygote.h"
#include "id_map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

#define EXPORTED __attribute__((visibility("default")))

/* Entries beyond this many are refused: their trees are held open at the same time. */
#define ENTRIES_MAX 256

static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))

/* Those that every process has that is isolated; a network of its own comes to it. */
#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

/* The data that the child needs; on the parent's stack, read by the child from its copy. */
struct child {
    const struct zerrow_zygote_spec *spec;
    int may_go;  /* the child reads: one byte when its ids are mapped, the end when the parent is dead */
    int failure; /* the child writes its failure here; closed by the exec */
    int trees[ENTRIES_MAX];
    int device_trees[DEVICE_COUNT];
};

static int clone_tree(const char *path) {
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
}

static int set_attributes(int fd, const char *path, unsigned int flags, uint64_t set) {
    /* Private: mounts that the host makes later must not appear in a zygote, where they would be writable. */
    struct mount_attr attributes = {.attr_set = set, .propagation = MS_PRIVATE};
    return (int)syscall(SYS_mount_setattr, fd, path, flags, &attributes, sizeof(attributes));
}

static int has_namespaces(const struct zerrow_zygote_spec *spec) { return !spec->reader || spec->reader->is_isolated; }

static _Noreturn void fail(const struct child *child, int stage, int entry) {
    struct zerrow_zygote_failure failure = {.stage = stage, .error = errno, .entry = entry};
    while (write(child->failure, &failure, sizeof(failure)) < 0 && errno == EINTR)
        ;
    _exit(127);
}

enum leaf { LEAF_FOLDER, LEAF_FILE, LEAF_NONE };

/* Makes the folders of a path below the current one, and what is at its end; what is there stays. */
static int make_folders(const char *path, enum leaf leaf) {
    char text[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof(text)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(text, path, length + 1);
    for (char *slash = strchr(text, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (*text && mkdir(text, 0755) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    if (leaf == LEAF_NONE)
        return 0;
    if (leaf == LEAF_FOLDER)
        return mkdir(text, 0755) < 0 && errno != EEXIST ? -1 : 0;
    int fd = open(text, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : close(fd);
}

/* Puts a tree of the host in its place in the new root, which is the current folder. */
static int place(int tree, const char *path) {
    struct stat status;
    const char *relative = path + 1;
    if (fstat(tree, &status) < 0)
        return -1;
    struct stat there;
    if (stat(relative, &there) < 0 && make_folders(relative, S_ISDIR(status.st_mode) ? LEAF_FOLDER : LEAF_FILE) < 0)
        return -1;
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, relative, MOVE_MOUNT_F_EMPTY_PATH);
}

/* The trees are opened while the child still is the caller to the file system: it may enter the caller's folders. */
static void open_entries(struct child *child) {
    for (size_t i = 0; i < child->spec->entry_count; i++) {
        if (child->spec->entries[i].link)
            continue;
        child->trees[i] = clone_tree(child->spec->entries[i].path);
        uint64_t set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        if (child->trees[i] < 0 || set_attributes(child->trees[i], "", AT_EMPTY_PATH | AT_RECURSIVE, set) < 0)
            fail(child, ZERROW_STAGE_ENTRY, (int)i);
    }
    for (size_t i = 0; i < DEVICE_COUNT; i++) {
        child->device_trees[i] = clone_tree(devices[i]);
        if (child->device_trees[i] < 0 ||
            set_attributes(child->device_trees[i], "", AT_EMPTY_PATH, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) < 0)
            fail(child, ZERROW_STAGE_DEVICES, (int)i);
    }
}

static void make_root(struct child *child) {
    const struct zerrow_zygote_spec *spec = child->spec;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        fail(child, ZERROW_STAGE_ROOT, 0);
    /* Any folder will do: the host's /tmp is covered in this namespace only, and gone with the old root. */
    if (mount("zerrow", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0 || chdir("/tmp") < 0)
        fail(child, ZERROW_STAGE_ROOT, 1);
    for (size_t i = 0; i < spec->entry_count; i++) {
        const char *path = spec->entries[i].path;
        if (spec->entries[i].link) {
            if (make_folders(path + 1, LEAF_NONE) < 0 ||
                (symlink(spec->entries[i].link, path + 1) < 0 && errno != EEXIST))
                fail(child, ZERROW_STAGE_ENTRY, (int)i);
        } else if (place(child->trees[i], path) < 0) {
            fail(child, ZERROW_STAGE_ENTRY, (int)i);
        }
    }
}

static void make_devices(struct child *child) {
    char size[64];
    snprintf(size, sizeof(size), "mode=1777,size=%llu", (unsigned long long)child->spec->tmp_bytes_max);
    if (mkdir("dev", 0755) < 0)
        fail(child, ZERROW_STAGE_DEVICES, -1);
    for (size_t i = 0; i < DEVICE_COUNT; i++)
        if (place(child->device_trees[i], devices[i]) < 0)
            fail(child, ZERROW_STAGE_DEVICES, (int)i);
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                           {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"},
                                           {"/proc/self/fd/2", "dev/stderr"}};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            fail(child, ZERROW_STAGE_DEVICES, -2);
    if ((mkdir("dev/shm", 0755) < 0) || mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, size) < 0)
        fail(child, ZERROW_STAGE_DEVICES, -3);
    /* An entry below one of them, such as the project's folder, may have made it. */
    if ((mkdir("tmp", 0755) < 0 && errno != EEXIST) || (mkdir("proc", 0755) < 0 && errno != EEXIST))
        fail(child, ZERROW_STAGE_DEVICES, -4);
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        fail(child, ZERROW_STAGE_PROC, 0);
}

static void enter_root(struct child *child) {
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
        set_attributes(AT_FDCWD, "/", 0, MOUNT_ATTR_RDONLY) < 0)
        fail(child, ZERROW_STAGE_PIVOT, 0);
}

/* 0 reads nothing, 1 is the output, 2 what is said of errors, 3 is the control socket, and nothing else is open after
 * the exec. */
static void place_descriptors(struct child *child) {
    int output = fcntl(child->spec->output, F_DUPFD, 16);
    int errors = fcntl(child->spec->errors, F_DUPFD, 16);
    int control = fcntl(child->spec->control, F_DUPFD, 16);
    int failure = fcntl(child->failure, F_DUPFD_CLOEXEC, 16);
    int nothing = open("/dev/null", O_RDONLY);
    if (output < 0 || errors < 0 || control < 0 || failure < 0 || nothing < 0 || dup2(nothing, 0) < 0 ||
        dup2(output, 1) < 0 || dup2(errors, 2) < 0 || dup2(control, 3) < 0 || dup2(failure, 4) < 0 ||
        fcntl(4, F_SETFD, FD_CLOEXEC) < 0)
        fail(child, ZERROW_STAGE_DESCRIPTORS, 0);
    child->failure = 4;
    if (syscall(SYS_close_range, 5U, ~0U, 0U) < 0)
        fail(child, ZERROW_STAGE_DESCRIPTORS, 1);
}

static void reset_signals(void) {
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The process becomes user 0 of its namespace, and sees nothing but its private root from then on. */
static void isolate(struct child *child) {
    const struct zerrow_zygote_spec *spec = child->spec;
    open_entries(child);
    /* With one id the groups of the caller stay: they can't be given up without privilege. */
    if (spec->id_count > 1 && syscall(SYS_setgroups, 0, NULL) < 0)
        fail(child, ZERROW_STAGE_IDENTITY, 0);
    /* libc's functions would tell the parent's other threads, which are not here, and take a lock that one may hold. */
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        fail(child, ZERROW_STAGE_IDENTITY, 1);
    make_root(child);
    make_devices(child);
    enter_root(child);
    (void)!sethostname("zerrow", 6);
}

/* All that comes between the new process and its program: at the end it sees, may and has open what `spec` says. */
static void enter(struct child *child) {
    const struct zerrow_zygote_spec *spec = child->spec;
    /* Before the root is made: workers, who are other users, have to get through its folders. */
    umask(022);
    if (has_namespaces(spec))
        isolate(child);
    else if (chdir("/") < 0)
        fail(child, ZERROW_STAGE_ROOT, 2);
    /* No controlling terminal: nothing of the user's to type into, and no Ctrl-C that is meant for the engine. */
    setsid();
    /* After the ids have changed, which resets it. The parent may have died before: then the pipe has ended. */
    struct pollfd parent = {.fd = child->may_go, .events = POLLIN};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 || poll(&parent, 1, 0) != 0)
        _exit(127);
    place_descriptors(child);
    reset_signals();
    int code = spec->reader ? zerrow_reader_confine(spec->reader) : 0;
    if (code < 0) {
        errno = -code;
        fail(child, ZERROW_STAGE_CONFINE, 0);
    }
}

static _Noreturn void run_child(struct child *child) {
    const struct zerrow_zygote_spec *spec = child->spec;
    char go;
    ssize_t count;
    while ((count = read(child->may_go, &go, 1)) < 0 && errno == EINTR)
        ;
    if (count != 1)
        _exit(127);
    enter(child);
    execve(spec->arguments[0], (char *const *)spec->arguments, (char *const *)spec->environment);
    fail(child, ZERROW_STAGE_EXEC, 0);
}

static int give_up(pid_t pid, int pidfd, struct zerrow_zygote_failure *failure, int stage, int error) {
    if (pid > 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        close(pidfd);
    }
    if (stage)
        *failure = (struct zerrow_zygote_failure){.stage = stage, .error = error};
    return -1;
}

int zerrow_zygote_spawn(const struct zerrow_zygote_spec *spec, pid_t *pid, int *pidfd,
                        struct zerrow_zygote_failure *failure) {
    int go[2], report[2];
    if (spec->entry_count > ENTRIES_MAX)
        return give_up(0, -1, failure, ZERROW_STAGE_ENTRY, E2BIG);
    if (pipe2(go, O_CLOEXEC) < 0)
        return give_up(0, -1, failure, ZERROW_STAGE_CLONE, errno);
    if (pipe2(report, O_CLOEXEC) < 0) {
        int error = errno;
        close(go[0]);
        close(go[1]);
        return give_up(0, -1, failure, ZERROW_STAGE_CLONE, error);
    }
    struct child child = {.spec = spec, .may_go = go[0], .failure = report[1]};
    uint64_t namespaces = NAMESPACES | (spec->has_network ? 0 : CLONE_NEWNET);
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | (has_namespaces(spec) ? namespaces : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    /* Containers that forbid namespaces often know no clone3 either. */
    pid_t made = has_namespaces(spec) ? (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments))
                                      : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (made == 0) {
        close(go[1]);
        run_child(&child);
    }
    int error = errno;
    close(go[0]);
    close(report[1]);
    if (made > 0 && !has_namespaces(spec) && (*pidfd = (int)syscall(SYS_pidfd_open, made, 0)) < 0) {
        error = errno;
        kill(made, SIGKILL);
        waitpid(made, NULL, 0);
        made = -1;
    }
    int stage = made < 0 ? ZERROW_STAGE_CLONE : ZERROW_STAGE_NONE;
    struct zerrow_id_map map = {0, spec->id_first, 0, spec->group_first, spec->id_count};
    if (made > 0 && has_namespaces(spec) && zerrow_id_map_write(made, &map) < 0) {
        stage = ZERROW_STAGE_ID_MAP;
        error = errno;
    }
    ssize_t count = 0;
    if (stage == ZERROW_STAGE_NONE) {
        (void)!write(go[1], "g", 1);
        while ((count = read(report[0], failure, sizeof(*failure))) < 0 && errno == EINTR)
            ;
    }
    /* The child has exec'ed, or has failed, or is given up below: it needs the pipe no more. */
    close(go[1]);
    close(report[0]);
    *pid = made;
    if (stage != ZERROW_STAGE_NONE)
        return give_up(made, *pidfd, failure, stage, error);
    return count == 0 ? 0 : give_up(made, *pidfd, failure, 0, 0);
}

EXPORTED pid_t zerrow_fork_reader(int *pidfd) {
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0)
        return -errno;
    struct clone_args arguments = {
        .flags = CLONE_PIDFD | NAMESPACES | CLONE_NEWNET,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    pid_t made = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    int error = errno;
    close(go[made == 0 ? 1 : 0]);
    if (made == 0) {
        char byte;
        ssize_t count;
        while ((count = read(go[0], &byte, 1)) < 0 && errno == EINTR)
            ;
        if (count != 1)
            _exit(127);
        close(go[0]);
        return 0;
    }
    struct zerrow_id_map map = {0, geteuid(), 0, getegid(), 1};
    if (made > 0 && (zerrow_id_map_write(made, &map) < 0 || write(go[1], "g", 1) != 1)) {
        struct zerrow_zygote_failure failure;
        error = errno;
        (void)give_up(made, *pidfd, &failure, ZERROW_STAGE_ID_MAP, error);
        made = -1;
    }
    close(go[1]);
    return made < 0 ? -error : made;
}

EXPORTED int zerrow_fork_become_reader(const char *const *paths, const char *const *links, uint64_t count,
                                       const int32_t descriptors[4], const uint64_t bytes_max[3]) {
    if (count > ENTRIES_MAX)
        return -E2BIG;
    struct zerrow_zygote_entry entries[ENTRIES_MAX];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct zerrow_zygote_entry){.path = paths[i], .link = *links[i] ? links[i] : NULL};
    struct zerrow_reader reader = {
        .is_isolated = 1,
        .memory_bytes_max = bytes_max[1],
        .output_bytes_max = bytes_max[2],
    };
    struct zerrow_zygote_spec spec = {
        .entries = entries,
        .entry_count = count,
        .control = descriptors[0],
        .output = descriptors[1],
        .errors = descriptors[2],
        .id_count = 1,
        .tmp_bytes_max = bytes_max[0],
        .reader = &reader,
    };
    /* Nobody reads what failed: the caller of a planner that ends so starts one that tells. */
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing < 0)
        return -errno;
    struct child child = {.spec = &spec, .may_go = descriptors[3], .failure = nothing};
    enter(&child);
    close(child.failure);
    return 0;
}
