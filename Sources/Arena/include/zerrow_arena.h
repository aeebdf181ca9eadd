/*
 * The arena: large allocations of a worker are born in a shared-memory file.
 *
 * libzerrow_arena.so is loaded with LD_PRELOAD. Until an arena is attached it passes every call on to libc. After
 * zerrow_arena_attach() every malloc-family allocation of ZERROW_ARENA_BYTES_MIN or more, and every large anonymous
 * private mmap, is placed in the attached file, so that a table built in it can be published by naming file offsets.
 *
 * The other parts of zerrow find these functions with dlsym(RTLD_DEFAULT, …): when the library is not loaded they are
 * absent, and publishing copies.
 *
 * All functions return 0 or a negative errno, unless said otherwise. They are async-signal-unsafe and thread-safe.
 */
#ifndef ZERROW_ARENA_H
#define ZERROW_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ZERROW_ARENA_VERSION 1
#define ZERROW_ARENA_BYTES_MIN (64u * 1024u)

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Attach the file to this process, once, early in a freshly forked worker (a single thread). Large anonymous mappings
 * that were made before (reserved by allocators in the process that forked) are moved into the file at their addresses;
 * with other threads running they are left alone.
 *
 * fd: a memfd open for reading and writing; the arena keeps a duplicate of its own, which close() does not close. Its
 * content is all zero; pages that are present (a recycled file) are used first.
 *
 * file_bytes: the sparse size of the file, a multiple of 2 MiB: address space that extents may take, headroom included.
 * 16 times bytes_max is plenty, twice is tight. A file that is shorter is extended.
 *
 * bytes_max: the most memory that live extents may take together; past it malloc gives NULL and mmap ENOMEM.
 *
 * -EALREADY when one is attached, -EINVAL on bad sizes, else what fstat, ftruncate or mmap said; then nothing has
 * changed.
 */
int zerrow_arena_attach(int fd, uint64_t file_bytes, uint64_t bytes_max);

/*
 * Where in the file is [address, address + bytes)?
 *
 * Returns 1 and the file offset when every byte of the range is content of the attached file, as any reader of the file
 * would see it; 0 when it is not (other memory, or pages made private by a fork). Needs no system call. Memory that was
 * there when the process last forked is compared with the file, byte by byte. In a fork's child always 0.
 */
int zerrow_arena_locate(const void *address, size_t bytes, uint64_t *offset);

/*
 * Take a fresh, zeroed, 64-byte-aligned extent for data that publishing packs or copies: *address is where to write it
 * and *offset its place in the file. It is never given back. -ENOMEM when the arena is full, -ENODEV when none is
 * attached.
 */
int zerrow_arena_take(size_t bytes, void **address, uint64_t *offset);

struct zerrow_arena_counts {
    uint64_t live_bytes;     /* extents in use */
    uint64_t live_bytes_max; /* the most they ever were */
    uint64_t resident_bytes; /* file pages present */
    uint64_t huge_bytes;     /* of these, collapsed into 2 MiB pages */
    uint64_t extents;        /* allocations served from the file */
    uint64_t refused;        /* allocations refused because of bytes_max */
};
int zerrow_arena_counts(struct zerrow_arena_counts *out);

/*
 * Called just before publishing: memory freed, unmapped or dropped from now on keeps its content in the file and is
 * never handed out again. It cannot bind an allocator that recycles memory of its own (mimalloc, jemalloc), so the
 * table has to stay allocated until the process ends. -ENODEV when no file is attached.
 */
int zerrow_arena_freeze(void);

/*
 * From now on a path in `folder` (which ends with a slash) that ends with N.parquet, N in digits, is the N-th of
 * `count` files that the file broker at the other end of the socket `fd` gives (CLinux/file_broker.h): open, stat,
 * lstat, statx and readlink answer for it, whether the folder is there or not. It works without an attached arena, for
 * the socket's lifetime, once. -EINVAL, or -EALREADY.
 */
int zerrow_sources_attach(int fd, uint32_t count, const char *folder);

#ifdef __cplusplus
}
#endif
#endif
