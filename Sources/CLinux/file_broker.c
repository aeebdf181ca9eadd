#define _GNU_SOURCE
#include "file_broker.h"
#include "id_map.h"
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Everything here runs in the child of a process that may have threads, and never executes another program: it calls
 * nothing that takes a lock or memory.
 */

struct list {
    const char *bytes;
    size_t size;
    uint64_t count;
};

struct entry {
    uint64_t device;
    uint64_t inode;
    const char *path;
};

static int map_list(int file, struct list *list) {
    struct stat status;
    if (fstat(file, &status) < 0 || status.st_size < 16)
        return -1;
    list->size = (size_t)status.st_size;
    void *bytes = mmap(NULL, list->size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED)
        return -1;
    list->bytes = bytes;
    memcpy(&list->count, bytes, sizeof(list->count));
    return list->count <= list->size / 8 - 1 && list->bytes[list->size - 1] == 0 ? 0 : -1;
}

static int find_entry(const struct list *list, uint64_t number, struct entry *entry) {
    uint64_t offset;
    if (number >= list->count)
        return -1;
    memcpy(&offset, list->bytes + 8 * (1 + number), sizeof(offset));
    if (offset > list->size || list->size - offset < 17)
        return -1;
    memcpy(&entry->device, list->bytes + offset, 8);
    memcpy(&entry->inode, list->bytes + offset + 8, 8);
    entry->path = list->bytes + offset + 16;
    return 0;
}

/* The descriptor of the file that was planned with, read-only; or a negative errno. */
static int open_file(const struct list *list, uint64_t number) {
    struct entry entry;
    struct stat status;
    if (find_entry(list, number, &entry) < 0)
        return -EINVAL;
    /* It may have become anything since: what isn't a regular file must not make this wait. */
    int file = open(entry.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    const uint64_t known = UINT64_C(0x7FFFFFFFFFFFFFFF);
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && (status.st_dev & known) == entry.device &&
        (status.st_ino & known) == entry.inode)
        return file;
    close(file);
    return -ESTALE;
}

static int answer(int socket, const struct list *list, const struct zerrow_file_request *request) {
    int32_t errors[ZERROW_FILES_MAX];
    int files[ZERROW_FILES_MAX];
    size_t file_count = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        int file = open_file(list, (uint64_t)request->first + i);
        errors[i] = file < 0 ? -file : 0;
        if (file >= 0)
            files[file_count++] = file;
    }
    int code = zerrow_message_send(socket, errors, request->count * sizeof(errors[0]), files, file_count, 1);
    for (size_t i = 0; i < file_count; i++)
        close(files[i]);
    return code;
}

/* One worker's files, until it is gone. Each has a process: a disk that does not answer keeps no other one waiting. */
static _Noreturn void serve_worker(int file, int socket) {
    struct list list;
    struct zerrow_file_request request;
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        .propagation = MS_PRIVATE,
    };
    /* What is mounted now, and read-only: who has a descriptor of a file can open it anew, as its owner for writing. */
    if (map_list(file, &list) < 0 || unshare(CLONE_NEWNS) < 0 ||
        syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof(attributes)) < 0)
        _exit(1);
    /* The fewest answers that wait to be read, as descriptors under way count for the whole user. */
    int bytes = 1;
    (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    for (;;) {
        ssize_t count = recv(socket, &request, sizeof(request), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count != sizeof(request) || request.count == 0 || request.count > ZERROW_FILES_MAX ||
            answer(socket, &list, &request) < 0)
            _exit(0);
    }
}

/*
 * A mount of one folder and nothing else: from its descriptor no name leads out of it. What is on it can be written,
 * but is no device, and nothing of it is executed with other rights. A negative errno where there is none.
 */
static int clone_folder(const char *path) {
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        .propagation = MS_PRIVATE,
    };
    int folder = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (folder < 0)
        return -errno;
    if (syscall(SYS_mount_setattr, folder, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) == 0)
        return folder;
    int error = errno;
    close(folder);
    return -error;
}

/* Clones the folder that a file names; in a process of its own, as its disk may not answer. */
static _Noreturn void serve_folder(int file, int socket) {
    struct stat status;
    if (fstat(file, &status) < 0 || status.st_size < 2)
        _exit(1);
    const char *path = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (path == MAP_FAILED || path[status.st_size - 1] != 0)
        _exit(1);
    int folder = clone_folder(path);
    int32_t error = folder < 0 ? -folder : 0;
    (void)zerrow_message_send(socket, &error, sizeof(error), &folder, folder < 0 ? 0 : 1, 1);
    _exit(0);
}

static _Noreturn void serve(int control) {
    for (;;) {
        char byte;
        int descriptors[2];
        size_t count = 0;
        ssize_t bytes = zerrow_message_receive(control, &byte, 1, descriptors, 2, &count, 1);
        if (bytes < 0 && (errno == EINTR || errno == EMSGSIZE))
            continue;
        if (bytes <= 0)
            _exit(0);
        if (count == 2 && syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
            close(control);
            if (byte == ZERROW_BROKER_FOLDER)
                serve_folder(descriptors[0], descriptors[1]);
            serve_worker(descriptors[0], descriptors[1]);
        }
        /* Where it could not be forked, the worker sees its socket's end. */
        for (size_t i = 0; i < count; i++)
            close(descriptors[i]);
    }
}

static _Noreturn void run_broker(int control, int may_go) {
    char go;
    ssize_t count;
    /* Where the parent has died before this, the pipe has ended, or the control socket has. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        _exit(127);
    while ((count = read(may_go, &go, 1)) < 0 && errno == EINTR)
        ;
    if (count != 1)
        _exit(127);
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    /* Workers' processes are never waited for. */
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    struct rlimit core = {1, 1};
    (void)setrlimit(RLIMIT_CORE, &core);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "zerrow-files");
    if (dup2(control, 3) < 0 || syscall(SYS_close_range, 4U, ~0U, 0U) < 0)
        _exit(127);
    for (int number = 0; number < 3; number++)
        close(number);
    (void)open("/dev/null", O_RDWR);
    (void)dup2(0, 1);
    (void)dup2(0, 2);
    serve(3);
}

int zerrow_file_broker_spawn(int control, pid_t *pid) {
    int go[2];
    if (pipe2(go, O_CLOEXEC) < 0)
        return -errno;
    struct clone_args arguments = {
        .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC,
        .exit_signal = SIGCHLD,
    };
    pid_t made = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (made == 0) {
        close(go[1]);
        run_broker(control, go[0]);
    }
    int error = errno;
    close(go[0]);
    if (made >= 0) {
        /* The caller's own ids, as they are: to the file system it stays who it is. */
        struct zerrow_id_map map = {geteuid(), geteuid(), getegid(), getegid(), 1};
        error = zerrow_id_map_write(made, &map) < 0 ? errno : 0;
        if (error == 0 && write(go[1], "g", 1) != 1)
            error = errno;
        if (error != 0) {
            kill(made, SIGKILL);
            while (waitpid(made, NULL, 0) < 0 && errno == EINTR)
                ;
        }
    }
    close(go[1]);
    *pid = made;
    return made < 0 || error != 0 ? -error : 0;
}
