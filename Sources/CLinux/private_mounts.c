#define _GNU_SOURCE
#include "private_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Empty files cost kernel memory that a file system's size does not count. */
#define TMP_FILES_MAX "262144"

/*
 * Where the worker puts things together, until its own /dev/shm is mounted in the same place: what covers a folder and
 * a file, and the old view of a folder that is being replaced.
 */
#define STAGE "/dev/shm"
#define EMPTY_FOLDER STAGE "/folder"
#define EMPTY_FILE STAGE "/file"
#define OLD STAGE "/old"
#define LOWER STAGE "/lower"

/* Makes the folders that a path lies in, and what something can be mounted on. */
static int make_place(char *path, int is_folder) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int code = mkdir(path, 0755);
        *slash = '/';
        if (code < 0 && errno != EEXIST)
            return -1;
    }
    if (is_folder)
        return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    return fd < 0 ? -1 : close(fd);
}

static int copy_link(const char *from, char *to) {
    char target[PATH_MAX];
    ssize_t length = readlink(from, target, sizeof(target) - 1);
    if (length < 0)
        return -1;
    target[length] = 0;
    char *slash = strrchr(to, '/');
    *slash = 0;
    int code = make_place(to, 1);
    *slash = '/';
    return code < 0 || (symlink(target, to) < 0 && errno != EEXIST) ? -1 : 0;
}

