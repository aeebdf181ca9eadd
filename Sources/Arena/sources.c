/*
 * Source files by private names: N.parquet, anywhere in a folder that the worker chose, opens the N-th file that the
 * file broker gives it.
 *
 * An engine of SQL opens Parquet files by their names, several times and from several threads, and a worker sees no
 * folder that they are in. So these names, which lead nowhere else, are answered here, and each open is a question to
 * the broker: a descriptor that were duplicated would share its position with the others.
 */
#include "sources.h"
#include "zerrow_arena.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const char suffix[] = ".parquet";

/* The worker sets these once, before any engine is told of a name. */
static atomic_int broker = -1;
static uint32_t source_count;
static char prefix[256];
static size_t prefix_length;
/* One question at a time: answers bear no number. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

EXPORT int zerrow_sources_attach(int fd, uint32_t count, const char *folder) {
    size_t length = folder == NULL ? 0 : strlen(folder);
    if (fd < 0 || count == 0 || length < 2 || length >= sizeof(prefix) || folder[length - 1] != '/')
        return -EINVAL;
    if (atomic_load(&broker) >= 0)
        return -EALREADY;
    memcpy(prefix, folder, length);
    prefix_length = length;
    source_count = count;
    atomic_store(&broker, fd);
    return 0;
}

bool sources_named(const char *path) {
    if (path == NULL || atomic_load_explicit(&broker, memory_order_acquire) < 0 ||
        strncmp(path, prefix, prefix_length) != 0)
        return false;
    size_t length = strlen(path);
    return length >= sizeof(suffix) && strcmp(path + length - (sizeof(suffix) - 1), suffix) == 0;
}

/* The number in a name, or -1: digits, and nothing else before the suffix. */
static int64_t source_number(const char *path) {
    const char *digits = strrchr(path, '/') + 1;
    uint64_t number = 0;
    size_t length = 0;
    for (; digits[length] >= '0' && digits[length] <= '9' && length < 10; length++)
        number = 10 * number + (uint64_t)(digits[length] - '0');
    return length == 0 || strcmp(digits + length, suffix) != 0 || number >= source_count ? -1 : (int64_t)number;
}

/* A descriptor from the broker, or a negative errno. */
static int ask(uint32_t number) {
    struct {
        uint32_t first, count;
    } request = {number, 1};
    int32_t error = 0;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&error, sizeof(error)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    int fd = atomic_load(&broker);
    ssize_t count;
    while ((count = send(fd, &request, sizeof(request), MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (count != sizeof(request))
        return -EIO;
    while ((count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *header = count < 0 ? NULL : CMSG_FIRSTHDR(&message);
    int file = -1;
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&file, CMSG_DATA(header), sizeof(file));
    if (count == sizeof(error) && error == 0 && file >= 0)
        return file;
    if (file >= 0)
        (void)close(file);
    return count == sizeof(error) && error > 0 ? -error : -EIO;
}

int sources_open(const char *path, int flags) {
    int64_t number = source_number(path);
    int file = -ENOENT;
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0) {
        file = -EROFS;
    } else if (number >= 0) {
        pthread_mutex_lock(&asking);
        file = ask((uint32_t)number);
        pthread_mutex_unlock(&asking);
    }
    if (file >= 0)
        return file;
    errno = -file;
    return -1;
}
