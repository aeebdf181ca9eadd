/*
 * mapping_fuzz SEED OPERATIONS [attach]: random mmap, munmap, mremap, madvise, mprotect and MAP_FIXED calls on
 * anonymous private memory, beside a shadow copy that knows what the kernel promises for each. Exits 1 on the first
 * difference.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AREAS 12
#define PAGE 4096u
#define PAGES_MAX 4096u

struct area {
    unsigned char *data;
    size_t pages;
    bool reserved;    /* made by a reservation: PROT_NONE first, opened after */
    uint32_t *shadow; /* what each page is filled with; 0 is zeroes */
    bool *gone;       /* unmapped pages inside */
};

static uint64_t seed, state;
static struct area areas[AREAS];
static uint32_t stamps = 1;

static uint64_t draw(uint64_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % limit;
}

static void fail(const char *what, const struct area *area, size_t page) {
    fprintf(stderr, "seed %lu: %s: area at %p, page %zu of %zu, errno %d\n", (unsigned long)seed, what,
            (void *)area->data, page, area->pages, errno);
    exit(1);
}

static void stamp(struct area *area, size_t page) {
    uint32_t value = stamps++;
    uint32_t *words = (uint32_t *)(area->data + page * PAGE);
    words[0] = words[511] = words[1023] = value;
    area->shadow[page] = value;
}

static void verify(const struct area *area) {
    for (size_t page = 0; page < area->pages; page++) {
        if (area->gone[page])
            continue;
        const uint32_t *words = (const uint32_t *)(area->data + page * PAGE), value = area->shadow[page];
        if (words[0] != value || words[511] != value || words[1023] != value || words[1] != 0)
            fail("content differs from the shadow", area, page);
    }
}

static void create(struct area *area) {
    area->pages = 256 + draw(PAGES_MAX - 256);
    area->reserved = draw(3) == 0;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (area->reserved ? MAP_NORESERVE : 0);
    int protection = area->reserved ? PROT_NONE : PROT_READ | PROT_WRITE;
    area->data = mmap(NULL, area->pages * PAGE, protection, flags, -1, 0);
    if (area->data == MAP_FAILED) {
        area->data = NULL;
        return;
    }
    area->shadow = calloc(PAGES_MAX * 2, sizeof *area->shadow);
    area->gone = calloc(PAGES_MAX * 2, sizeof *area->gone);
    if (area->reserved && mprotect(area->data, area->pages * PAGE, PROT_READ | PROT_WRITE) != 0)
        fail("mprotect", area, 0);
    verify(area);
}

static void forget(struct area *area) {
    free(area->shadow);
    free(area->gone);
    *area = (struct area){0};
}

static bool whole(const struct area *area) {
    for (size_t page = 0; page < area->pages; page++)
        if (area->gone[page])
            return false;
    return true;
}

static void trim(struct area *area) {
    if (area->pages < 2)
        return;
    size_t count = 1 + draw(area->pages / 2);
    size_t from = draw(3) == 0 ? 0 : draw(2) ? area->pages - count : draw(area->pages - count + 1);
    for (size_t page = from; page < from + count; page++)
        if (area->gone[page])
            return;
    if (munmap(area->data + from * PAGE, count * PAGE) != 0)
        fail("munmap of a part", area, from);
    if (from == 0) {
        area->data += count * PAGE;
        area->pages -= count;
        memmove(area->shadow, area->shadow + count, area->pages * sizeof *area->shadow);
        memmove(area->gone, area->gone + count, area->pages * sizeof *area->gone);
    } else if (from + count == area->pages) {
        area->pages -= count;
    } else {
        memset(area->gone + from, 1, count * sizeof *area->gone);
    }
}

static void drop(struct area *area) {
    size_t from = draw(area->pages), count = 1 + draw(area->pages - from);
    for (size_t page = from; page < from + count; page++)
        if (area->gone[page])
            return;
    if (draw(2)) {
        if (madvise(area->data + from * PAGE, count * PAGE, MADV_DONTNEED) != 0)
            fail("MADV_DONTNEED", area, from);
    } else {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        if (mmap(area->data + from * PAGE, count * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) !=
            area->data + from * PAGE)
            fail("MAP_FIXED", area, from);
    }
    memset(area->shadow + from, 0, count * sizeof *area->shadow);
}

static void move(struct area *area) {
    if (!whole(area))
        return;
    size_t pages = 1 + draw(PAGES_MAX * 3 / 2);
    unsigned char *data = mremap(area->data, area->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
    if (data == MAP_FAILED) {
        if (errno != ENOMEM && errno != EFAULT)
            fail("mremap", area, pages);
        return;
    }
    area->data = data;
    if (pages > area->pages)
        memset(area->shadow + area->pages, 0, (pages - area->pages) * sizeof *area->shadow);
    if (pages > area->pages)
        memset(area->gone + area->pages, 0, (pages - area->pages) * sizeof *area->gone);
    area->pages = pages;
}

static void remove_all(struct area *area) {
    verify(area);
    /* Holes may be somebody else's by now, so only what is left is unmapped. */
    for (size_t from = 0, end; from < area->pages; from = end) {
        for (end = from + 1; end < area->pages && area->gone[end] == area->gone[from];)
            end++;
        if (!area->gone[from] && munmap(area->data + from * PAGE, (end - from) * PAGE) != 0)
            fail("munmap", area, from);
    }
    forget(area);
}

static void step(void) {
    struct area *area = &areas[draw(AREAS)];
    if (!area->data) {
        create(area);
        return;
    }
    for (int i = 0; i < 20; i++) {
        size_t page = draw(area->pages);
        if (!area->gone[page])
            stamp(area, page);
    }
    switch (draw(8)) {
    case 0:
        remove_all(area);
        break;
    case 1:
        trim(area);
        break;
    case 2:
    case 3:
        drop(area);
        break;
    case 4:
        move(area);
        break;
    case 5:
        if (whole(area) && madvise(area->data, area->pages * PAGE, MADV_HUGEPAGE) != 0 && errno != EINVAL)
            fail("MADV_HUGEPAGE", area, 0);
        break;
    default:
        verify(area);
    }
}

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    seed = strtoull(arguments[1], NULL, 10);
    state = seed * 0x9e3779b97f4a7c15u + 1;
    if (count > 3) {
        int (*attach)(int, uint64_t, uint64_t) =
            (int (*)(int, uint64_t, uint64_t))dlsym(RTLD_DEFAULT, "zerrow_arena_attach");
        uint64_t bytes = strtoull(arguments[3], NULL, 10) << 20;
        int fd = memfd_create("mapping_fuzz", MFD_ALLOW_SEALING);
        if (strcmp(arguments[count - 1], "adopt") == 0)
            for (int i = 0; i < 200; i++)
                step();
        if (!attach || ftruncate(fd, (off_t)bytes) != 0 || attach(fd, bytes, (uint64_t)400 << 20) != 0)
            return 3;
    }
    for (long i = 0, steps = strtol(arguments[2], NULL, 10); i < steps; i++)
        step();
    for (int i = 0; i < AREAS; i++)
        if (areas[i].data)
            verify(&areas[i]);
    puts("ok");
    return 0;
}