/* Shows again, at the path where it was, what the old view has there. */
static int show(const char *folder, const char *shown) {
    char from[PATH_MAX], to[PATH_MAX];
    size_t length = strlen(folder);
    struct stat status;
    if (strncmp(shown, folder, length) != 0 || shown[length] != '/' || strlen(shown) >= sizeof(to)) {
        errno = strlen(shown) >= sizeof(to) ? ENAMETOOLONG : EINVAL;
        return -1;
    }
    strcpy(to, shown);
    if (snprintf(from, sizeof(from), OLD "%s", shown + length) >= (int)sizeof(from)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (lstat(from, &status) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    if (S_ISLNK(status.st_mode))
        return copy_link(from, to);
    return make_place(to, S_ISDIR(status.st_mode)) < 0 ? -1 : mount(from, to, NULL, MS_BIND | MS_REC, NULL);
}

/* Mounts an empty folder over one, and in it again what is to be shown of the old one. */
static int rebuild(const char *folder, const char *const *shown, const char *options) {
    if (mount(folder, OLD, NULL, MS_BIND | MS_REC, NULL) < 0)
        return -1;
    int code = mount("hidden", folder, "tmpfs", MS_NOSUID | MS_NODEV, options);
    for (; code == 0 && shown && *shown; shown++)
        code = show(folder, *shown);
    int error = errno;
    umount2(OLD, MNT_DETACH);
    errno = error;
    return code;
}

static int rebuild_all(const struct zerrow_rebuilt_folder *rebuilt) {
    for (; rebuilt && rebuilt->path; rebuilt++) {
        struct stat status;
        if (stat(rebuilt->path, &status) < 0 && (errno == ENOENT || errno == ENOTDIR))
            continue;
        if (rebuild(rebuilt->path, rebuilt->shown, "mode=0755,size=1m") < 0 ||
            mount(NULL, rebuilt->path, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0755,size=1m") < 0)
            return -1;
    }
    return 0;
}

/* A folder is covered by one with nothing in it, a file by one that nobody may read. */
static int cover_all(const char *const *covered) {
    for (; covered && *covered; covered++) {
        struct stat status;
        if (stat(*covered, &status) < 0) {
            if (errno == ENOENT || errno == ENOTDIR)
                continue;
            return -1;
        }
        const char *nothing = S_ISDIR(status.st_mode) ? EMPTY_FOLDER : EMPTY_FILE;
        if (mount(nothing, *covered, NULL, MS_BIND, NULL) < 0)
            return -1;
    }
    return 0;
}

/*
 * The folder's name is given as a link: in a list of folders, characters of it would have a meaning. A second, empty
 * folder is there because one alone, without one to write to, is refused.
 */
static int overlay(const char *folder) {
    if ((unlink(LOWER) < 0 && errno != ENOENT) || symlink(folder, LOWER) < 0)
        return -1;
    return mount("project", folder, "overlay", MS_NOSUID | MS_NODEV | MS_RDONLY, "lowerdir=" LOWER ":" EMPTY_FOLDER);
}

/* What can't be overlaid stays as it is: what of it is dangerous is covered by name. */
static void overlay_all(const char *const *folders) {
    for (; folders && *folders; folders++)
        (void)overlay(*folders);
}

/*
 * What /proc tells of the machine beyond what libraries read, as container engines hide it; and what of it changes the
 * machine, where the worker's user is one who may.
 */
static int mask_proc(void) {
    static const char *const files[] = {
        "/proc/interrupts", "/proc/kcore",       "/proc/keys",       "/proc/latency_stats", "/proc/sched_debug",
        "/proc/softirqs",   "/proc/timer_stats", "/proc/timer_list", "/proc/sysrq-trigger", NULL,
    };
    static const char *const folders[] = {
        "/proc/acpi", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/scsi", NULL,
    };
    for (const char *const *each = files; *each; each++)
        if (mount(EMPTY_FILE, *each, NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return -1;
    for (const char *const *each = folders; *each; each++)
        if (mount(EMPTY_FOLDER, *each, NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return -1;
    unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL) < 0 || mount(NULL, "/proc/sys", NULL, flags, NULL) < 0
               ? -1
               : 0;
}

static int make_stage(void) {
    char file[] = EMPTY_FILE;
    if (mount("stage", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0 ||
        mkdir(EMPTY_FOLDER, 0555) < 0 || mkdir(OLD, 0755) < 0 || make_place(file, 0) < 0)
        return -1;
    /* Its owner may be the worker's user: without a right in its mode, not even that one may open it. */
    return chmod(EMPTY_FILE, 0);
}

/* What was mounted from the stage stays; as read-only as it becomes here. */
static int leave_stage(void) {
    if (mount(NULL, STAGE, NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0755,size=1m") < 0)
        return -1;
    return umount2(STAGE, MNT_DETACH);
}

/* It lies in the worker's own /tmp, where it may write as far as Landlock goes. */
static int attach_scratch(int scratch) {
    if (mkdir(ZERROW_SCRATCH, 0700) < 0)
        return -1;
    return (int)syscall(SYS_move_mount, scratch, "", AT_FDCWD, ZERROW_SCRATCH, MOVE_MOUNT_F_EMPTY_PATH);
}

int zerrow_private_mounts_make(const struct zerrow_private_mounts *mounts, const char **stage) {
    char options[96];
    snprintf(options, sizeof(options), "mode=1777,nr_inodes=" TMP_FILES_MAX ",size=%llu",
             (unsigned long long)mounts->tmp_bytes_max);
    /* All that a zygote mounts is private (zygote.c), and so is this copy of it. Only now is /proc that of the new pid
     * namespace: nothing of other workers, nothing of the zygote. */
    *stage = "mounting /proc";
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    *stage = "making a place to mount from";
    if (make_stage() < 0)
        return -errno;
    *stage = "hiding what /proc tells of the machine";
    if (mask_proc() < 0)
        return -errno;
    *stage = "mounting /tmp, with what is shown below it";
    if (rebuild("/tmp", mounts->tmp_entries, options) < 0)
        return -errno;
    *stage = "mounting the worker's folder on a disk";
    if (mounts->scratch > 0 && attach_scratch(mounts->scratch) < 0)
        return -errno;
    overlay_all(mounts->overlaid);
    *stage = "hiding what the model may not see";
    if (rebuild_all(mounts->rebuilt) < 0 || cover_all(mounts->covered) < 0 || leave_stage() < 0)
        return -errno;
    *stage = "mounting /dev/shm";
    return mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

static int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t count = write(fd, text, strlen(text));
    close(fd);
    return count < 0 ? -1 : 0;
}

/* Becomes root of namespaces of its own, as a zygote is, and tries; 0 if it can. */
static int try_overlay(uid_t user, gid_t group) {
    char users[32], groups[32];
    snprintf(users, sizeof(users), "0 %u 1\n", user);
    snprintf(groups, sizeof(groups), "0 %u 1\n", group);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return 1;
    (void)write_text("/proc/self/setgroups", "deny");
    if (write_text("/proc/self/uid_map", users) < 0 || write_text("/proc/self/gid_map", groups) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || make_stage() < 0)
        return 1;
    return overlay(OLD) < 0 ? 1 : 0;
}

int zerrow_overlay_is_possible(void) {
    uid_t user = geteuid();
    gid_t group = getegid();
    pid_t child = fork();
    if (child < 0)
        return 0;
    if (child == 0)
        _exit(try_overlay(user, group));
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
