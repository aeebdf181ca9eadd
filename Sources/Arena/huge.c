/*
 * 2 MiB pages. MADV_COLLAPSE (Linux 6.1) makes them from a range of a memfd in which one byte per 2 MiB has been
 * touched, whatever shmem_enabled says. It is used for memory whose size is known and which will be filled, never on
 * reservations.
 */
#include "arena.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
/* A last chunk that is filled less than half stays in small pages, unless the extent is so large that it hardly
 * matters. */
#define TAIL_BYTES_MIN ((uint64_t)1 << 20)
#define TAIL_ALWAYS_BYTES ((uint64_t)16 << 20)
/* A refused chunk can cost a search through all of the memory. */
#define FAILURES_MAX 16

static atomic_bool worked;

static void touch(uint64_t offset, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes; at += HUGE_BYTES)
        (void)*(volatile char *)(arena.base + offset + at);
}

/* The kernel lacks it when the very first attempt is refused as invalid. */
static void note_refusal(int code) {
    if (code != EINVAL || atomic_load(&worked) || !atomic_exchange(&arena.huge, false))
        return;
    arena_say("this kernel does not make 2 MiB pages of shared memory on request (MADV_COLLAPSE, Linux 6.1): "
              "using 4 KiB pages, so large tables take longer to build and to read");
}

static void mark_whole(uint64_t offset, uint64_t bytes) {
    for (uint64_t chunk = offset >> HUGE_SHIFT, end = (offset + bytes) >> HUGE_SHIFT; chunk < end; chunk++) {
        if (!arena.huge_chunks[chunk])
            atomic_fetch_add(&arena.huge_bytes, HUGE_BYTES);
        arena.huge_chunks[chunk] = 1;
    }
}

static bool collapse(uint64_t offset, uint64_t bytes) {
    if (kernel_madvise((void *)(arena.base + offset), bytes, MADV_COLLAPSE) != 0)
        return false;
    atomic_store(&worked, true);
    mark_whole(offset, bytes);
    return true;
}

/*
 * One call stops at the first chunk for which no free 2 MiB page is found, and all behind it would stay in small pages;
 * the next page may be there already, as memory is compacted meanwhile. So each chunk gets a try of its own, until too
 * many have failed for the attempts to be worth their time.
 */
static bool collapse_each(uint64_t offset, uint64_t bytes) {
    unsigned failures = 0;
    for (uint64_t at = 0; at < bytes && failures < FAILURES_MAX; at += HUGE_BYTES)
        if (!collapse(offset + at, HUGE_BYTES) && !collapse(offset + at, HUGE_BYTES))
            failures++;
    return failures == 0;
}

bool huge_collapse(uint64_t offset, uint64_t bytes) {
    int saved = errno;
    touch(offset, bytes);
    bool done = collapse(offset, bytes);
    if (!done) {
        note_refusal(errno);
        done = arena.huge && bytes > HUGE_BYTES && collapse_each(offset, bytes);
    }
    errno = saved;
    return done;
}

void huge_forget(uint64_t offset, uint64_t bytes) {
    if (!arena.huge)
        return;
    uint64_t end = (offset + bytes + HUGE_BYTES - 1) >> HUGE_SHIFT;
    for (uint64_t chunk = offset >> HUGE_SHIFT; chunk < end; chunk++) {
        if (arena.huge_chunks[chunk]) {
            arena.huge_chunks[chunk] = 0;
            atomic_fetch_sub(&arena.huge_bytes, HUGE_BYTES);
        }
    }
}

void huge_note_whole(uint64_t low, uint64_t high) {
    low = round_up(low, HUGE_BYTES);
    if (low < round_down(high, HUGE_BYTES))
        mark_whole(low, round_down(high, HUGE_BYTES) - low);
}

/* Collapse the chunks of [first, last) that are not whole yet; both are multiples of 2 MiB. */
static bool collapse_new(uint64_t first, uint64_t last) {
    bool done = true;
    while (first < last && arena.huge) {
        uint64_t end = first;
        while (end < last && !arena.huge_chunks[end >> HUGE_SHIFT])
            end += HUGE_BYTES;
        if (end > first && !huge_collapse(first, end - first))
            done = false;
        first = end > first ? end : first + HUGE_BYTES;
    }
    return done;
}

uint64_t huge_fill(uint64_t offset, uint64_t from, uint64_t to, uint64_t capacity) {
    if (!arena.huge || to > arena.collapse_bytes_max || to < TAIL_BYTES_MIN || capacity < HUGE_BYTES)
        return to;
    uint64_t first = round_up(from, HUGE_BYTES), last = round_down(to, HUGE_BYTES);
    if (to - last >= TAIL_BYTES_MIN || (to > last && to >= TAIL_ALWAYS_BYTES))
        last += HUGE_BYTES;
    if (last > capacity)
        last = round_down(capacity, HUGE_BYTES);
    if (first >= last || !collapse_new(offset + first, offset + last))
        return to;
    return last > to ? last : to;
}

void huge_fill_whole(uint64_t offset, uint64_t bytes) {
    uint64_t first = round_up(offset, HUGE_BYTES), last = round_down(offset + bytes, HUGE_BYTES);
    if (first >= last || !arena.huge || arena_resident_bytes() + (last - first) > arena.bytes_max / 2)
        return;
    collapse_new(first, last);
}
