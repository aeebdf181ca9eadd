/* The calls by which an engine of SQL opens and looks at a file, for the private names of sources. All other paths go
 * to the kernel as they came. */
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

extern int __open(const char *path, int flags, ...);
extern int __open64(const char *path, int flags, ...);

static mode_t mode_of(int flags, va_list rest) {
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...) {
    if (sources_named(path))
        return sources_open(path, flags);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return __open(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
    if (sources_named(path))
        return sources_open(path, flags);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return __open64(path, flags, mode);
}

/* The status of a source: that of the file which an open would give now. */
static int look(const char *path, struct stat *status) {
    int file = sources_open(path, O_RDONLY);
    if (file < 0)
        return -1;
    int code = fstat(file, status), error = errno;
    (void)close(file);
    errno = error;
    return code;
}

static int status_of(const char *path, struct stat *status, int flags) {
    return sources_named(path) ? look(path, status) : fstatat(AT_FDCWD, path, status, flags);
}

EXPORT int stat(const char *restrict path, struct stat *restrict status) { return status_of(path, status, 0); }

EXPORT int lstat(const char *restrict path, struct stat *restrict status) {
    return status_of(path, status, AT_SYMLINK_NOFOLLOW);
}

/* On machines of 64 bits both structures are one. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "struct stat64 is another one than struct stat");

EXPORT int stat64(const char *restrict path, struct stat64 *restrict status) {
    return status_of(path, (struct stat *)status, 0);
}

EXPORT int lstat64(const char *restrict path, struct stat64 *restrict status) {
    return status_of(path, (struct stat *)status, AT_SYMLINK_NOFOLLOW);
}

/* The names that programs call which were linked before glibc 2.33. The version says which structure they know: on
 * these machines there is one. */
EXPORT int __xstat(int version, const char *path, struct stat *status) {
    (void)version;
    return status_of(path, status, 0);
}

EXPORT int __lxstat(int version, const char *path, struct stat *status) {
    (void)version;
    return status_of(path, status, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *status) {
    (void)version;
    return status_of(path, (struct stat *)status, 0);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *status) {
    (void)version;
    return status_of(path, (struct stat *)status, AT_SYMLINK_NOFOLLOW);
}

EXPORT int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict status) {
    if (!sources_named(path))
        return (int)syscall(SYS_statx, folder, path, flags, mask, status);
    int file = sources_open(path, O_RDONLY);
    if (file < 0)
        return -1;
    int code = (int)syscall(SYS_statx, file, "", AT_EMPTY_PATH, mask, status), error = errno;
    (void)close(file);
    errno = error;
    return code;
}

/* A source is no link. */
EXPORT ssize_t readlink(const char *restrict path, char *restrict target, size_t bytes) {
    if (!sources_named(path))
        return readlinkat(AT_FDCWD, path, target, bytes);
    errno = EINVAL;
    return -1;
}
