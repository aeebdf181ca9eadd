/*
 * Files on a disk that have no name, and the page cache over them: what is behind _GNU_SOURCE.
 *
 * Every function returns -1 and errno on failure.
 */
#ifndef ZERROW_DISK_FILE_H
#define ZERROW_DISK_FILE_H

#include <stdint.h>
#include <sys/types.h>

/* A close-on-exec file in folder for reading and writing that goes with its last descriptor, of that mode less the
 * umask. EOPNOTSUPP: the file system has no such; EISDIR, ENOENT or EINVAL from a kernel that reads the flag as
 * something else. */
int zerrow_unnamed_file(int folder, mode_t mode);

/* openat(2), which has a variable number of arguments. */
int zerrow_open_at(int folder, const char *name, int flags, mode_t mode);

/* Takes room on the disk for [0, bytes), and sets the size. Where the file system can't, zeros are written. */
int zerrow_allocate(int fd, int64_t bytes);

/* Begins to write the dirty pages of a range, and waits for none of them. */
int zerrow_begin_writeback(int fd, int64_t offset, int64_t bytes);
/* Writes the dirty pages of a range, and waits until they are written. EIO: they could not be. */
int zerrow_finish_writeback(int fd, int64_t offset, int64_t bytes);
/* Lets the page cache forget a range that is written. */
int zerrow_drop_cache(int fd, int64_t offset, int64_t bytes);

/* Begins to read a range into the page cache. */
int zerrow_read_ahead(int fd, int64_t offset, int64_t bytes);

/* 1: the file's content lies in memory (tmpfs, ramfs, hugetlbfs), 0: it does not. */
int zerrow_is_in_memory(int fd);

/* The kind of the file system that a path leads to, as statfs(2) numbers them; 0 where that can't be told. */
uint64_t zerrow_file_system_of(const char *path);

#endif
