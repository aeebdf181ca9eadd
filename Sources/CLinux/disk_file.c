#define _GNU_SOURCE
#include "disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

int zerrow_unnamed_file(int folder, mode_t mode) { return openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode); }

int zerrow_open_at(int folder, const char *name, int flags, mode_t mode) { return openat(folder, name, flags, mode); }

int zerrow_allocate(int fd, int64_t bytes) {
    int error = posix_fallocate(fd, 0, bytes);
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

int zerrow_begin_writeback(int fd, int64_t offset, int64_t bytes) {
    return sync_file_range(fd, offset, bytes, SYNC_FILE_RANGE_WRITE);
}

int zerrow_finish_writeback(int fd, int64_t offset, int64_t bytes) {
    return sync_file_range(fd, offset, bytes,
                           SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

static int advise(int fd, int64_t offset, int64_t bytes, int advice) {
    int error = posix_fadvise(fd, offset, bytes, advice);
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

int zerrow_drop_cache(int fd, int64_t offset, int64_t bytes) { return advise(fd, offset, bytes, POSIX_FADV_DONTNEED); }

int zerrow_read_ahead(int fd, int64_t offset, int64_t bytes) { return advise(fd, offset, bytes, POSIX_FADV_WILLNEED); }

int zerrow_is_in_memory(int fd) {
    struct statfs status;
    if (fstatfs(fd, &status) < 0)
        return -1;
    return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC || status.f_type == HUGETLBFS_MAGIC;
}

uint64_t zerrow_file_system_of(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 ? (uint64_t)(uint32_t)status.f_type : 0;
}
