#define _GNU_SOURCE
#include "private_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

int zerrow_private_mounts_make(const struct zerrow_private_mounts *mounts, const char **stage) {
    char options[96];
    snprintf(options, sizeof(options), "mode=1777,nr_inodes=" TMP_FILES_MAX ",size=%llu",
             (unsigned long long)mounts->tmp_bytes_max);
    *stage = "making the mounts private";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    /* Only now is /proc that of the new pid namespace: nothing of other workers, nothing of the zygote. */
    *stage = "mounting /proc";
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    *stage = "making a place to mount from";
    if (make_stage() < 0)
        return -errno;
    *stage = "mounting /tmp, with what is shown below it";
    if (rebuild("/tmp", mounts->tmp_entries, options) < 0)
        return -errno;
    *stage = "hiding what the model may not see";
    if (rebuild_all(mounts->rebuilt) < 0 || cover_all(mounts->covered) < 0 || leave_stage() < 0)
        return -errno;
    *stage = "mounting /dev/shm";
    return mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}
