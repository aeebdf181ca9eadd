#define _GNU_SOURCE
#include "local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int named(const char *path, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

/* Closes a descriptor and keeps errno; -1. */
static int give_up(int fd) {
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

int zerrow_local_socket_listen(const char *path) {
    struct sockaddr_un address;
    if (named(path, &address) < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* The mode of the file is the descriptor's, less the umask: nobody else may connect at any moment. */
    if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0)
        return give_up(fd);
    return fd;
}

int zerrow_local_socket_connect(const char *path) {
    struct sockaddr_un address;
    if (named(path, &address) < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* Whoever listens may be stopped: its queue of connections is not waited for. */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || fcntl(fd, F_SETFL, 0) < 0)
        return give_up(fd);
    return fd;
}

int zerrow_local_socket_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC); }

int zerrow_local_socket_peer(int fd, uid_t *uid, pid_t *pid) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -1;
    *uid = credentials.uid;
    *pid = credentials.pid;
    return 0;
}
