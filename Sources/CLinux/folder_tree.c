#define _GNU_SOURCE
#include "folder_tree.h"

#include <errno.h>
#include <fts.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

// Links are never followed, and the current folder stays: other threads have the same.
static FTS *open_tree_of(const char *path) {
    char *paths[] = {(char *)path, NULL};
    return fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

int zerrow_tree_remove(const char *path) {
    FTS *tree = open_tree_of(path);
    if (tree == NULL)
        return -1;
    int failure = 0;
    FTSENT *entry;
    while ((entry = fts_read(tree)) != NULL) {
        int result = 0;
        switch (entry->fts_info) {
        case FTS_D:
            continue;
        case FTS_DP:
            result = rmdir(entry->fts_accpath);
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            errno = entry->fts_errno;
            result = -1;
            break;
        default:
            result = unlink(entry->fts_accpath);
        }
        if (result != 0 && errno != ENOENT && failure == 0)
            failure = errno;
    }
    fts_close(tree);
    errno = failure;
    return failure == 0 ? 0 : -1;
}

int zerrow_tree_usage(const char *path, struct zerrow_tree_usage *usage) {
    FTS *tree = open_tree_of(path);
    if (tree == NULL)
        return -1;
    *usage = (struct zerrow_tree_usage){0};
    FTSENT *entry;
    while ((entry = fts_read(tree)) != NULL) {
        if (entry->fts_info == FTS_DP || entry->fts_statp == NULL || entry->fts_info == FTS_NS)
            continue;
        uint64_t bytes = (uint64_t)entry->fts_statp->st_blocks * 512;
        if (entry->fts_info == FTS_F && entry->fts_statp->st_nlink > 1)
            usage->shared_bytes += bytes;
        else
            usage->own_bytes += bytes;
    }
    fts_close(tree);
    return 0;
}

int zerrow_tree_show(const char *path) {
    FTS *tree = open_tree_of(path);
    if (tree == NULL)
        return -1;
    int failure = 0;
    FTSENT *entry;
    while ((entry = fts_read(tree)) != NULL) {
        if ((entry->fts_info != FTS_D && entry->fts_info != FTS_F) || entry->fts_statp == NULL)
            continue;
        mode_t mode = entry->fts_statp->st_mode & 07777;
        mode_t shown = mode | 0444 | (mode & 0100 ? 0111 : 0);
        // What somebody else owns, in a shared cache for one, has a mode of its own.
        if (shown != mode && chmod(entry->fts_accpath, shown) != 0 && errno != ENOENT && errno != EPERM && failure == 0)
            failure = errno;
    }
    fts_close(tree);
    errno = failure;
    return failure == 0 ? 0 : -1;
}
