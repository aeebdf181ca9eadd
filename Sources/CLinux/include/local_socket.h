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

/* The user of the process that connected (SO_PEERCRED). */
int zerrow_local_socket_peer(int fd, uid_t *uid);

#endif
