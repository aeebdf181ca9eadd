#define _GNU_SOURCE
#include "private_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/mount.h, which older machines have without these. */
#define TREE_CLONE 1
#define TREE_EMPTY_PATH 0x00000004

/* What a zygote may show below /tmp: each is a mount in every worker. */
#define TMP_ENTRIES_MAX 32
/* Empty files cost kernel memory that a file system's size does not count. */
#define TMP_FILES_MAX "262144"

/* Takes the next path off a list: 1, 0 at its end, -1 with errno when it is too long. */
static int next_path(const char **list, char path[PATH_MAX]) {
    if (!*list || !**list)
        return 0;
    size_t length = strcspn(*list, ":");
    if (length >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, *list, length);
    path[length] = 0;
    *list += length + ((*list)[length] == ':');
    return 1;
}

/* Makes what a tree can be put on, and the folders it lies in. */
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

static int place(int tree, char *path) {
    struct stat status;
    if (fstat(tree, &status) < 0 || make_place(path, S_ISDIR(status.st_mode)) < 0)
        return -1;
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, TREE_EMPTY_PATH);
}

/* A new /tmp, in which what the zygote shows below its own one is shown again. */
static int make_tmp(const char *entries, const char *options, const char **stage) {
    char path[PATH_MAX];
    int trees[TMP_ENTRIES_MAX];
    size_t count = 0;
    int more;
    *stage = "keeping what is shown below /tmp";
    for (const char *rest = entries; (more = next_path(&rest, path)) > 0; count++) {
        if (count == TMP_ENTRIES_MAX)
            return -E2BIG;
        trees[count] = (int)syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
        if (trees[count] < 0)
            return -errno;
    }
    if (more < 0)
        return -errno;
    if (mount("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0) {
        *stage = "mounting /tmp";
        return -errno;
    }
    for (size_t i = 0; i < count; i++) {
        next_path(&entries, path);
        if (place(trees[i], path) < 0)
            return -errno;
        close(trees[i]);
    }
    return 0;
}

/* Covers folders with nothing, and files with /dev/null. A path that is not there is an error: it may be misspelt. */
static int hide(const char *paths, const char **stage) {
    char path[PATH_MAX];
    int more;
    *stage = "hiding what the model may not see";
    while ((more = next_path(&paths, path)) > 0) {
        struct stat status;
        if (stat(path, &status) < 0)
            return -errno;
        int code = S_ISDIR(status.st_mode)
                       ? mount("hidden", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0555,size=4k")
                       : mount("/dev/null", path, NULL, MS_BIND, NULL);
        if (code < 0)
            return -errno;
    }
    return more < 0 ? -errno : 0;
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
    *stage = "mounting /dev/shm";
    if (mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return -errno;
    int code = make_tmp(mounts->tmp_entries, options, stage);
    return code < 0 ? code : hide(mounts->hidden, stage);
}
