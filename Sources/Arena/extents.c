/*
 * Extents: a buddy allocator over the file, in cells of 64 KiB. Its records are in private memory, so the file holds
 * nothing but what its owners wrote.
 *
 * A free block is cold (no pages present) or warm (some are). Warm blocks are handed out first and merge only with warm
 * ones: a fault costs more than the copy it would replace.
 */
#include "arena.h"

#include <sys/mman.h>

/* A small request may split a warm block of up to this order (32 MiB), so that a warm region serves small requests. */
#define WARM_SPLIT_ORDER 9

static struct extent *table;
static uint32_t cell_count;
static uint32_t lists[2][ORDERS]; /* [warm][order] */

struct extent *extent_at(uint32_t cell) { return &table[cell]; }

static bool is_warm(const struct extent *extent) { return extent->resident > 0; }

static void list_add(uint32_t cell) {
    struct extent *extent = &table[cell];
    uint32_t *head = &lists[is_warm(extent)][extent->order];
    extent->previous = NO_CELL;
    extent->next = *head;
    if (*head != NO_CELL)
        table[*head].previous = cell;
    *head = cell;
    arena.idle_bytes += extent->resident;
}

static void list_remove(uint32_t cell) {
    struct extent *extent = &table[cell];
    if (extent->previous != NO_CELL)
        table[extent->previous].next = extent->next;
    else
        lists[is_warm(extent)][extent->order] = extent->next;
    if (extent->next != NO_CELL)
        table[extent->next].previous = extent->previous;
    arena.idle_bytes -= extent->resident;
}

bool extents_setup(uint64_t file_bytes) {
    cell_count = (uint32_t)(file_bytes >> CELL_SHIFT);
    size_t bytes = (size_t)cell_count * sizeof *table;
    table = kernel_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        return false;
    for (unsigned order = 0; order < ORDERS; order++)
        lists[0][order] = lists[1][order] = NO_CELL;
    for (uint32_t cell = 0; cell < cell_count;) {
        unsigned order = 0;
        while (order + 1 < ORDERS && (cell & (((uint64_t)2 << order) - 1)) == 0 &&
               cell + ((uint64_t)2 << order) <= cell_count)
            order++;
        table[cell] = (struct extent){.state = EXTENT_FREE, .order = (uint8_t)order};
        list_add(cell);
        cell += (uint32_t)1 << order;
    }
    return true;
}

unsigned extents_order(uint64_t bytes) {
    unsigned order = 0;
    while (order < ORDERS && (CELL_BYTES << order) < bytes)
        order++;
    return order;
}

/* Halve a block that is on no list: the right half becomes a free block on a list. */
static void split(uint32_t cell) {
    struct extent *left = &table[cell];
    left->order--;
    uint64_t half = CELL_BYTES << left->order;
    uint32_t other = cell + ((uint32_t)1 << left->order);
    struct extent *right = &table[other];
    *right = (struct extent){.state = EXTENT_FREE, .order = left->order};
    right->dirty_end = left->dirty_end > half ? left->dirty_end - half : 0;
    if (left->dirty_end > half)
        left->dirty_end = half;
    right->resident = left->resident > half ? left->resident - half : 0;
    if (left->resident > half)
        left->resident = half;
    list_add(other);
}

/* A warm block that is not too large to be cut for this order. */
static uint32_t find_warm(unsigned order) {
    unsigned last = order + 3 > WARM_SPLIT_ORDER ? order + 3 : WARM_SPLIT_ORDER;
    for (unsigned at = order; at < ORDERS && at <= last; at++)
        if (lists[1][at] != NO_CELL)
            return lists[1][at];
    return NO_CELL;
}

bool extents_warm(unsigned order) { return find_warm(order) != NO_CELL; }

static uint32_t find_free(unsigned order, bool zero) {
    uint32_t found = zero ? NO_CELL : find_warm(order);
    if (found != NO_CELL)
        return found;
    for (int warm = 0; warm < 2; warm++)
        for (unsigned at = order; at < ORDERS; at++)
            if (lists[warm][at] != NO_CELL)
                return lists[warm][at];
    return NO_CELL;
}

