/* The mmap family as the process sees it. glibc's own calls do not come through here. */
#include "arena.h"

#include <stdarg.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    return mapping_create(address, bytes, protection, flags, fd, offset);
}

EXPORT void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off64_t offset) {
    return mapping_create(address, bytes, protection, flags, fd, offset);
}

EXPORT int munmap(void *address, size_t bytes) { return mapping_remove(address, bytes); }

EXPORT int madvise(void *address, size_t bytes, int advice) { return mapping_advise(address, bytes, advice); }

EXPORT int mprotect(void *address, size_t bytes, int protection) { return mapping_protect(address, bytes, protection); }

EXPORT void *mremap(void *address, size_t bytes_old, size_t bytes_new, int flags, ...) {
    void *address_new = NULL;
    if (flags & MREMAP_FIXED) {
        va_list rest;
        va_start(rest, flags);
        address_new = va_arg(rest, void *);
        va_end(rest);
    }
    return mapping_move(address, bytes_old, bytes_new, flags, address_new);
}
