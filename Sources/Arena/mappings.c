/*
 * The mmap family over extents and windows. Private anonymous memory in a shared file has to behave as the kernel's
 * own: dropped pages read as zero afterwards, so dropping punches the file. Where the file may not change any more
 * (frozen by a fork, or published) dropping puts private memory in its place instead.
 */
#include "arena.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MAP_32BIT
#define MAP_32BIT 0
#endif
#define READ_WRITE (PROT_READ | PROT_WRITE)
/* Mappings up to this are filled with 2 MiB pages at once: address space reserved in steps of this size is soon used
   (jemalloc), larger reservations may never be (mimalloc). */
#define MAP_FILL_BYTES_MAX ((uint64_t)256 << 20)
#define RESERVATION_FILL_BYTES_MAX ((uint64_t)64 << 20)

static bool plain_anonymous(int protection, int flags) {
    int refused = MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB | MAP_LOCKED | MAP_32BIT;
    return (flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE && !(flags & refused) &&
           !(protection & ~READ_WRITE);
}

static void mark_foreign(const struct piece *piece) {
    if (piece->kind == PIECE_EXTENT)
        extent_at(piece->cell)->flags |= EXTENT_FOREIGN;
    if (piece->kind == PIECE_WINDOW)
        arena.windows[piece->window].foreign = true;
    if (piece->kind != PIECE_IDLE)
        return;
    struct extent *extent = extent_at(piece->cell);
    if (extent->state == EXTENT_FREE)
        extents_lose(piece->offset, piece->high - piece->low);
    else
        extent->flags |= EXTENT_FOREIGN;
}

/* ---- mmap ---- */

/* A new mapping in an extent of its own. MAP_FAILED and ENODEV: let the kernel serve it. */
static void *create_extent(uint64_t bytes, int protection, int flags) {
    bool reservation = protection == PROT_NONE || (flags & MAP_NORESERVE);
    errno = ENODEV;
    if (reservation && arena.strict)
        return MAP_FAILED;
    errno = ENOMEM;
    /* A reservation costs nothing until it is written to, so only pages that are present count against the limit. */
    if (reservation && arena_resident_bytes() > arena.bytes_max) {
        arena.refused++;
        return MAP_FAILED;
    }
    if (!reservation && !arena_charge(bytes))
        return MAP_FAILED;
    uint32_t cell = extents_take(extents_order(bytes), true);
    if (cell == NO_CELL) {
        if (!reservation)
            arena_uncharge(bytes);
        errno = ENODEV;
        return MAP_FAILED;
    }
    arena_settle();
    uint64_t offset = (uint64_t)cell << CELL_SHIFT;
    struct extent *extent = extent_at(cell);
    void *address = (void *)(arena.base + offset);
    extent->kind = EXTENT_MAP;
    extent->flags = reservation ? 0 : EXTENT_CHARGED;
    extent->high = bytes;
    bool ready = reservation || arena_commit(offset, bytes);
    if (!ready || (protection != READ_WRITE && kernel_mprotect(address, bytes, protection) != 0)) {
        if (!reservation)
            arena_uncharge(bytes);
        extents_give(cell);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    arena.served++;
    return address;
}

/* Give a new mapping 2 MiB pages where it will be filled; without the lock. */
static void fill_new(void *address, uint64_t bytes, int protection, int flags) {
    uint64_t bytes_max = flags & MAP_NORESERVE ? RESERVATION_FILL_BYTES_MAX : MAP_FILL_BYTES_MAX;
    if (protection == READ_WRITE && bytes <= bytes_max)
        huge_fill_whole((uint64_t)address - arena.base, bytes);
    if (flags & MAP_POPULATE)
        kernel_madvise(address, bytes, MADV_POPULATE_WRITE);
}

/* MAP_FIXED over something of the arena's. */
static void *create_over(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    uint64_t low, high;
    if (!range_pages(address, bytes, &low, &high))
        return kernel_mmap(address, bytes, protection, flags, fd, offset);
    bool keep = plain_anonymous(protection, flags);
    for (uint64_t at = low; at < high && keep;) {
        struct piece piece = piece_at(at, high);
        keep = (piece.kind == PIECE_EXTENT || piece.kind == PIECE_WINDOW) && piece_may_change(&piece);
        at = piece.high;
    }
    void *result = keep ? address : kernel_mmap(address, bytes, protection, flags, fd, offset);
    if (result == MAP_FAILED)
        return result;
    for (uint64_t at = low; at < high;) {
        struct piece piece = piece_at(at, high);
        if (keep)
            arena_punch(piece.offset, piece.high - piece.low);
        else
            mark_foreign(&piece);
        at = piece.high;
    }
    if (keep && kernel_mprotect(address, bytes, protection) != 0)
        return MAP_FAILED;
    return result;
}

void *mapping_create(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if ((flags & MAP_FIXED) && pieces_touch((uint64_t)address, bytes)) {
        arena_lock();
        void *result = create_over(address, bytes, protection, flags, fd, offset);
        arena_unlock();
        return result;
    }
    bool movable = !(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE));
    bool wanted = plain_anonymous(protection, flags) && bytes >= MAP_BYTES_MIN && bytes <= PTRDIFF_MAX;
    if (wanted && movable && atomic_load_explicit(&arena.open, memory_order_acquire)) {
        int saved = errno;
        arena_lock();
        void *result = create_extent(round_up(bytes, PAGE_BYTES), protection, flags);
        arena_unlock();
        if (result != MAP_FAILED) {
            fill_new(result, round_up(bytes, PAGE_BYTES), protection, flags);
            errno = saved;
        }
        if (result != MAP_FAILED || errno != ENODEV)
            return result;
        errno = saved;
    }
    void *result = kernel_mmap(address, bytes, protection, flags, fd, offset);
    if (result != MAP_FAILED && !atomic_load_explicit(&arena.attached, memory_order_relaxed)) {
        if (wanted)
            adoption_record((uint64_t)result, round_up(bytes, PAGE_BYTES));
        else if ((flags & MAP_FIXED) && !plain_anonymous(protection, flags))
            adoption_forget((uint64_t)result, round_up(bytes, PAGE_BYTES));
    }
    return result;
}

/* ---- munmap ---- */

static int remove_extent(const struct piece *piece) {
    uint64_t start, bytes = piece->high - piece->low;
    struct extent *extent = piece_extent(piece, &start);
    if (arena.published && !arena.detached)
        return 0;
    bool whole = extent->kind == EXTENT_MAP && piece->low == start + extent->low && piece->high == start + extent->high;
    bool ours = piece_may_change(piece);
    int result = 0;
    if (ours && extent->kind == EXTENT_MAP) {
        arena_punch(piece->offset, bytes);
        result = kernel_mprotect((void *)piece->low, bytes, READ_WRITE);
    } else {
        result = kernel_munmap((void *)piece->low, bytes);
        if (!whole)
            extent->flags |= EXTENT_FOREIGN;
    }
    if (result != 0 || extent->kind != EXTENT_MAP)
        return result;
    uint64_t kept = extent->high - extent->low;
    if (piece->low == start + extent->low)
        extent->low += bytes;
    else if (piece->high == start + extent->high)
        extent->high -= bytes;
    if (extent->flags & EXTENT_CHARGED)
        arena_uncharge(kept - (extent->high - extent->low));
    if (extent->low < extent->high)
        return 0;
    if (!ours) {
        extent->state = EXTENT_LOST;
        return 0;
    }
    extent->dirty_end = extent->resident = 0;
    extents_give(piece->cell);
    return 0;
}

static int remove_window(const struct piece *piece) {
    if (arena.published && !arena.detached)
        return 0;
    struct window *window = &arena.windows[piece->window];
    uint64_t bytes = piece->high - piece->low, end = window->address + window->bytes;
    if (kernel_munmap((void *)piece->low, bytes) != 0)
        return -1;
    if (piece_may_change(piece))
        arena_punch(piece->offset, bytes);
    if (piece->high < end && piece->low > window->address) {
        /* A hole in the middle: the part behind it becomes a window of its own, or is never found again. */
        if (arena.window_count < WINDOWS_MAX) {
            struct window *behind = &arena.windows[arena.window_count];
            *behind = *window;
            behind->address = piece->high;
            behind->bytes = end - piece->high;
            behind->offset = window->offset + (piece->high - window->address);
            arena.window_count++;
        }
        window->bytes = piece->low - window->address;
    } else if (piece->low == window->address) {
        /* In this order: pieces_touch() looks without the lock, and has to find too much rather than too little. */
        window->address += bytes;
        atomic_thread_fence(memory_order_release);
        window->bytes -= bytes;
        window->offset += bytes;
    } else {
        window->bytes -= bytes;
    }
    return 0;
}

static int remove_range(uint64_t low, uint64_t high) {
    int result = 0;
    for (uint64_t at = low; at < high;) {
        struct piece piece = piece_at(at, high);
        uint64_t next = piece.high;
        int code = 0;
        if (piece.kind == PIECE_OTHER)
            code = kernel_munmap((void *)piece.low, piece.high - piece.low);
        if (piece.kind == PIECE_EXTENT)
            code = remove_extent(&piece);
        if (piece.kind == PIECE_WINDOW)
            code = remove_window(&piece);
        if (code != 0)
            result = code;
        at = next;
    }
    return result;
}

int mapping_remove(void *address, size_t bytes) {
    uint64_t low, high;
    if (!range_pages(address, bytes, &low, &high))
        return kernel_munmap(address, bytes);
    if (!atomic_load_explicit(&arena.attached, memory_order_acquire)) {
        adoption_forget(low, high - low);
        return kernel_munmap(address, bytes);
    }
    if (!pieces_touch(low, high - low))
        return kernel_munmap(address, bytes);
    arena_lock();
    int result = remove_range(low, high);
    arena_unlock();
    return result;
}

/* ---- madvise and mprotect ---- */

static int discard(const struct piece *piece) {
    uint64_t bytes = piece->high - piece->low;
    if (piece_may_change(piece)) {
        arena_punch(piece->offset, bytes);
        return 0;
    }
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (kernel_mmap((void *)piece->low, bytes, READ_WRITE, flags, -1, 0) == MAP_FAILED)
        return -1;
    mark_foreign(piece);
    return 0;
}

/* Advice that only sets a flag on the kernel's mapping: it would cut the arena's mapping in pieces, for nothing. */
static bool advice_is_moot(int advice) {
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_FREE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
        return true;
    default:
        return false;
    }
}

