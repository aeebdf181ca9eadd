/*
 * fork_stress SEED FORKS: threads allocate, fill, check and free while the main thread forks. Each child checks that it
 * sees the main thread's blocks as they were, scribbles over them, allocates for itself and leaves; the parent checks
 * that nothing of that reached it, and that it still gets new extents from the file. Exits 1 on the first difference.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 12
#define THREADS 3

static atomic_bool stop;
static int (*locate)(const void *, size_t, uint64_t *);

static void fail(const char *who, const char *what) {
    fprintf(stderr, "%s: %s\n", who, what);
    _exit(1);
}

static void fill(unsigned char *data, size_t bytes, unsigned char value) { memset(data, value, bytes); }

static void check(const unsigned char *data, size_t bytes, unsigned char value, const char *who) {
    for (size_t at = 0; at < bytes; at += 509)
        if (data[at] != value)
            fail(who, "a block changed");
}

static void *churn(void *argument) {
    unsigned state = (unsigned)(uintptr_t)argument;
    while (!stop) {
        size_t bytes = 65536 + (size_t)rand_r(&state) % (3u << 20);
        unsigned char *data = malloc(bytes);
        if (!data)
            continue;
        unsigned char value = (unsigned char)rand_r(&state);
        fill(data, bytes, value);
        check(data, bytes, value, "thread");
        data = realloc(data, bytes * 2);
        check(data, bytes, value, "thread after realloc");
        free(data);
    }
    return NULL;
}

static void child(unsigned char **blocks, const size_t *sizes, unsigned char *map, size_t map_bytes) {
    for (int i = 0; i < BLOCKS; i++) {
        check(blocks[i], sizes[i], (unsigned char)i, "child");
        fill(blocks[i], sizes[i], 0xee);
    }
    check(map, map_bytes, 0x55, "child's mapping");
    madvise(map, map_bytes, MADV_DONTNEED);
    check(map, map_bytes, 0, "child's mapping after MADV_DONTNEED");
    fill(map, map_bytes, 0xdd);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = realloc(blocks[i], sizes[i] * 2);
        check(blocks[i], sizes[i], 0xee, "child after realloc");
        uint64_t offset;
        if (locate(blocks[i], sizes[i], &offset))
            fail("child", "an address was located in the parent's file");
        free(blocks[i]);
    }
    unsigned char *zeroes = calloc(1, 4u << 20);
    check(zeroes, 4u << 20, 0, "child's calloc");
    free(zeroes);
    munmap(map, map_bytes);
    pid_t grandchild = fork();
    if (grandchild == 0)
        _exit(calloc(1, 1u << 20) ? 0 : 1);
    int status;
    waitpid(grandchild, &status, 0);
    _exit(status == 0 ? 0 : 1);
}

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    unsigned seed = (unsigned)strtoul(arguments[1], NULL, 10);
    int forks = atoi(arguments[2]);
    int (*attach)(int, uint64_t, uint64_t) =
        (int (*)(int, uint64_t, uint64_t))dlsym(RTLD_DEFAULT, "zerrow_arena_attach");
    locate = (int (*)(const void *, size_t, uint64_t *))dlsym(RTLD_DEFAULT, "zerrow_arena_locate");
    int fd = memfd_create("fork_stress", MFD_ALLOW_SEALING);
    uint64_t file_bytes = (uint64_t)64 << 30;
    if (!attach || ftruncate(fd, (off_t)file_bytes) != 0 || attach(fd, file_bytes, (uint64_t)1 << 30) != 0)
        return 3;
    unsigned char *view = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(seed + i));

    unsigned state = seed;
    for (int round = 0; round < forks; round++) {
        unsigned char *blocks[BLOCKS];
        size_t sizes[BLOCKS], map_bytes = 4u << 20;
        for (int i = 0; i < BLOCKS; i++) {
            sizes[i] = 65536 + (size_t)rand_r(&state) % (1u << 20);
            blocks[i] = malloc(sizes[i]);
            fill(blocks[i], sizes[i], (unsigned char)i);
        }
        unsigned char *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        fill(map, map_bytes, 0x55);
        pid_t pid = fork();
        if (pid == 0)
            child(blocks, sizes, map, map_bytes);
        unsigned char *fresh = malloc(1u << 20);
        fill(fresh, 1u << 20, 0xaa);
        int status;
        waitpid(pid, &status, 0);
        if (status != 0)
            fail("parent", "the child failed");
        uint64_t offset;
        for (int i = 0; i < BLOCKS; i++) {
            check(blocks[i], sizes[i], (unsigned char)i, "parent");
            if (!locate(blocks[i], sizes[i], &offset) || memcmp(view + offset, blocks[i], sizes[i]) != 0)
                fail("parent", "an untouched block is no longer content of the file");
            blocks[i][sizes[i] / 2] ^= 1;
            if (locate(blocks[i], sizes[i], &offset))
                fail("parent", "a block that was copied on write was located in the file");
            free(blocks[i]);
        }
        check(map, map_bytes, 0x55, "parent's mapping");
        munmap(map, map_bytes);
        if (!locate(fresh, 1u << 20, &offset) || view[offset] != 0xaa)
            fail("parent", "a new block is not in the file");
        free(fresh);
    }
    stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    puts("ok");
    return 0;
}
