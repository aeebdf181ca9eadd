/* The arena: its state, the file behind it, and the functions that the rest of zerrow calls. */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
/* Above the numbers that programs close by habit. */
#define DESCRIPTOR_MIN 900
#define COLLAPSE_BYTES_MAX ((uint64_t)4 << 30)
#define SPANS_MAX 4096
#define IDLE_BYTES_MIN ((uint64_t)64 << 20)
/* Takes below this share one extent. */
#define TAKE_SHARED_BYTES ((uint64_t)1 << 20)

struct arena arena = {.fd = -1};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void arena_lock(void) { pthread_mutex_lock(&mutex); }
void arena_unlock(void) { pthread_mutex_unlock(&mutex); }
void arena_lock_reset(void) { mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; }

void arena_say(const char *text) {
    char line[512];
    static const char prefix[] = "zerrow arena: ";
    size_t bytes = strlen(text);
    if (bytes > sizeof line - sizeof prefix)
        bytes = sizeof line - sizeof prefix;
    memcpy(line, prefix, sizeof prefix - 1);
    memcpy(line + sizeof prefix - 1, text, bytes);
    line[sizeof prefix - 1 + bytes] = '\n';
    if (write(STDERR_FILENO, line, sizeof prefix + bytes) < 0)
        return;
}

void arena_die(const char *text) {
    arena_say(text);
    abort();
}

bool arena_charge(uint64_t bytes) {
    if (bytes > arena.bytes_max - arena.live_bytes) {
        arena.refused++;
        return false;
    }
    arena.live_bytes += bytes;
    if (arena.live_bytes > arena.live_bytes_max)
        arena.live_bytes_max = arena.live_bytes;
    return true;
}

void arena_settle(void) {
    uint64_t held = arena.live_bytes + arena.idle_bytes;
    if (held > arena.bytes_max)
        extents_reclaim(held - arena.bytes_max);
}

void arena_uncharge(uint64_t bytes) { arena.live_bytes -= bytes; }

void arena_punch(uint64_t offset, uint64_t bytes) {
    if (bytes == 0)
        return;
    huge_forget(offset, bytes);
    void *at = (void *)(arena.control + offset);
    if (kernel_madvise(at, bytes, MADV_REMOVE) == 0)
        return;
    /* The promise is zeroes; the kernel would not take the pages, so write them. */
    memset(at, 0, bytes);
}

bool arena_descriptor_valid(void) {
    struct stat file;
    return fstat(arena.fd, &file) == 0 && file.st_dev == arena.device && file.st_ino == arena.inode;
}

bool arena_commit(uint64_t offset, uint64_t bytes) {
    if (!arena.strict)
        return true;
    return arena_descriptor_valid() && fallocate(arena.fd, 0, (off_t)offset, (off_t)bytes) == 0;
}

uint64_t arena_resident_bytes(void) {
    struct stat file;
    if (fstat(arena.fd, &file) != 0 || file.st_ino != arena.inode)
        return 0;
    return (uint64_t)file.st_blocks * 512;
}

/* Can writing to a hole of the file fail? True on a tmpfs with a size limit and under strict overcommit. */
static bool pages_can_run_out(int fd) {
    struct statfs system;
    if (fstatfs(fd, &system) != 0 || system.f_blocks != 0)
        return true;
    int policy = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
    if (policy < 0)
        return false;
    char digit = '0';
    ssize_t got = read(policy, &digit, 1);
    close(policy);
    return got == 1 && digit == '2';
}

