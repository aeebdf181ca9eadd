/*
 * The declarations that the files of the arena share. Nothing here is visible outside the library.
 *
 * One lock (arena_lock) guards all of it, the extent table included. Code under the lock never calls the malloc family
 * and never blocks on anything but the kernel. Every fork takes the lock first (see fork.c), so a child never inherits
 * it held by a thread that it lacks.
 */
#ifndef ARENA_INTERNAL_H
#define ARENA_INTERNAL_H

#include "zerrow_arena.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_BYTES ((uint64_t)4096)
#define CELL_SHIFT 16
#define CELL_BYTES ((uint64_t)1 << CELL_SHIFT)
#define HUGE_SHIFT 21
#define HUGE_BYTES ((uint64_t)1 << HUGE_SHIFT)
#define HUGE_ORDER (HUGE_SHIFT - CELL_SHIFT)
#define ORDERS 32
#define NO_CELL UINT32_MAX
/* Addresses of extents are aligned to their power of two up to this. */
#define BASE_ALIGNMENT ((uint64_t)1 << 30)
/* Smaller anonymous mappings stay private: CPython's object allocator maps 1 MiB at a time, tables rarely do. */
#define MAP_BYTES_MIN ((uint64_t)2 << 20)
#define WINDOWS_MAX 1024

static inline uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) & ~(unit - 1); }
static inline uint64_t round_down(uint64_t value, uint64_t unit) { return value & ~(unit - 1); }

/* ---- extents.c: which part of the file is whose: a buddy allocator over cells of 64 KiB -------------------------- */

enum extent_state {
    EXTENT_INSIDE, /* not the first cell of a block */
    EXTENT_FREE,   /* on a list, ready to be handed out */
    EXTENT_LIVE,   /* handed out */
    EXTENT_LOST,   /* its addresses belong to somebody else now; never handed out again */
};
enum extent_kind { EXTENT_HEAP, EXTENT_MAP, EXTENT_ADOPTED };
enum {
    EXTENT_CHARGED = 1, /* counts against bytes_max */
    EXTENT_FROZEN = 2,  /* mapped private since a fork: the file keeps what it held at the fork */
    EXTENT_FOREIGN = 4, /* part of its addresses may show something else than the file */
};

/* The record of a block, in the table entry of its first cell. All positions are bytes from the block's start. */
struct extent {
    uint8_t state, order, kind, flags;
    uint32_t previous, next; /* neighbours on the free list */
    uint32_t cut;            /* from this cell of the block on it is made of blocks of their own; 0: it is whole */
    uint64_t low, high;      /* what its owner may use: [low, high) */
    uint64_t dirty_end;      /* from here on every byte is known to be zero */
    uint64_t resident;       /* pages present, an upper bound */
};

bool extents_setup(uint64_t file_bytes);
struct extent *extent_at(uint32_t cell);
/* The smallest order whose blocks hold so many bytes. */
unsigned extents_order(uint64_t bytes);
/* A live block of 2^order cells, its dirty part already known; `zero` asks for one that is all zero. NO_CELL if none.
 */
uint32_t extents_take(unsigned order, bool zero);
/* Give a block back. The caller has set dirty_end and resident; both 0 means its pages are gone. */
void extents_give(uint32_t cell);
/* Make a live block hold so many bytes, where it is: with its own end, if that was cut off, and free neighbours. */
bool extents_grow(uint32_t cell, uint64_t bytes);
/* Cut off what a live block has beyond so many bytes, where it is much: with its pages it is free for others then. The
   caller has set dirty_end and resident. */
void extents_cut(uint32_t cell, uint64_t bytes);
/* The bytes of a block, less what was cut off. */
static inline uint64_t extent_bytes(const struct extent *extent) {
    return extent->cut ? (uint64_t)extent->cut << CELL_SHIFT : CELL_BYTES << extent->order;
}
/* Is there a block with pages present to cut a block of this order from? */
bool extents_present(unsigned order);
/* Before anything is given back: these parts of the file, in order and apart, have pages, all zero where they are free.
 */
