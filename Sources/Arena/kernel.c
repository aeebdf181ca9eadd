/* System calls that bypass the interposed symbols: nothing in the library may call its own mmap. */
#include "arena.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *kernel_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

int kernel_munmap(void *address, size_t bytes) { return (int)syscall(SYS_munmap, address, bytes); }

void *kernel_mremap(void *address, size_t bytes_old, size_t bytes_new, int flags, void *address_new) {
    return (void *)syscall(SYS_mremap, address, bytes_old, bytes_new, flags, address_new);
}

int kernel_madvise(void *address, size_t bytes, int advice) {
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

int kernel_mprotect(void *address, size_t bytes, int protection) {
    return (int)syscall(SYS_mprotect, address, bytes, protection);
}
