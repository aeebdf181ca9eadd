/*
 * Memory files: the calls on memfds that the Swift importer cannot see (flags behind _GNU_SOURCE, variadic fcntl).
 *
 * Every function returns what the system call returns: -1 and errno on failure.
 */
#ifndef ZERROW_MEMORY_FILE_H
#define ZERROW_MEMORY_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    ZERROW_SEAL_SEAL = 0x1,
    ZERROW_SEAL_SHRINK = 0x2,
    ZERROW_SEAL_GROW = 0x4,
    ZERROW_SEAL_WRITE = 0x8,
    ZERROW_SEAL_FUTURE_WRITE = 0x10,
};

enum {
    ZERROW_SEEK_DATA = 3,
    ZERROW_SEEK_HOLE = 4,
    ZERROW_MADV_HUGEPAGE = 14,
    ZERROW_MADV_PAGEOUT = 21,
    ZERROW_MADV_POPULATE_READ = 22,
    ZERROW_MADV_POPULATE_WRITE = 23,
    ZERROW_MADV_COLLAPSE = 25,
};

/* A close-on-exec memfd of size 0. Unless sealable, nobody can ever add a seal. */
int zerrow_memfd_create(const char *name, int sealable);
int zerrow_memfd_add_seals(int fd, int seals);
int zerrow_memfd_get_seals(int fd);

/* Frees the pages inside [offset, offset + bytes) and zeroes the parts of pages at its ends; the size stays. */
int zerrow_punch_hole(int fd, int64_t offset, int64_t bytes);
/* Takes pages for the hole parts of [offset, offset + bytes), within the size. */
int zerrow_reserve(int fd, int64_t offset, int64_t bytes);

ssize_t zerrow_copy_file_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t bytes);
/* A close-on-exec duplicate, numbered `number_min` or above. */
int zerrow_duplicate(int fd, int number_min);
int zerrow_pipe(int ends[2]);

#endif