struct span {
    uint64_t low, high;
};
void extents_note_present(const struct span *spans, uint32_t count);
/* The first cell of the block that holds the offset. */
uint32_t extents_find(uint64_t offset);
/* Make the part of a free block that holds [offset, offset + bytes) lost. */
void extents_lose(uint64_t offset, uint64_t bytes);
/* Give pages of free blocks back to the kernel until at least so many bytes are gone or none are left. */
void extents_reclaim(uint64_t bytes);

/* ---- arena.c: the state, and the file behind it ------------------------------------------------------------------ */

/* A mapping that was made before the attachment and moved into the file. */
struct window {
    uint64_t address, bytes, offset;
    bool frozen, foreign;
};

struct arena {
    atomic_bool open;     /* extents may be handed out */
    atomic_bool attached; /* some addresses may be ours (stays true in a forked child) */
    bool detached;        /* a fork's child: what it has is private, and nothing more is handed out */
    bool published;       /* zerrow_arena_freeze was called */
    bool strict;          /* the file's pages can run out: reserve before use */
    atomic_bool huge;     /* MADV_COLLAPSE works here */
    bool forked;          /* some extents may be frozen */
    int fd;
    dev_t device;
    ino_t inode;
    uint64_t base, file_bytes; /* the window of addresses that shows the whole file */
    uint64_t control;          /* the same, once more, always writable and never handed out */
    uint64_t bytes_max, live_bytes, live_bytes_max;
    uint64_t idle_bytes;     /* resident in free blocks */
    uint64_t idle_bytes_max; /* more than this is given back to the kernel */
    uint64_t collapse_bytes_max;
    _Atomic uint64_t huge_bytes;
    uint64_t served, refused;
    uint64_t take_offset, take_end; /* what is left of the extent that small takes share */
    uint8_t *huge_chunks;           /* one byte per 2 MiB of the file: is it one page? */
    uint32_t window_count;
    struct window windows[WINDOWS_MAX]; /* in no order */
};
extern struct arena arena;

void arena_lock(void);
void arena_unlock(void);
void arena_lock_reset(void);
/* Count bytes against bytes_max; false when they do not fit. */
bool arena_charge(uint64_t bytes);
/* Give idle pages back until they and the live bytes together are within bytes_max. */
void arena_settle(void);
void arena_uncharge(uint64_t bytes);
/* Zero [offset, offset + bytes) of the file by giving its pages back. */
void arena_punch(uint64_t offset, uint64_t bytes);
/* Reserve pages for the range where they could run out; false when there are none. */
bool arena_commit(uint64_t offset, uint64_t bytes);
/* Is the descriptor still the file that was attached? A program may have closed all descriptors it did not know. */
bool arena_descriptor_valid(void);
/* Pages present in the file, in bytes. */
uint64_t arena_resident_bytes(void);
/* One line on stderr; never allocates. */
void arena_say(const char *text);
_Noreturn void arena_die(const char *text);

static inline bool arena_in_base(uint64_t address) { return address - arena.base < arena.file_bytes; }

/* ---- pieces.c: what is at an address ------------------------------------------------------------------------------
 */

enum piece_kind {
    PIECE_OTHER,  /* not the arena's */
    PIECE_IDLE,   /* the arena's, but nobody's now */
    PIECE_EXTENT, /* part of a live extent */
    PIECE_WINDOW, /* part of an adopted mapping */
};
struct piece {
    enum piece_kind kind;
    uint64_t low, high; /* addresses */
    uint64_t offset;    /* file offset of low, for extents and windows */
    uint32_t cell;      /* for extents */
    uint32_t window;    /* index, for windows */
    bool frozen, foreign;
};
/* The piece that starts at low and ends at high or before. */
struct piece piece_at(uint64_t low, uint64_t high);
/* The range in whole pages; false when the kernel would refuse it. */
bool range_pages(void *address, size_t bytes, uint64_t *low, uint64_t *high);
/* May what the file holds there be changed: neither frozen nor published, nor covered by something else? */
bool piece_may_change(const struct piece *piece);
/* The extent that the piece is part of, and the address where its block starts. */
struct extent *piece_extent(const struct piece *piece, uint64_t *start);
/* May the range touch anything of the arena's? Called without the lock, so only a hint towards yes. */
bool pieces_touch(uint64_t low, uint64_t bytes);

