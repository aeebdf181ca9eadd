/*
 * Sockets with a name in the file system: an engine that serves listens at one, its clients connect to it.
 *
 * All are AF_UNIX SOCK_SEQPACKET and close-on-exec. Every function gives -1 and errno on failure.
 */
#ifndef ZERROW_LOCAL_SOCKET_H
#define ZERROW_LOCAL_SOCKET_H

#include <sys/types.h>

/* A non-blocking socket that listens at path, for its owner alone. ENAMETOOLONG: path has more than 107 bytes. */
int zerrow_local_socket_listen(const char *path);

/* A connection to the socket at path. ECONNREFUSED: nobody listens any more; EAGAIN: too many are waiting already. */
int zerrow_local_socket_connect(const char *path);

/* The next connection that waits at a listening socket. EAGAIN: none does. */
int zerrow_local_socket_accept(int fd);

/* The user and the number of the process at the other end: the one that connected, or the one that listens
 * (SO_PEERCRED). The number is 0 where it can't be seen from this pid namespace. */
int zerrow_local_socket_peer(int fd, uid_t *uid, pid_t *pid);

#endif
