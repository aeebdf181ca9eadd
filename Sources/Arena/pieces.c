/* What is at an address: a live extent, an idle part of the arena, an adopted mapping, or somebody else's memory. */
#include "arena.h"

static struct piece base_piece(uint64_t low, uint64_t high) {
    uint64_t offset = low - arena.base;
    uint32_t cell = extents_find(offset);
    const struct extent *extent = extent_at(cell);
    uint64_t start = arena.base + ((uint64_t)cell << CELL_SHIFT);
    uint64_t end = start + extent_bytes(extent);
    struct piece piece = {.kind = PIECE_IDLE, .low = low, .high = end, .offset = offset, .cell = cell};
    bool given = extent->state == EXTENT_LIVE && extent->kind != EXTENT_ADOPTED;
    if (given && low < start + extent->low) {
        piece.high = start + extent->low;
    } else if (given && low < start + extent->high) {
        piece.kind = PIECE_EXTENT;
        piece.high = start + extent->high;
        piece.frozen = extent->flags & EXTENT_FROZEN;
        piece.foreign = extent->flags & EXTENT_FOREIGN;
    }
    /* A fork's child did not inherit idle memory, and freed parts of a frozen or foreign extent are unmapped: the
       kernel may have put something else there. */
    bool unmapped = extent->state == EXTENT_LOST || (given && extent->flags & (EXTENT_FROZEN | EXTENT_FOREIGN));
    if (piece.kind == PIECE_IDLE && (unmapped || arena.detached))
        piece.kind = PIECE_OTHER;
    if (piece.high > high)
        piece.high = high;
    return piece;
}

struct piece piece_at(uint64_t low, uint64_t high) {
    if (arena_in_base(low))
        return base_piece(low, high);
    struct piece piece = {.kind = PIECE_OTHER, .low = low, .high = high};
    if (low < arena.base && arena.base < high)
        piece.high = arena.base;
    for (uint32_t i = 0; i < arena.window_count; i++) {
        const struct window *window = &arena.windows[i];
        if (low - window->address < window->bytes) {
            piece.kind = PIECE_WINDOW;
            piece.offset = window->offset + (low - window->address);
            piece.window = i;
            piece.frozen = window->frozen;
            piece.foreign = window->foreign;
            piece.high = window->address + window->bytes < high ? window->address + window->bytes : high;
            return piece;
        }
        if (window->address > low && window->address < piece.high)
            piece.high = window->address;
    }
    return piece;
}

bool pieces_touch(uint64_t low, uint64_t bytes) {
    if (!atomic_load_explicit(&arena.attached, memory_order_acquire))
        return false;
    if (low < arena.base + arena.file_bytes && arena.base < low + bytes)
        return true;
    /* Windows only ever shrink once the arena is open, so a stale look errs towards yes. */
    for (uint32_t i = 0; i < arena.window_count; i++)
        if (low < arena.windows[i].address + arena.windows[i].bytes && arena.windows[i].address < low + bytes)
            return true;
    return false;
}

static bool aligned(const void *address) { return ((uint64_t)address & (PAGE_BYTES - 1)) == 0; }

bool range_pages(void *address, size_t bytes, uint64_t *low, uint64_t *high) {
    if (!aligned(address) || bytes == 0 || bytes > PTRDIFF_MAX)
        return false;
    *low = (uint64_t)address;
    *high = *low + round_up(bytes, PAGE_BYTES);
    return *high > *low;
}

bool piece_may_change(const struct piece *piece) {
    return !piece->frozen && !piece->foreign && !arena.published && !arena.detached;
}

struct extent *piece_extent(const struct piece *piece, uint64_t *start) {
    *start = arena.base + ((uint64_t)piece->cell << CELL_SHIFT);
    return extent_at(piece->cell);
}
