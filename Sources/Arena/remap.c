/*
 * mremap over extents and windows. Extents grow in the address space behind them; one that has to move is copied,
 * because its place in the file decides its address.
 */
#include "arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* Grow the last extent of the range where it is; the lock is held. */
static bool grow_in_place(uint64_t high_old, uint64_t high_new) {
    struct piece piece = piece_at(high_old - PAGE_BYTES, high_old);
    if (piece.kind != PIECE_EXTENT || !piece_may_change(&piece))
        return false;
    uint64_t start;
    struct extent *extent = piece_extent(&piece, &start);
    if (extent->kind != EXTENT_MAP || start + extent->high != high_old)
        return false;
    if (!extents_grow(piece.cell, high_new - start))
        return false;
    bool charged = extent->flags & EXTENT_CHARGED;
    uint64_t bytes = high_new - high_old, offset = high_old - arena.base;
    if (charged && !arena_charge(bytes))
        return false;
    if (!arena_commit(offset, bytes)) {
        if (charged)
            arena_uncharge(bytes);
        return false;
    }
    if (extent->dirty_end > extent->high)
        arena_punch(offset, bytes);
    extent->high += bytes;
    return true;
}

/* Copy the content of the range, whatever its protection; the lock is held. False if some of it is not the arena's. */
static bool copy_out(char *target, uint64_t low, uint64_t high) {
    for (uint64_t at = low; at < high;) {
        struct piece piece = piece_at(at, high);
        if (piece.kind != PIECE_EXTENT && piece.kind != PIECE_WINDOW)
            return false;
        const void *source = (const void *)(arena.control + piece.offset);
        if (piece.frozen || piece.foreign) {
            source = (const void *)piece.low;
            if (kernel_mprotect((void *)piece.low, piece.high - piece.low, READ_WRITE) != 0)
                return false;
        }
        memcpy(target + (at - low), source, piece.high - piece.low);
        at = piece.high;
    }
    return true;
}

static void *move_range(uint64_t low, uint64_t high, uint64_t bytes_new, int flags, void *address_new) {
    int map_flags = MAP_PRIVATE | MAP_ANONYMOUS | (flags & MREMAP_FIXED ? MAP_FIXED : 0);
    void *target = mapping_create(flags & MREMAP_FIXED ? address_new : NULL, bytes_new, READ_WRITE, map_flags, -1, 0);
    if (target == MAP_FAILED)
        return MAP_FAILED;
    uint64_t kept = high - low < bytes_new ? high - low : bytes_new;
    arena_lock();
    bool copied = copy_out(target, low, low + kept);
    arena_unlock();
    if (!copied) {
        mapping_remove(target, bytes_new);
        errno = EFAULT;
        return MAP_FAILED;
    }
    if (flags & MREMAP_DONTUNMAP)
        mapping_advise((void *)low, high - low, MADV_DONTNEED);
    else
        mapping_remove((void *)low, high - low);
    return target;
}

/* Before the attachment: the kernel moves, and the record follows. */
static void *move_recorded(void *address, size_t bytes_old, size_t bytes_new, int flags, void *address_new) {
    void *result = kernel_mremap(address, bytes_old, bytes_new, flags, address_new);
    if (result == MAP_FAILED || atomic_load_explicit(&arena.attached, memory_order_acquire))
        return result;
    uint64_t before = round_up(bytes_old, PAGE_BYTES), after = round_up(bytes_new, PAGE_BYTES);
    bool recorded = adoption_forget((uint64_t)address, before);
    if (flags & MREMAP_FIXED)
        adoption_forget((uint64_t)address_new, after);
    if (recorded && after >= MAP_BYTES_MIN)
        adoption_record((uint64_t)result, after);
    return result;
}

void *mapping_move(void *address, size_t bytes_old, size_t bytes_new, int flags, void *address_new) {
    uint64_t low, high, end;
    bool valid = range_pages(address, bytes_old, &low, &high) && range_pages(address, bytes_new, &low, &end);
    if (!valid || !pieces_touch(low, high - low))
        return move_recorded(address, bytes_old, bytes_new, flags, address_new);
    if (!(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))) {
        if (end < high)
            return mapping_remove((void *)end, high - end) == 0 ? address : MAP_FAILED;
        if (end == high)
            return address;
        arena_lock();
        bool grown = grow_in_place(high, end);
        arena_unlock();
        if (grown)
            return address;
    }
    if (!(flags & MREMAP_MAYMOVE)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return move_range(low, high, end - low, flags, address_new);
}
