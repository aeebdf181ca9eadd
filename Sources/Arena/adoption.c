/*
 * Adoption: allocators that a warm process has used hold address space from which they serve later allocations. The
 * mappings that they made before the attachment are recorded, and moved into the file when an arena is attached, at the
 * same addresses. Only pages that are present are copied; most of such a reservation is empty.
 */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define RANGES_MAX 4096
#define SCAN_PAGES 4096

static struct range {
    uint64_t low, high;
} ranges[RANGES_MAX];
static uint32_t range_count;

/* The mappings to move, in address order. */
static struct procmap found[WINDOWS_MAX];
static uint32_t found_count;

static bool forget(uint64_t low, uint64_t high) {
    bool any = false;
    for (uint32_t i = 0; i < range_count;) {
        struct range range = ranges[i];
        if (range.high <= low || high <= range.low) {
            i++;
            continue;
        }
        any = true;
        ranges[i] = ranges[--range_count];
        if (range.low < low)
            ranges[range_count++] = (struct range){range.low, low};
        /* A range that does not fit is not adopted: buffers born in it are copied when they are published. */
        if (range.high > high && range_count < RANGES_MAX)
            ranges[range_count++] = (struct range){high, range.high};
    }
    return any;
}

void adoption_record(uint64_t low, uint64_t bytes) {
    arena_lock();
    forget(low, low + bytes);
    if (range_count < RANGES_MAX)
        ranges[range_count++] = (struct range){low, low + bytes};
    arena_unlock();
}

bool adoption_forget(uint64_t low, uint64_t bytes) {
    arena_lock();
    bool any = forget(low, low + bytes);
    arena_unlock();
    return any;
}

/* Keep the parts of a private anonymous mapping that were recorded. */
static void collect(const struct procmap *map, void *context) {
    (void)context;
    if (map->shared || map->named || map->inode != 0 || (map->protection & PROT_EXEC))
        return;
    for (uint64_t at = map->low; at < map->high && found_count < WINDOWS_MAX;) {
        uint64_t low = map->high, high = map->high;
        for (uint32_t i = 0; i < range_count; i++) {
            if (ranges[i].high <= at || ranges[i].low >= low)
                continue;
            low = ranges[i].low > at ? ranges[i].low : at;
            high = ranges[i].high < map->high ? ranges[i].high : map->high;
        }
        if (low >= map->high)
            return;
        found[found_count] = *map;
        found[found_count].low = low;
        found[found_count++].high = high;
        at = high;
    }
}

/* The first address from one on that was recorded. */
static uint64_t next_recorded(uint64_t address) {
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < range_count; i++) {
        uint64_t low = ranges[i].low > address ? ranges[i].low : address;
        if (low < ranges[i].high && low < first)
            first = low;
    }
    return first;
}

/* How presence is found out: mincore misses what is swapped out, pagemap needs a file that may be forbidden. */
struct presence {
    int pagemap; /* -1: ask mincore */
};

static bool presence_open(struct presence *presence) {
    struct sysinfo info;
    presence->pagemap = -1;
    if (sysinfo(&info) == 0 && info.totalswap == info.freeswap)
        return true;
    presence->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return presence->pagemap >= 0;
}

/* Set present[i] for every page from low on; at most SCAN_PAGES. */
static bool presence_of(const struct presence *presence, uint64_t low, uint64_t pages, uint8_t *present) {
    if (presence->pagemap < 0)
        return mincore((void *)low, pages * PAGE_BYTES, present) == 0;
    static uint64_t entries[SCAN_PAGES];
    ssize_t bytes = (ssize_t)(pages * sizeof *entries);
    if (pread(presence->pagemap, entries, (size_t)bytes, (off_t)(low / PAGE_BYTES * sizeof *entries)) != bytes)
        return false;
    for (uint64_t i = 0; i < pages; i++)
        present[i] = (entries[i] >> 62) != 0; /* present or swapped */
    return true;
}

static bool write_all(uint64_t low, uint64_t bytes, uint64_t offset) {
    while (bytes > 0) {
        ssize_t wrote = pwrite(arena.fd, (const void *)low, bytes, (off_t)offset);
        if (wrote <= 0)
            return false;
        low += (uint64_t)wrote;
        offset += (uint64_t)wrote;
        bytes -= (uint64_t)wrote;
    }
    return true;
}

/* Write the present pages of [low, high) to the file. */
static bool copy_present(const struct presence *presence, uint64_t low, uint64_t high, uint64_t offset) {
    static uint8_t present[SCAN_PAGES];
    while (low < high) {
        uint64_t pages = (high - low) / PAGE_BYTES;
        if (pages > SCAN_PAGES)
            pages = SCAN_PAGES;
        if (!presence_of(presence, low, pages, present))
            return false;
        for (uint64_t page = 0; page < pages;) {
            uint64_t run = 0;
            while (page + run < pages && (present[page + run] & 1))
                run++;
            uint64_t skipped = page * PAGE_BYTES;
            if (run && !write_all(low + skipped, run * PAGE_BYTES, offset + skipped))
                return false;
            page += run ? run : 1;
        }
        low += pages * PAGE_BYTES;
        offset += pages * PAGE_BYTES;
    }
    return true;
}

static bool adopt(const struct presence *presence, const struct procmap *map, uint64_t offset) {
    uint64_t bytes = map->high - map->low;
    void *at = (void *)map->low;
    if (!(map->protection & PROT_READ) && kernel_mprotect(at, bytes, PROT_READ) != 0)
        return false;
    if (!copy_present(presence, map->low, map->high, offset)) {
        arena_punch(offset, bytes);
        return kernel_mprotect(at, bytes, map->protection) == 0 && false;
    }
    int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    if (kernel_mmap(at, bytes, map->protection, flags, arena.fd, (off_t)offset) == MAP_FAILED) {
        /* The kernel refuses before it unmaps; the old mapping is still there. */
        arena_punch(offset, bytes);
        kernel_mprotect(at, bytes, map->protection);
        return false;
    }
    kernel_madvise(at, bytes, MADV_DONTFORK);
    arena.windows[arena.window_count++] = (struct window){.address = map->low, .bytes = bytes, .offset = offset};
    return true;
}

static bool one_thread(void) {
    struct stat tasks;
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;
}

void adoption_run(void) {
    struct presence presence;
    if (range_count == 0 || !one_thread() || !presence_open(&presence))
        return;
    int saved = errno;
    found_count = 0;
    if (!procmaps_each(collect, NULL, next_recorded))
        found_count = 0;
    for (uint32_t first = 0, end; first < found_count; first = end) {
        /* Neighbours go side by side, since an allocator may use them as one. */
        for (end = first + 1; end < found_count && found[end].low == found[end - 1].high;)
            end++;
        uint64_t start = round_down(found[first].low, HUGE_BYTES);
        uint32_t cell = extents_take(extents_order(found[end - 1].high - start), true);
        if (cell == NO_CELL)
            break;
        extent_at(cell)->kind = EXTENT_ADOPTED;
        for (uint32_t i = first; i < end; i++)
            if (!adopt(&presence, &found[i], ((uint64_t)cell << CELL_SHIFT) + (found[i].low - start)))
                break;
    }
    if (presence.pagemap >= 0)
        close(presence.pagemap);
    errno = saved;
}