int mapping_advise(void *address, size_t bytes, int advice) {
    uint64_t low, high;
    if (!range_pages(address, bytes, &low, &high) || !pieces_touch(low, high - low))
        return kernel_madvise(address, bytes, advice);
    bool drop = advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED || advice == MADV_REMOVE;
    bool moot = advice_is_moot(advice);
    int result = 0;
    arena_lock();
    for (uint64_t at = low; at < high;) {
        struct piece piece = piece_at(at, high);
        bool ours = piece.kind == PIECE_EXTENT || piece.kind == PIECE_WINDOW;
        int code = 0;
        if (ours && drop)
            code = discard(&piece);
        else if (piece.kind == PIECE_OTHER || (ours && !moot))
            code = kernel_madvise((void *)piece.low, piece.high - piece.low, advice);
        if (code != 0)
            result = code;
        at = piece.high;
    }
    arena_unlock();
    return result;
}

/* Part of a reservation is made writable: its owner is about to fill it. */
static bool is_commit(const struct piece *piece, int protection) {
    if (protection != READ_WRITE || !piece_may_change(piece) || piece->high - piece->low > MAP_FILL_BYTES_MAX)
        return false;
    if (piece->kind == PIECE_WINDOW)
        return true;
    return piece->kind == PIECE_EXTENT && extent_at(piece->cell)->kind == EXTENT_MAP &&
           !(extent_at(piece->cell)->flags & EXTENT_CHARGED);
}

int mapping_protect(void *address, size_t bytes, int protection) {
    uint64_t low, high;
    if (!range_pages(address, bytes, &low, &high) || !pieces_touch(low, high - low))
        return kernel_mprotect(address, bytes, protection);
    int result = 0;
    struct piece committed = {.kind = PIECE_OTHER};
    arena_lock();
    for (uint64_t at = low; at < high && result == 0;) {
        struct piece piece = piece_at(at, high);
        if (piece.kind != PIECE_IDLE)
            result = kernel_mprotect((void *)piece.low, piece.high - piece.low, protection);
        if (result == 0 && is_commit(&piece, protection))
            committed = piece;
        at = piece.high;
    }
    arena_unlock();
    if (committed.kind != PIECE_OTHER)
        huge_fill_whole(committed.offset, committed.high - committed.low);
    return result;
}
