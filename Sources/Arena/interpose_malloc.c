/*
 * The malloc family as the process sees it. Small requests go to libc through its own second names, which need no dlsym
 * and so cannot recurse; large ones go to the arena once one is attached.
 */
#include "arena.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *address, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *address);

static bool wanted(size_t bytes) {
    return bytes >= ZERROW_ARENA_BYTES_MIN && atomic_load_explicit(&arena.open, memory_order_relaxed);
}

/* True when the arena has answered, with memory or with a refusal. */
static bool served(size_t bytes, size_t alignment, bool zero, void **out) {
    int saved = errno;
    *out = NULL;
    int code = heap_allocate(bytes, alignment, zero, out);
    errno = code == ENOMEM ? ENOMEM : saved;
    return code != ENODEV;
}

EXPORT void *malloc(size_t bytes) {
    void *out;
    if (wanted(bytes) && served(bytes, 1, false, &out))
        return out;
    return __libc_malloc(bytes);
}

EXPORT void *calloc(size_t count, size_t bytes) {
    size_t total;
    void *out;
    if (!__builtin_mul_overflow(count, bytes, &total) && wanted(total) && served(total, 1, true, &out))
        return out;
    return __libc_calloc(count, bytes);
}

EXPORT void free(void *address) {
    if (!heap_free(address))
        __libc_free(address);
}

static size_t libc_usable(void *address) {
    static size_t (*_Atomic usable)(void *);
    size_t (*found)(void *) = usable;
    if (!found)
        usable = found = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
    return found ? found(address) : 0;
}

EXPORT size_t malloc_usable_size(void *address) {
    if (!address)
        return 0;
    size_t bytes = heap_usable(address);
    return bytes ? bytes : libc_usable(address);
}

/* The arena holds the extent but has no room for it at its new size. */
static void *move_to_libc(void *address, size_t bytes) {
    void *out = __libc_malloc(bytes);
    if (!out)
        return NULL;
    size_t held = heap_usable(address);
    memcpy(out, address, held < bytes ? held : bytes);
    heap_free(address);
    return out;
}

EXPORT void *realloc(void *address, size_t bytes) {
    if (!address)
        return malloc(bytes);
    if (bytes == 0) {
        free(address);
        return NULL;
    }
    void *out;
    int saved = errno;
    int code = heap_resize(address, bytes, &out);
    if (code == 0) {
        errno = saved;
        return out;
    }
    if (code == ENOMEM) {
        errno = ENOMEM;
        return NULL;
    }
    if (code == ENODEV)
        return move_to_libc(address, bytes);
    if (!wanted(bytes))
        return __libc_realloc(address, bytes);
    size_t held = libc_usable(address);
    if (held == 0 || held >= bytes || !served(bytes, 1, false, &out))
        return __libc_realloc(address, bytes);
    if (!out)
        return NULL;
    memcpy(out, address, held);
    __libc_free(address);
    return out;
}

EXPORT void *reallocarray(void *address, size_t count, size_t bytes) {
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(address, total);
}

EXPORT void *memalign(size_t alignment, size_t bytes) {
    void *out;
    if (wanted(bytes) && served(bytes, alignment, false, &out))
        return out;
    return __libc_memalign(alignment, bytes);
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

EXPORT int posix_memalign(void **out, size_t alignment, size_t bytes) {
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    int saved = errno;
    void *address = memalign(alignment, bytes);
    errno = saved;
    if (!address)
        return ENOMEM;
    *out = address;
    return 0;
}

EXPORT void *valloc(size_t bytes) { return memalign((size_t)sysconf(_SC_PAGESIZE), bytes); }

EXPORT void *pvalloc(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes > SIZE_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return memalign(page, round_up(bytes, page));
}
