/*
 * Extents: a buddy allocator over the file, in cells of 64 KiB. Its records are in private memory, so the file holds
 * nothing but what its owners wrote.
 *
 * A free block is cold (no pages present), clean (some are, all zero) or dirty. Blocks merge with their own kind only,
 * and those with pages are handed out first: a fault costs more than the copy it would replace.
 */
#include "arena.h"

#include <sys/mman.h>

/* A small request may split a dirty block of up to this order (32 MiB): larger ones wait for a request of their size.
 */
#define DIRTY_SPLIT_ORDER 9
/* Less than this is not cut off from a block: records and searches would cost more than the pages are worth. */
#define CUT_BYTES_MIN ((uint64_t)256 << 10)

enum kind { COLD, CLEAN, DIRTY, KINDS };

static struct extent *table;
static uint32_t cell_count;
static uint32_t lists[KINDS][ORDERS];

struct extent *extent_at(uint32_t cell) { return &table[cell]; }

static enum kind kind_of(const struct extent *extent) {
    return extent->dirty_end > 0 ? DIRTY : extent->resident > 0 ? CLEAN : COLD;
}

static void list_add(uint32_t cell) {
    struct extent *extent = &table[cell];
    uint32_t *head = &lists[kind_of(extent)][extent->order];
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
        lists[kind_of(extent)][extent->order] = extent->next;
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
        lists[COLD][order] = lists[CLEAN][order] = lists[DIRTY][order] = NO_CELL;
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
    if (left->dirty_end > 0) {
        /* A block is dirty from its start on: the right half only as far as that reaches into it. */
        right->dirty_end = left->dirty_end > half ? left->dirty_end - half : 0;
        right->resident = left->resident > half ? left->resident - half : 0;
    } else {
        right->resident = round_down(left->resident / 2, PAGE_BYTES);
    }
    left->dirty_end = left->dirty_end > half ? half : left->dirty_end;
    left->resident -= right->resident;
    list_add(other);
}

/* The smallest block of a kind between two orders. */
static uint32_t find_kind(enum kind kind, unsigned order, unsigned last) {
    for (unsigned at = order; at < ORDERS && at <= last; at++)
        if (lists[kind][at] != NO_CELL)
            return lists[kind][at];
    return NO_CELL;
}

/* A block with pages present; only a clean one if it has to be zero. */
static uint32_t find_present(unsigned order, bool zero) {
    unsigned last = order + 3 > DIRTY_SPLIT_ORDER ? order + 3 : DIRTY_SPLIT_ORDER;
    uint32_t found = zero ? NO_CELL : find_kind(DIRTY, order, last);
    return found != NO_CELL ? found : find_kind(CLEAN, order, ORDERS);
}

bool extents_present(unsigned order) { return find_present(order, false) != NO_CELL; }

static uint32_t find_free(unsigned order, bool zero) {
    uint32_t found = find_present(order, zero);
    if (found == NO_CELL)
        found = find_kind(COLD, order, ORDERS);
    return found != NO_CELL ? found : find_kind(DIRTY, order, ORDERS);
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
    extent->cut = 0;
    extent->low = extent->high = 0;
    return cell;
}