/* Map the whole file at a multiple of BASE_ALIGNMENT; 0 on failure. A fork's child must not see it: see fork.c. */
static uint64_t map_file(int fd, uint64_t bytes) {
    void *room =
        kernel_mmap(NULL, bytes + BASE_ALIGNMENT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return 0;
    uint64_t start = (uint64_t)room, base = round_up(start, BASE_ALIGNMENT), end = start + bytes + BASE_ALIGNMENT;
    void *at = kernel_mmap((void *)base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0);
    if (at == MAP_FAILED || kernel_madvise(at, bytes, MADV_DONTFORK) != 0) {
        kernel_munmap(room, bytes + BASE_ALIGNMENT);
        return 0;
    }
    if (base > start)
        kernel_munmap(room, base - start);
    if (end > base + bytes)
        kernel_munmap((void *)(base + bytes), end - base - bytes);
    return base;
}

static void unmap_all(void) {
    if (arena.base)
        kernel_munmap((void *)arena.base, arena.file_bytes);
    if (arena.control)
        kernel_munmap((void *)arena.control, arena.file_bytes);
    if (arena.fd >= 0)
        close(arena.fd);
    arena.base = arena.control = 0;
    arena.fd = -1;
}

static int map_all(int fd, uint64_t file_bytes) {
    struct stat file;
    if (fstat(fd, &file) != 0)
        return -errno;
    if ((uint64_t)file.st_size < file_bytes && ftruncate(fd, (off_t)file_bytes) != 0)
        return -errno;
    arena.fd = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    if (arena.fd < 0)
        arena.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (arena.fd < 0)
        return -errno;
    arena.device = file.st_dev;
    arena.inode = file.st_ino;
    arena.file_bytes = file_bytes;
    arena.base = map_file(arena.fd, file_bytes);
    arena.control = arena.base ? map_file(arena.fd, file_bytes) : 0;
    uint64_t chunks = file_bytes >> HUGE_SHIFT;
    void *flags = kernel_mmap(NULL, chunks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!arena.control || flags == MAP_FAILED || !extents_setup(file_bytes)) {
        int code = errno ? -errno : -ENOMEM;
        if (flags != MAP_FAILED)
            kernel_munmap(flags, chunks);
        unmap_all();
        return code;
    }
    arena.huge_chunks = flags;
    return 0;
}

/* A recycled file has pages already, all zero: they are to be handed out first. */
static void note_present(void) {
    static struct span spans[SPANS_MAX];
    uint32_t count = 0;
    uint64_t total = 0;
    off_t at = 0, end = (off_t)arena.file_bytes;
    while (count < SPANS_MAX && at < end) {
        off_t data = lseek(arena.fd, at, SEEK_DATA);
        if (data < 0 || data >= end)
            break;
        at = lseek(arena.fd, data, SEEK_HOLE);
        if (at <= data)
            break;
        if (at > end)
            at = end;
        spans[count++] = (struct span){(uint64_t)data, (uint64_t)at};
        total += (uint64_t)(at - data);
        huge_note_whole((uint64_t)data, (uint64_t)at);
    }
    if (count == 0)
        return;
    extents_note_present(spans, count);
    /* They were there before this worker, so they do not make it give back what it frees itself. */
    arena.idle_bytes_max += total;
}

EXPORT int zerrow_arena_attach(int fd, uint64_t file_bytes, uint64_t bytes_max) {
    if (file_bytes == 0 || file_bytes % HUGE_BYTES != 0 || file_bytes >> CELL_SHIFT >= NO_CELL || bytes_max == 0)
        return -EINVAL;
    arena_lock();
    if (arena.attached) {
        arena_unlock();
        return -EALREADY;
    }
    int code = map_all(fd, file_bytes);
    if (code == 0) {
        arena.bytes_max = bytes_max;
        arena.idle_bytes_max = bytes_max / 4 > IDLE_BYTES_MIN ? bytes_max / 4 : IDLE_BYTES_MIN;
        arena.collapse_bytes_max = bytes_max / 2 < COLLAPSE_BYTES_MAX ? bytes_max / 2 : COLLAPSE_BYTES_MAX;
        arena.strict = pages_can_run_out(arena.fd);
        atomic_store(&arena.attached, true);
        atomic_store(&arena.huge, true);
        /* First, on an untouched table: workers of one zygote adopt the same mappings, and so at the same places of
         * every file. An allocator's memory in them then lies on the pages that a recycled file has there. */
        if (!arena.strict)
            adoption_run();
        note_present();
        atomic_store(&arena.open, true);
    }
    arena_unlock();
    return code;
}

/* Where in the file the range is, if its pieces are content of the file one after the other; the lock is held. */
static bool locate(uint64_t low, uint64_t bytes, uint64_t *offset, bool *compare) {
    *compare = false;
    for (uint64_t at = low, end = low + bytes; at < end;) {
        struct piece piece = piece_at(at, end);
        if (piece.kind != PIECE_EXTENT && piece.kind != PIECE_WINDOW)
            return false;
        if (at == low)
            *offset = piece.offset;
        else if (piece.offset != *offset + (at - low))
            return false;
        *compare |= piece.frozen || piece.foreign;
        at = piece.high;
    }
    return true;
}

EXPORT int zerrow_arena_locate(const void *address, size_t bytes, uint64_t *offset) {
    uint64_t low = (uint64_t)address, found = 0;
    if (!atomic_load(&arena.attached) || bytes == 0 || low + bytes < low || !pieces_touch(low, bytes))
        return 0;
    bool compare = false;
    arena_lock();
    bool inside = !arena.detached && locate(low, bytes, &found, &compare);
    arena_unlock();
    if (!inside)
        return 0;
    /* After a fork a page may have been copied on write. Nobody writes to the file there any more, so equal is equal.
     */
    if (compare && memcmp((const void *)(arena.control + found), address, bytes) != 0)
        return 0;
    *offset = found;
    return 1;
}

/* A live extent that is all zero and is never given back; the lock is held. */
static int take_extent(uint64_t bytes, uint64_t *offset) {
    uint64_t rounded = round_up(bytes, PAGE_BYTES);
    if (!arena_charge(rounded))
        return -ENOMEM;
    uint32_t cell = extents_take(extents_order(rounded), true);
    if (cell == NO_CELL) {
        arena_uncharge(rounded);
        return -ENOMEM;
    }
    arena_settle();
    struct extent *extent = extent_at(cell);
    extent->kind = EXTENT_HEAP;
    extent->flags = EXTENT_CHARGED;
    extent->high = rounded;
    *offset = (uint64_t)cell << CELL_SHIFT;
    if (!arena_commit(*offset, rounded)) {
        arena_uncharge(rounded);
        extents_give(cell);
        return -ENOMEM;
    }
    extent->resident = huge_fill(*offset, 0, rounded, CELL_BYTES << extent->order);
    arena.served++;
    return 0;
}

EXPORT int zerrow_arena_take(size_t bytes, void **address, uint64_t *offset) {
    if (!atomic_load(&arena.open))
        return -ENODEV;
    if (bytes > PTRDIFF_MAX)
        return -ENOMEM;
    uint64_t rounded = bytes ? round_up(bytes, 64) : 64;
    int code = 0;
    arena_lock();
    if (rounded >= TAKE_SHARED_BYTES) {
        code = take_extent(rounded, offset);
    } else {
        if (arena.take_end - arena.take_offset < rounded) {
            uint64_t start = 0;
            code = take_extent(TAKE_SHARED_BYTES, &start);
            if (code == 0) {
                arena.take_offset = start;
                arena.take_end = start + TAKE_SHARED_BYTES;
            }
        }
        if (code == 0) {
            *offset = arena.take_offset;
            arena.take_offset += rounded;
        }
    }
    arena_unlock();
    if (code == 0)
        *address = (void *)(arena.base + *offset);
    return code;
}

EXPORT int zerrow_arena_counts(struct zerrow_arena_counts *out) {
    if (!atomic_load(&arena.attached))
        return -ENODEV;
    arena_lock();
    *out = (struct zerrow_arena_counts){
        .live_bytes = arena.live_bytes,
        .live_bytes_max = arena.live_bytes_max,
        .resident_bytes = arena_resident_bytes(),
        .huge_bytes = arena.huge_bytes,
        .extents = arena.served,
        .refused = arena.refused,
    };
    arena_unlock();
    return 0;
}

EXPORT int zerrow_arena_freeze(void) {
    if (!atomic_load(&arena.attached))
        return -ENODEV;
    arena_lock();
    arena.published = true;
    arena_unlock();
    return 0;
}
