#define _GNU_SOURCE
#include "warm_memory.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_BYTES ((uintptr_t)2 << 20)
#define PAGE_BYTES ((uintptr_t)4096)
#define PAGES_OF_HUGE (HUGE_BYTES / PAGE_BYTES)
/* Memory of which less is in use is left as it is: a huge page would take up what nobody asked for. */
#define PAGES_USED_LEAST (PAGES_OF_HUGE * 3 / 4)
#define PAGE_IS_PRESENT ((uint64_t)1 << 63)

/* Address space for Python's arenas; what does not fit lies wherever the kernel puts it. */
#define REGION_BYTES ((uintptr_t)1 << 30)

#define SMALL_BYTES_MAX 512
#define SMALL_STEP 16
/* Far below what malloc maps by itself, and it maps larger pieces in the heap once it has got such a one back. */
#define CHUNK_BYTES_MAX ((size_t)1 << 15)
/* Where malloc's bins are no longer 16 bytes apart. */
#define CHUNK_BYTES_EXACT ((size_t)1008)
/* Bounds what is taken if an allocator does not behave as is expected of it. */
#define TAKEN_MAX (1 << 20)

struct range {
    uintptr_t low;
    uintptr_t high;
};

/* PyObjectArenaAllocator of CPython's Include/cpython/objimpl.h. */
struct arena_allocator {
    void *context;
    void *(*take)(void *context, size_t bytes);
    void (*give_back)(void *context, void *arena, size_t bytes);
};

/* All state belongs to the zygote's one thread, and to that of each process which it forks. */
static struct range region;
static uintptr_t region_used;
static struct range newest_arena;
/* Where the search for memory to join goes on. */
static uintptr_t joined_up_to;

/*
 * By the kernel's own call: the preload library takes what goes through libc for memory of tables, and would move it
 * into a worker's output.
 */
static uintptr_t map_memory(uintptr_t place, size_t bytes, int rights, int flags) {
    long memory = syscall(SYS_mmap, place, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, (off_t)0);
    return memory == -1 ? 0 : (uintptr_t)memory;
}

static void *take_arena(void *context, size_t bytes) {
    (void)context;
    uintptr_t arena = 0;
    if (bytes % PAGE_BYTES == 0 && bytes <= region.high - region_used) {
        arena = map_memory(region_used, bytes, PROT_READ | PROT_WRITE, MAP_FIXED);
        region_used += arena ? bytes : 0;
    }
    if (!arena)
        arena = map_memory(0, bytes, PROT_READ | PROT_WRITE, 0);
    if (arena)
        newest_arena = (struct range){arena, arena + bytes};
    return (void *)arena;
}

static void give_back_arena(void *context, void *arena, size_t bytes) {
    (void)context;
    (void)!syscall(SYS_munmap, arena, bytes);
}

EXPORTED void zerrow_warm_memory_gather(void) {
    void (*set)(struct arena_allocator *) =
        (void (*)(struct arena_allocator *))dlsym(RTLD_DEFAULT, "PyObject_SetArenaAllocator");
    if (!set || region.low)
        return;
    uintptr_t reserved = map_memory(0, REGION_BYTES + HUGE_BYTES, PROT_NONE, MAP_NORESERVE);
    if (!reserved)
        return;
    region.low = region_used = (reserved + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    region.high = region.low + REGION_BYTES;
    struct arena_allocator allocator = {NULL, take_arena, give_back_arena};
    set(&allocator);
}

/* Calls `handle` with each private range of memory without a file, the heap among them, until it returns 0. */
static void each_own_range(int (*handle)(struct range range, int is_heap, void *context), void *context) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    if (!maps)
        return;
    while (fgets(line, sizeof(line), maps)) {
        unsigned long low, high, inode;
        char rights[5], name[16] = "";
        if (sscanf(line, "%lx-%lx %4s %*s %*s %lu %15s", &low, &high, rights, &inode, name) < 4)
            continue;
        int is_heap = strcmp(name, "[heap]") == 0;
        if (strcmp(rights, "rw-p") == 0 && inode == 0 && (is_heap || name[0] == 0) &&
            !handle((struct range){low, high}, is_heap, context))
            break;
    }
    fclose(maps);
}

static int find_heap(struct range range, int is_heap, void *heap) {
    if (is_heap)
        *(struct range *)heap = range;
    return !is_heap;
}

/* malloc's: from large pieces to small ones, until each size would come from the heap's end. */
static void fill_heap(void) {
    struct range heap = {0, 0};
    malloc_trim(0);
    each_own_range(find_heap, &heap);
    int taken = 0;
    for (size_t bytes = CHUNK_BYTES_MAX; bytes > 0 && heap.high;
         bytes = bytes > CHUNK_BYTES_EXACT ? bytes / 2 : bytes - 16) {
        for (; taken < TAKEN_MAX; taken++) {
            void *piece = malloc(bytes - 8);
            if (!piece)
                return;
            uintptr_t at = (uintptr_t)piece;
            if (at < heap.low || at + bytes > heap.high) {
                free(piece);
                break;
            }
        }
    }
}

/* Python's: until each size comes from an arena that was not there before. */
static void fill_arenas(void) {
    void *(*take)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "PyObject_Malloc");
    /* Python has another allocator. */
    if (!take || !newest_arena.low)
        return;
    struct range before = newest_arena;
    int taken = 0;
    for (size_t bytes = SMALL_BYTES_MAX; bytes > 0; bytes -= SMALL_STEP) {
        for (; taken < TAKEN_MAX; taken++) {
            uintptr_t at = (uintptr_t)take(bytes);
            if (!at)
                return;
            if (newest_arena.low != before.low && at >= newest_arena.low && at < newest_arena.high)
                break;
        }
    }
}

EXPORTED void zerrow_warm_memory_fill(void) {
    fill_arenas();
    fill_heap();
}

struct joining {
    int pagemap;
    int made;
    int most;
};

static int is_used(int pagemap, uintptr_t low) {
    uint64_t entries[PAGES_OF_HUGE];
    if (pread(pagemap, entries, sizeof(entries), (off_t)(low / PAGE_BYTES * sizeof(entries[0]))) != sizeof(entries))
        return 0;
    size_t present = 0;
    for (size_t i = 0; i < PAGES_OF_HUGE; i++)
        present += (entries[i] & PAGE_IS_PRESENT) != 0;
    return present >= PAGES_USED_LEAST;
}

static int join(struct range range, int is_heap, void *context) {
    struct joining *joining = context;
    (void)is_heap;
    uintptr_t low = (range.low + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    for (; low + HUGE_BYTES <= range.high; low += HUGE_BYTES) {
        if (low < joined_up_to)
            continue;
        if (joining->made == joining->most)
            return 0;
        joined_up_to = low + HUGE_BYTES;
        if (is_used(joining->pagemap, low) && madvise((void *)low, HUGE_BYTES, MADV_COLLAPSE) == 0)
            joining->made++;
    }
    return 1;
}

EXPORTED int zerrow_warm_memory_join(int most) {
    struct joining joining = {.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), .most = most};
    if (joining.pagemap < 0)
        return 0;
    each_own_range(join, &joining);
    close(joining.pagemap);
    return joining.made;
}
