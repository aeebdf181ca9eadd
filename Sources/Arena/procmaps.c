/*
 * This process's mappings, from /proc/self/maps, without allocating. Linux 6.11 answers questions about single mappings
 * (PROCMAP_QUERY, include/uapi/linux/fs.h); before, the text is read, which takes five times as long, most of it for
 * the names of files.
 */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* As in linux/fs.h, which may be older than the kernel. */
struct query {
    uint64_t size, flags, address;
    uint64_t low, high, found_flags, page_bytes, offset, inode;
    uint32_t device_major, device_minor, name_bytes, build_id_bytes;
    uint64_t name, build_id;
};
#define QUERY _IOWR('f', 17, struct query)
#define QUERY_READABLE 0x01
#define QUERY_WRITABLE 0x02
#define QUERY_EXECUTABLE 0x04
#define QUERY_SHARED 0x08
#define QUERY_THIS_OR_NEXT 0x10
#define NAME_BYTES_MAX 256

static uint64_t number(const char **at, unsigned radix) {
    uint64_t value = 0;
    for (;; ++*at) {
        char c = **at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 99;
        if (digit >= radix)
            return value;
        value = value * radix + digit;
    }
}

/* One line: low-high rwxp offset major:minor inode   name */
static struct procmap parse(const char *at) {
    struct procmap map = {0};
    map.low = number(&at, 16);
    at++;
    map.high = number(&at, 16);
    at++;
    if (at[0] == 'r')
        map.protection |= PROT_READ;
    if (at[1] == 'w')
        map.protection |= PROT_WRITE;
    if (at[2] == 'x')
        map.protection |= PROT_EXEC;
    map.shared = at[3] == 's';
    at += 5;
    map.offset = number(&at, 16);
    at++;
    number(&at, 16);
    at++;
    number(&at, 16);
    at++;
    map.inode = number(&at, 10);
    while (*at == ' ')
        at++;
    map.named = *at != 0 && strncmp(at, "[anon:", 6) != 0;
    return map;
}

/* Is the mapping, of no file, the heap, a stack or the like? */
static bool has_name(int fd, const struct query *found) {
    char name[NAME_BYTES_MAX];
    struct query query = {.size = sizeof query, .address = found->low};
    query.name = (uint64_t)name;
    query.name_bytes = sizeof name;
    return ioctl(fd, QUERY, &query) == 0 && query.name_bytes > 0 && strncmp(name, "[anon:", 6) != 0;
}

/* False when the kernel can't be asked, and nothing has been visited; `whole` says whether all have been. */
static bool ask(int fd, void (*visit)(const struct procmap *map, void *context), void *context,
                uint64_t (*next)(uint64_t address), bool *whole) {
    struct query query = {.size = sizeof query, .flags = QUERY_THIS_OR_NEXT, .address = next ? next(0) : 0};
    bool any = false;
    while (ioctl(fd, QUERY, &query) == 0) {
        uint64_t flags = query.found_flags;
        struct procmap map = {.low = query.low, .high = query.high, .offset = query.offset, .inode = query.inode};
        map.protection = (flags & QUERY_READABLE ? PROT_READ : 0) | (flags & QUERY_WRITABLE ? PROT_WRITE : 0) |
                         (flags & QUERY_EXECUTABLE ? PROT_EXEC : 0);
        map.shared = flags & QUERY_SHARED;
        map.named = query.inode != 0 || has_name(fd, &query);
        visit(&map, context);
        any = true;
        uint64_t from = next ? next(query.high) : query.high;
        if (from == UINT64_MAX) {
            *whole = true;
            return true;
        }
        query = (struct query){.size = sizeof query, .flags = QUERY_THIS_OR_NEXT, .address = from};
    }
    *whole = errno == ENOENT;
    return any;
}

bool procmaps_each(void (*visit)(const struct procmap *map, void *context), void *context,
                   uint64_t (*next)(uint64_t address)) {
    static char buffer[32 * 1024];
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int saved = errno;
    size_t held = 0;
    bool whole = true;
    bool asked = ask(fd, visit, context, next, &whole);
    errno = saved;
    if (asked) {
        close(fd);
        return whole;
    }
    for (;;) {
        ssize_t got = read(fd, buffer + held, sizeof buffer - 1 - held);
        if (got <= 0) {
            whole = got == 0 && held == 0;
            break;
        }
        held += (size_t)got;
        buffer[held] = 0;
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = 0;
            struct procmap map = parse(line);
            visit(&map, context);
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
    }
    close(fd);
    return whole;
}
