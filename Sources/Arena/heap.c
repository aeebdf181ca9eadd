/*
 * The malloc family over extents. An extent starts at its block's start, so its address says which it is; the rest of
 * the block is room to grow in place.
 */
#include "arena.h"

#include <errno.h>
#include <string.h>

/* A buffer that outgrew its block once will do so again: its next block is four times what it needs. */
#define HEADROOM_ORDERS 2
/* Extents of up to 2 MiB are cut from blocks that are collapsed as a whole (each call costs the kernel a third of a
   millisecond): 2 MiB at first, doubling up to 32 MiB. */
#define REFILL_ORDER_MAX (HUGE_ORDER + 4)

static unsigned refill_order = HUGE_ORDER;

static void *address_of(uint32_t cell) { return (void *)(arena.base + ((uint64_t)cell << CELL_SHIFT)); }

/* The live heap extent that starts at the address, NULL when the address is not the arena's; the lock is held. */
static struct extent *extent_of(const void *address, uint32_t *cell) {
    struct piece piece = piece_at((uint64_t)address, (uint64_t)address + 1);
    if (piece.kind == PIECE_OTHER)
        return NULL;
    *cell = piece.cell;
    struct extent *extent = extent_at(*cell);
    if (piece.foreign && address_of(*cell) != address)
        return NULL;
    if (piece.kind != PIECE_EXTENT || extent->kind != EXTENT_HEAP || address_of(*cell) != address)
        arena_die("free() or realloc() of an address that malloc did not give, or that was freed before");
    return extent;
}

/* Have small blocks made of 2 MiB pages ready; the lock is held. */
static void refill(unsigned order) {
    if (!arena.huge || arena.strict || order > HUGE_ORDER)
        return;
    uint64_t spare = arena.bytes_max - arena.live_bytes;
    while (refill_order > HUGE_ORDER && CELL_BYTES << refill_order > spare / 16)
        refill_order--;
    if (HUGE_BYTES > spare)
        return;
    uint32_t cell = extents_take(refill_order, true);
    if (cell == NO_CELL)
        return;
    uint64_t bytes = CELL_BYTES << refill_order;
    if (huge_collapse((uint64_t)cell << CELL_SHIFT, bytes))
        extent_at(cell)->resident = bytes;
    extents_give(cell);
    if (refill_order < REFILL_ORDER_MAX)
        refill_order++;
}

/* Take a block for so many bytes, if possible one of `headroom` orders more; the lock is held. */
static int take(uint64_t bytes, unsigned order, unsigned headroom, uint32_t *cell) {
    if (!arena_charge(bytes))
        return ENOMEM;
    if (!extents_present(order))
        refill(order);
    *cell = NO_CELL;
    for (unsigned more = headroom + 1; more-- > 0 && *cell == NO_CELL;)
        if (CELL_BYTES << (order + more) <= arena.file_bytes / 8 || more == 0)
            *cell = extents_take(order + more, false);
    if (*cell == NO_CELL) {
        arena_uncharge(bytes);
        return ENODEV;
    }
    arena_settle();
    struct extent *extent = extent_at(*cell);
    /* What is there already is for others, if it isn't needed to grow. */
    if (headroom == 0 && !arena.strict)
        extents_cut(*cell, bytes);
    extent->kind = EXTENT_HEAP;
    extent->flags = EXTENT_CHARGED;
    extent->high = bytes;
    if (!arena_commit((uint64_t)*cell << CELL_SHIFT, bytes)) {
        arena_uncharge(bytes);
        extents_give(*cell);
        return ENOMEM;
    }
    arena.served++;
    return 0;
}

static int allocate(size_t bytes, size_t alignment, unsigned headroom, bool zero, void **out) {
    if (alignment > BASE_ALIGNMENT)
        return ENODEV;
    if (bytes > PTRDIFF_MAX)
        return ENOMEM;
    uint64_t rounded = round_up(bytes, PAGE_BYTES);
    unsigned order = extents_order(rounded > alignment ? rounded : alignment);
    uint32_t cell;
    arena_lock();
    int code = atomic_load(&arena.open) ? take(rounded, order, headroom, &cell) : ENODEV;
    uint64_t dirty = code == 0 ? extent_at(cell)->dirty_end : 0;
    arena_unlock();
    if (code != 0)
        return code;

    /* The extent is ours alone from here on. */
    struct extent *extent = extent_at(cell);
    uint64_t resident = huge_fill((uint64_t)cell << CELL_SHIFT, dirty, rounded, CELL_BYTES << extent->order);
    if (resident > extent->resident)
        extent->resident = resident;
    *out = address_of(cell);
    if (zero && dirty > 0)
        memset(*out, 0, dirty < rounded ? dirty : rounded);
    return 0;
}