uint32_t extents_take(unsigned order, bool zero) {
    uint32_t cell = order < ORDERS ? find_free(order, zero) : NO_CELL;
    if (cell == NO_CELL)
        return NO_CELL;
    struct extent *extent = &table[cell];
    list_remove(cell);
    while (extent->order > order)
        split(cell);
    if (zero && extent->dirty_end > 0) {
        arena_punch((uint64_t)cell << CELL_SHIFT, extent->dirty_end);
        extent->dirty_end = 0;
    }
    extent->state = EXTENT_LIVE;
    extent->flags = 0;
    extent->low = extent->high = 0;
    return cell;
}

/* The free block of the same size and warmth that makes a bigger one together with this, or NO_CELL. */
static uint32_t buddy_of(uint32_t cell) {
    const struct extent *extent = &table[cell];
    uint64_t size = (uint64_t)1 << extent->order;
    uint64_t other = cell ^ size;
    if (extent->order + 1 >= ORDERS || other + size > cell_count)
        return NO_CELL;
    const struct extent *buddy = &table[other];
    if (buddy->state != EXTENT_FREE || buddy->order != extent->order)
        return NO_CELL;
    return is_warm(buddy) == is_warm(extent) ? (uint32_t)other : NO_CELL;
}

/* Join two blocks that are on no list; returns the first cell of the result, whose state is the left one's. */
static uint32_t join(uint32_t a, uint32_t b) {
    struct extent *left = &table[a < b ? a : b], *right = &table[a < b ? b : a];
    uint64_t half = CELL_BYTES << left->order;
    if (right->dirty_end > 0)
        left->dirty_end = half + right->dirty_end;
    left->resident += right->resident;
    left->order++;
    right->state = EXTENT_INSIDE;
    return a < b ? a : b;
}

static void insert(uint32_t cell) {
    table[cell].state = EXTENT_FREE;
    table[cell].flags = 0;
    for (uint32_t buddy; (buddy = buddy_of(cell)) != NO_CELL;) {
        list_remove(buddy);
        cell = join(cell, buddy);
    }
    list_add(cell);
}

void extents_give(uint32_t cell) {
    insert(cell);
    if (arena.idle_bytes > arena.idle_bytes_max)
        extents_reclaim(arena.idle_bytes - arena.idle_bytes_max);
}

bool extents_grow(uint32_t cell, unsigned order) {
    for (unsigned at = table[cell].order; at < order; at++) {
        uint64_t size = (uint64_t)1 << at, other = cell + size;
        if ((cell & size) != 0 || other + size > cell_count)
            return false;
        if (table[other].state != EXTENT_FREE || table[other].order != at)
            return false;
    }
    while (table[cell].order < order) {
        uint32_t other = cell + ((uint32_t)1 << table[cell].order);
        list_remove(other);
        join(cell, other);
    }
    return true;
}

uint32_t extents_find(uint64_t offset) {
    uint32_t cell = (uint32_t)(offset >> CELL_SHIFT);
    for (unsigned order = 0; order < ORDERS; order++) {
        uint32_t head = cell & ~(((uint32_t)1 << order) - 1);
        const struct extent *extent = &table[head];
        if (extent->state != EXTENT_INSIDE && cell - head < (uint64_t)1 << extent->order)
            return head;
    }
    arena_die("no block holds this offset: the extent table is damaged");
}

void extents_lose(uint64_t offset, uint64_t bytes) {
    uint32_t cell = extents_find(offset);
    list_remove(cell);
    while (table[cell].order > 0) {
        uint64_t start = (uint64_t)cell << CELL_SHIFT;
        uint64_t middle = start + (CELL_BYTES << (table[cell].order - 1));
        if (offset < middle && offset + bytes > middle)
            break;
        split(cell);
        if (offset >= middle) {
            list_add(cell);
            cell = (uint32_t)(middle >> CELL_SHIFT);
            list_remove(cell);
        }
    }
    table[cell].state = EXTENT_LOST;
}

void extents_reclaim(uint64_t bytes) {
    uint64_t goal = arena.idle_bytes > bytes ? arena.idle_bytes - bytes : 0;
    for (unsigned order = ORDERS; order-- > 0 && arena.idle_bytes > goal;) {
        while (lists[1][order] != NO_CELL && arena.idle_bytes > goal) {
            uint32_t cell = lists[1][order];
            list_remove(cell);
            arena_punch((uint64_t)cell << CELL_SHIFT, CELL_BYTES << order);
            table[cell].dirty_end = table[cell].resident = 0;
            insert(cell);
        }
    }
}
