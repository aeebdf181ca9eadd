#define _GNU_SOURCE
#include "memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int zerrow_memfd_create(const char *name, int sealable) {
    return memfd_create(name, MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0));
}

int zerrow_memfd_add_seals(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }

int zerrow_memfd_get_seals(int fd) { return fcntl(fd, F_GET_SEALS); }

int zerrow_punch_hole(int fd, int64_t offset, int64_t bytes) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

int zerrow_reserve(int fd, int64_t offset, int64_t bytes) { return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, bytes); }

ssize_t zerrow_copy_file_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t bytes) {
    off64_t in = from_offset, out = to_offset;
    return copy_file_range(from, &in, to, &out, bytes, 0);
}

int zerrow_duplicate(int fd, int number_min) { return fcntl(fd, F_DUPFD_CLOEXEC, number_min); }

int zerrow_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