/* ---- huge.c -------------------------------------------------------------------------------------------------------
 */

/* Make 2 MiB pages of the untouched chunks that [from, to) of the extent at `offset` will fill; returns the end of what
   is resident now. The caller owns the extent; no lock is needed. */
uint64_t huge_fill(uint64_t offset, uint64_t from, uint64_t to, uint64_t capacity);
/* Make 2 MiB pages of the whole chunks of the range that are not yet, while the file holds less than half of bytes_max.
   For memory whose owner has not said how much of it will be filled; no lock is needed. */
void huge_fill_whole(uint64_t offset, uint64_t bytes);
/* Collapse [offset, offset + bytes) whatever is there, both multiples of 2 MiB. The first refusal turns arena.huge off
   and is said once. */
bool huge_collapse(uint64_t offset, uint64_t bytes);
/* The chunks in [low, high) were made whole by who had the file before, as far as the kernel did it. */
void huge_note_whole(uint64_t low, uint64_t high);
/* The chunks of the range are no longer whole. */
void huge_forget(uint64_t offset, uint64_t bytes);

/* ---- heap.c: the malloc family over extents -----------------------------------------------------------------------
 */

/* 0, ENOMEM (refused), or ENODEV: let libc serve it. */
int heap_allocate(size_t bytes, size_t alignment, bool zero, void **out);
/* Is the address a heap extent? Its usable bytes, else 0. */
size_t heap_usable(const void *address);
/* False when the address is not the arena's. */
bool heap_free(void *address);
/* 0, ENOMEM, ESRCH: the address is not the arena's, or ENODEV: it is, but libc has to take it over. */
int heap_resize(void *address, size_t bytes, void **out);

/* ---- mappings.c: the mmap family over extents and windows ---------------------------------------------------------
 */

/* Each returns what the call it is named after returns, errno set. Ranges that are not the arena's go to the kernel. */
void *mapping_create(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
int mapping_remove(void *address, size_t bytes);
void *mapping_move(void *address, size_t bytes_old, size_t bytes_new, int flags, void *address_new);
int mapping_advise(void *address, size_t bytes, int advice);
int mapping_protect(void *address, size_t bytes, int protection);

/* ---- adoption.c: mappings made before the attachment --------------------------------------------------------------
 */

void adoption_record(uint64_t low, uint64_t bytes);
/* True when any of it was recorded. */
bool adoption_forget(uint64_t low, uint64_t bytes);
/* Move the recorded mappings into the file. The process has one thread. */
void adoption_run(void);

/* ---- procmaps.c ---------------------------------------------------------------------------------------------------
 */

struct procmap {
    uint64_t low, high, offset;
    uint64_t inode;
    int protection;
    bool shared;
    bool named; /* heap, stack, a file: anything but plain anonymous memory */
};
/*
 * Call for every mapping of this process in address order; false when /proc cannot be read. Needs the lock. `next` is
 * NULL, or gives the first address of interest from one on, UINT64_MAX for none: then others may be left out.
 */
bool procmaps_each(void (*visit)(const struct procmap *map, void *context), void *context,
                   uint64_t (*next)(uint64_t address));

/* ---- kernel.c: system calls that bypass the interposed symbols -----------------------------------------------------
 */

void *kernel_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
int kernel_munmap(void *address, size_t bytes);
void *kernel_mremap(void *address, size_t bytes_old, size_t bytes_new, int flags, void *address_new);
int kernel_madvise(void *address, size_t bytes, int advice);
int kernel_mprotect(void *address, size_t bytes, int protection);

#endif
