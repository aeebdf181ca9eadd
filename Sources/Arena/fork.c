/*
 * fork: parent and child must not write to the same pages, so before a fork every live extent is mapped private at its
 * place. That is atomic towards other threads. From then on the file keeps what it held, both processes copy on write,
 * and the parent serves new extents from blocks that were free, which stay shared. The child inherits none of the
 * shared mappings (MADV_DONTFORK): it serves nothing from the file, and a child that was made without these handlers
 * faults instead of corrupting its parent's memory.
 */
#include "arena.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

struct freezing {
    bool failed;
};

static bool shows(const struct procmap *map, uint64_t address, uint64_t offset) {
    return map->offset + (address - map->low) == offset;
}

static void map_private(uint64_t low, uint64_t high, uint64_t offset, int protection, struct freezing *freezing) {
    int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    if (kernel_mmap((void *)low, high - low, protection, flags, arena.fd, (off_t)offset) == MAP_FAILED)
        freezing->failed = true;
}

/* Make the live parts of one shared mapping of the file private, as few system calls as there are gaps. */
static void freeze_mapping(const struct procmap *map, void *context) {
    if (!map->shared || map->inode != arena.inode || map->low == arena.control)
        return;
    uint64_t run_low = 0, run_high = 0, run_offset = 0;
    for (uint64_t at = map->low; at < map->high;) {
        struct piece piece = piece_at(at, map->high);
        bool live = (piece.kind == PIECE_EXTENT || piece.kind == PIECE_WINDOW) && shows(map, at, piece.offset);
        if (live && run_high == at && run_offset + (at - run_low) == piece.offset && run_low < run_high) {
            run_high = piece.high;
        } else {
            if (run_low < run_high)
                map_private(run_low, run_high, run_offset, map->protection, context);
            run_low = run_high = 0;
            if (live) {
                run_low = at;
                run_high = piece.high;
                run_offset = piece.offset;
            }
        }
        at = piece.high;
    }
    if (run_low < run_high)
        map_private(run_low, run_high, run_offset, map->protection, context);
}

/* Without /proc: all that is live was readable and writable. */
static void freeze_without_maps(struct freezing *freezing) {
    struct procmap map = {.low = arena.base,
                          .high = arena.base + arena.file_bytes,
                          .inode = arena.inode,
                          .protection = PROT_READ | PROT_WRITE,
                          .shared = true};
    freeze_mapping(&map, freezing);
    for (uint32_t i = 0; i < arena.window_count; i++) {
        map.low = arena.windows[i].address;
        map.high = map.low + arena.windows[i].bytes;
        map.offset = arena.windows[i].offset;
        freeze_mapping(&map, freezing);
    }
}

static void mark_frozen(void) {
    uint32_t cells = (uint32_t)(arena.file_bytes >> CELL_SHIFT);
    for (uint32_t cell = 0; cell < cells; cell += (uint32_t)(extent_bytes(extent_at(cell)) >> CELL_SHIFT)) {
        struct extent *extent = extent_at(cell);
        if (extent->state == EXTENT_LIVE && extent->kind != EXTENT_ADOPTED)
            extent->flags |= EXTENT_FROZEN;
    }
    for (uint32_t i = 0; i < arena.window_count; i++)
        arena.windows[i].frozen = true;
    arena.take_offset = arena.take_end = 0;
}

static void prepare(void) {
    arena_lock();
    if (!atomic_load(&arena.attached) || arena.detached)
        return;
    struct freezing freezing = {.failed = !arena_descriptor_valid()};
    if (!freezing.failed && !procmaps_each(freeze_mapping, &freezing, NULL))
        freeze_without_maps(&freezing);
    if (freezing.failed)
        arena_say("fork: memory cannot be shared with the child (its descriptor was closed, or there are too many "
                  "mappings): the child will fault where it uses it");
    mark_frozen();
}

static void in_parent(void) { arena_unlock(); }

static void in_child(void) {
    arena_lock_reset();
    if (!atomic_load(&arena.attached))
        return;
    atomic_store(&arena.open, false);
    arena.detached = true;
    close(arena.fd);
    arena.fd = -1;
}

__attribute__((constructor)) static void register_handlers(void) { pthread_atfork(prepare, in_parent, in_child); }
