/*
 * heap_fuzz SEED THREADS OPERATIONS [attach]: random malloc-family calls from several threads. Every block holds a
 * pattern made from its own number, checked at each resize and free, also by threads that did not allocate it. calloc
 * must give zeroes. Exits 1 and says where on the first difference.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 48
#define SHARED_SLOTS 16

struct block {
    unsigned char *data;
    size_t bytes;
    uint64_t number;
};

static _Atomic uint64_t numbers = 1;
static struct block shared[SHARED_SLOTS];
static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seed_base;
static long operations;

static void fail(const char *what, const struct block *block, size_t at) {
    fprintf(stderr, "seed %lu: %s: block %lu of %zu bytes at %p, byte %zu\n", (unsigned long)seed_base, what,
            (unsigned long)block->number, block->bytes, (void *)block->data, at);
    exit(1);
}

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Large blocks are marked once per page and at their last byte: enough to see pages mixed up or lost. */
static size_t stride(size_t bytes) { return bytes > 256 * 1024 ? 1009 : 1; }

static unsigned char pattern(uint64_t number, size_t at) {
    return (unsigned char)((number * 0x9e3779b97f4a7c15u) >> (at % 8 * 8)) ^ (unsigned char)(at >> 12);
}

static void fill(struct block *block, size_t from) {
    size_t step = stride(block->bytes);
    (void)from;
    for (size_t at = 0; at < block->bytes; at += step)
        block->data[at] = pattern(block->number, at);
    block->data[block->bytes - 1] = pattern(block->number, block->bytes - 1);
}

static void check(const struct block *block, size_t bytes, const char *what) {
    size_t step = stride(block->bytes);
    for (size_t at = 0; at < bytes; at += step)
        if (block->data[at] != pattern(block->number, at))
            fail(what, block, at);
}

static size_t random_bytes(uint64_t *state) {
    unsigned shift = (unsigned)(random_next(state) % 24);
    size_t bytes = ((size_t)1 << shift) + random_next(state) % ((size_t)1 << shift);
    return random_next(state) % 64 == 0 ? bytes * 4 : bytes;
}

static void allocate(struct block *block, uint64_t *state) {
    block->bytes = random_bytes(state);
    block->number = atomic_fetch_add(&numbers, 1);
    switch (random_next(state) % 4) {
    case 0: {
        block->data = calloc(1, block->bytes);
        for (size_t at = 0; block->data && at<block->bytes; at += block->bytes>(1 << 20) ? 64 : 1)
            if (block->data[at] != 0)
                fail("calloc gave a byte that is not zero", block, at);
        break;
    }
    case 1: {
        size_t alignment = (size_t)8 << random_next(state) % 18;
        void *out = NULL;
        if (posix_memalign(&out, alignment, block->bytes) == 0 && ((uintptr_t)out & (alignment - 1)) != 0)
            fail("posix_memalign gave a wrong alignment", block, alignment);
        block->data = out;
        break;
    }
    default:
        block->data = malloc(block->bytes);
    }
    if (!block->data)
        return;
    if (malloc_usable_size(block->data) < block->bytes)
        fail("malloc_usable_size is too small", block, 0);
    fill(block, 0);
}

static void resize(struct block *block, uint64_t *state) {
    size_t bytes =
        random_next(state) % 3 ? block->bytes + random_next(state) % (block->bytes * 2 + 1) : random_bytes(state);
    if (bytes > (64u << 20))
        bytes = 4096;
    unsigned char *data = realloc(block->data, bytes);
    if (!data)
        return;
    block->data = data;
    check(block, block->bytes < bytes ? block->bytes : bytes, "realloc lost content");
    block->bytes = bytes;
    fill(block, 0);
}

static void *work(void *argument) {
    uint64_t state = seed_base * 31 + (uint64_t)(uintptr_t)argument + 1;
    struct block blocks[SLOTS] = {0};
    for (long i = 0; i < operations; i++) {
        struct block *block = &blocks[random_next(&state) % SLOTS];
        if (!block->data) {
            allocate(block, &state);
        } else if (random_next(&state) % 3 == 0) {
            resize(block, &state);
        } else if (random_next(&state) % 3 == 0) {
            pthread_mutex_lock(&shared_mutex);
            struct block *other = &shared[random_next(&state) % SHARED_SLOTS];
            struct block swap = *other;
            *other = *block;
            *block = swap;
            pthread_mutex_unlock(&shared_mutex);
        } else {
            check(block, block->bytes, "content changed");
            free(block->data);
            block->data = NULL;
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        if (blocks[i].data)
            check(&blocks[i], blocks[i].bytes, "content changed");
        free(blocks[i].data);
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 4)
        return 2;
    seed_base = strtoull(arguments[1], NULL, 10);
    long threads = strtol(arguments[2], NULL, 10);
    operations = strtol(arguments[3], NULL, 10);
    int (*attach)(int, uint64_t, uint64_t) =
        (int (*)(int, uint64_t, uint64_t))dlsym(RTLD_DEFAULT, "zerrow_arena_attach");
    if (count > 4) {
        int fd = memfd_create("heap_fuzz", MFD_ALLOW_SEALING);
        uint64_t bytes = strtoull(arguments[4], NULL, 10) << 20;
        if (!attach || ftruncate(fd, (off_t)bytes) != 0 || attach(fd, bytes, (uint64_t)600 << 20) != 0)
            return 3;
    }
    pthread_t ids[64];
    for (long i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, work, (void *)(i + 1));
    for (long i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < SHARED_SLOTS; i++) {
        if (shared[i].data)
            check(&shared[i], shared[i].bytes, "content changed");
        free(shared[i].data);
    }
    puts("ok");
    return 0;
}