/* The free block of the same size and kind that makes a bigger one together with this, or NO_CELL. */
static uint32_t buddy_of(uint32_t cell) {
    const struct extent *extent = &table[cell];
    uint64_t size = (uint64_t)1 << extent->order;
    uint64_t other = cell ^ size;
    if (extent->order + 1 >= ORDERS || other + size > cell_count)
        return NO_CELL;
    const struct extent *buddy = &table[other];
    if (buddy->state != EXTENT_FREE || buddy->order != extent->order)
        return NO_CELL;
    return kind_of(buddy) == kind_of(extent) ? (uint32_t)other : NO_CELL;
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

/* The part [from, to) of [0, end), counted from `from`. */
static uint64_t part(uint64_t end, uint64_t from, uint64_t to) {
    return end <= from ? 0 : (end < to ? end : to) - from;
}

/* Make free blocks of the cells [from, to) of a block at `cell` that is dirty and present as told. Both are whole
   cells, and one of them is the block's start or its end. */
static void insert_parts(uint32_t cell, struct extent whole, uint32_t from, uint32_t to) {
    uint64_t bytes = CELL_BYTES << whole.order;
    while (from < to) {
        unsigned order = 0;
        while ((from & (((uint32_t)2 << order) - 1)) == 0 && from + ((uint32_t)2 << order) <= to)
            order++;
        uint64_t low = (uint64_t)from << CELL_SHIFT, high = low + (CELL_BYTES << order);
        uint64_t dirty = part(whole.dirty_end, low, high), resident = part(whole.resident, low, high);
        if (whole.dirty_end == 0)
            resident = round_down(whole.resident / (bytes >> CELL_SHIFT), PAGE_BYTES) << order;
        table[cell + from] = (struct extent){.order = (uint8_t)order, .dirty_end = dirty, .resident = resident};
        insert(cell + from);
        from += (uint32_t)1 << order;
    }
}

void extents_give(uint32_t cell) {
    struct extent whole = table[cell];
    if (whole.cut)
        insert_parts(cell, whole, 0, whole.cut);
    else
        insert(cell);
    if (arena.idle_bytes > arena.idle_bytes_max)
        extents_reclaim(arena.idle_bytes - arena.idle_bytes_max);
}

void extents_cut(uint32_t cell, uint64_t bytes) {
    struct extent *extent = &table[cell];
    struct extent whole = *extent;
    uint64_t kept = round_up(bytes, CELL_BYTES), all = CELL_BYTES << whole.order;
    if (whole.cut || kept == 0 || kept >= all)
        return;
    uint64_t resident = part(whole.resident, 0, kept);
    if (whole.dirty_end == 0)
        resident = round_up(whole.resident / (all >> CELL_SHIFT), PAGE_BYTES) * (kept >> CELL_SHIFT);
    if (whole.resident < resident + CUT_BYTES_MIN)
        return;
    extent->cut = (uint32_t)(kept >> CELL_SHIFT);
    extent->dirty_end = part(whole.dirty_end, 0, kept);
    extent->resident = resident;
    insert_parts(cell, whole, extent->cut, (uint32_t)1 << whole.order);
}

/* Take back what was cut off a live block, if all of it is free. */
static bool join_cut(uint32_t cell) {
    struct extent *extent = &table[cell];
    uint32_t end = cell + ((uint32_t)1 << extent->order);
    for (uint32_t at = cell + extent->cut; at < end; at += (uint32_t)1 << table[at].order)
        if (table[at].state != EXTENT_FREE)
            return false;
    for (uint32_t at = cell + extent->cut, size; at < end; at += size) {
        size = (uint32_t)1 << table[at].order;
        list_remove(at);
        if (table[at].dirty_end > 0)
            extent->dirty_end = ((uint64_t)(at - cell) << CELL_SHIFT) + table[at].dirty_end;
        extent->resident += table[at].resident;
        table[at].state = EXTENT_INSIDE;
    }
    extent->cut = 0;
    return true;
}

bool extents_grow(uint32_t cell, uint64_t bytes) {
    if (bytes <= extent_bytes(&table[cell]))
        return true;
    if (table[cell].cut && !join_cut(cell))
        return false;
    unsigned order = extents_order(bytes);
    if (order >= ORDERS)
        return false;
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
        if (extent->state != EXTENT_INSIDE && cell - head < extent_bytes(extent) >> CELL_SHIFT)
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
    for (unsigned order = ORDERS; order-- > 0;) {
        for (enum kind kind = CLEAN; kind < KINDS; kind++) {
            while (lists[kind][order] != NO_CELL && arena.idle_bytes > goal) {
                uint32_t cell = lists[kind][order];
                list_remove(cell);
                arena_punch((uint64_t)cell << CELL_SHIFT, CELL_BYTES << order);
                table[cell].dirty_end = table[cell].resident = 0;
                insert(cell);
            }
        }
    }
}

/* Note which pages of a cold block that is on no list are present; halve the block until half of each part is. */
static void note_present(uint32_t cell, const struct span *spans, uint32_t count) {
    struct extent *extent = &table[cell];
    uint64_t low = (uint64_t)cell << CELL_SHIFT, high = low + (CELL_BYTES << extent->order), present = 0;
    while (count > 0 && spans[0].high <= low)
        spans++, count--;
    while (count > 0 && spans[count - 1].low >= high)
        count--;
    for (uint32_t i = 0; i < count; i++)
        present += (spans[i].high < high ? spans[i].high : high) - (spans[i].low > low ? spans[i].low : low);
    if (present == 0 || present >= (high - low) / 2 || extent->order <= HUGE_ORDER) {
        extent->resident = present;
        list_add(cell);
        return;
    }
    split(cell);
    uint32_t other = cell + ((uint32_t)1 << extent->order);
    list_remove(other);
    note_present(cell, spans, count);
    note_present(other, spans, count);
}

void extents_note_present(const struct span *spans, uint32_t count) {
    for (uint32_t cell = 0, next; cell < cell_count; cell = next) {
        next = cell + ((uint32_t)1 << table[cell].order);
        if (table[cell].state != EXTENT_FREE)
            continue;
        list_remove(cell);
        note_present(cell, spans, count);
    }
}