int heap_allocate(size_t bytes, size_t alignment, bool zero, void **out) {
    return allocate(bytes, alignment, 0, zero, out);
}

size_t heap_usable(const void *address) {
    if (!atomic_load_explicit(&arena.attached, memory_order_acquire) || !arena_in_base((uint64_t)address))
        return 0;
    uint32_t cell;
    arena_lock();
    struct extent *extent = extent_of(address, &cell);
    size_t bytes = extent ? extent->high : 0;
    arena_unlock();
    return bytes;
}

/* Let go of a live heap extent; the lock is held. */
static void release(uint32_t cell, struct extent *extent) {
    if (arena.published && !arena.detached)
        return;
    arena_uncharge(extent->high);
    if (extent->flags & (EXTENT_FROZEN | EXTENT_FOREIGN)) {
        kernel_munmap(address_of(cell), extent->high);
        extent->state = EXTENT_LOST;
        return;
    }
    if (extent->high > extent->dirty_end)
        extent->dirty_end = extent->high;
    if (extent->dirty_end > extent->resident)
        extent->resident = extent->dirty_end;
    extents_give(cell);
}

bool heap_free(void *address) {
    if (!atomic_load_explicit(&arena.attached, memory_order_acquire) || !arena_in_base((uint64_t)address))
        return false;
    int saved = errno;
    uint32_t cell;
    arena_lock();
    struct extent *extent = extent_of(address, &cell);
    if (extent)
        release(cell, extent);
    arena_unlock();
    errno = saved;
    return extent != NULL;
}

/* Change the extent's size where it is; the lock is held. 0, ENOMEM, or ENODEV: it has to move. */
static int resize_in_place(uint32_t cell, struct extent *extent, uint64_t rounded) {
    if (rounded <= extent->high) {
        if (arena.published)
            return 0;
        if (extent->high > extent->dirty_end)
            extent->dirty_end = extent->high;
        /* A frozen extent keeps its size, so that its private mapping is released as a whole. */
        if (extent->flags & EXTENT_FROZEN)
            return 0;
        arena_uncharge(extent->high - rounded);
        extent->high = rounded;
        if (extent->dirty_end > extent->resident)
            extent->resident = extent->dirty_end;
        /* Libraries ask for powers of two and shrink to what they need. */
        if (!arena.strict && !(extent->flags & EXTENT_FOREIGN))
            extents_cut(cell, rounded);
        return 0;
    }
    if (extent->flags & (EXTENT_FROZEN | EXTENT_FOREIGN))
        return ENODEV;
    if (extents_order(rounded) >= ORDERS)
        return ENOMEM;
    if (!extents_grow(cell, rounded))
        return ENODEV;
    if (!arena_charge(rounded - extent->high))
        return ENOMEM;
    if (!arena_commit((uint64_t)cell << CELL_SHIFT, rounded)) {
        arena_uncharge(rounded - extent->high);
        return ENOMEM;
    }
    extent->high = rounded;
    return 0;
}

int heap_resize(void *address, size_t bytes, void **out) {
    if (!atomic_load_explicit(&arena.attached, memory_order_acquire) || !arena_in_base((uint64_t)address))
        return ESRCH;
    if (bytes > PTRDIFF_MAX)
        return ENOMEM;
    uint64_t rounded = round_up(bytes, PAGE_BYTES);
    uint32_t cell;
    arena_lock();
    struct extent *extent = extent_of(address, &cell);
    if (!extent) {
        arena_unlock();
        return ESRCH;
    }
    uint64_t before = extent->high;
    int code = resize_in_place(cell, extent, rounded);
    uint64_t clean = extent->dirty_end > before ? extent->dirty_end : before;
    uint64_t capacity = extent_bytes(extent);
    arena_unlock();
    if (code == 0) {
        *out = address;
        if (rounded <= before)
            return 0;
        uint64_t resident = huge_fill((uint64_t)cell << CELL_SHIFT, clean, rounded, capacity);
        if (resident > extent->resident)
            extent->resident = resident;
        return 0;
    }
    if (code == ENODEV)
        code = allocate(bytes, 1, HEADROOM_ORDERS, false, out);
    if (code == 0) {
        memcpy(*out, address, before < bytes ? before : bytes);
        heap_free(address);
    }
    return code;
}
