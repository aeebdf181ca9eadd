/*
 * Messages: datagrams with file descriptors beside them, over AF_UNIX SOCK_SEQPACKET socket pairs.
 */
#ifndef ZERROW_MESSAGE_H
#define ZERROW_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel passes at most this many descriptors beside one message (SCM_MAX_FD). */
enum { ZERROW_MESSAGE_DESCRIPTORS_MAX = 253 };

/* A connected, close-on-exec pair; -1 and errno on failure. */
int zerrow_socket_pair(int ends[2]);

/* Sends one message; never raises SIGPIPE. -1 and errno on failure (EINVAL above the descriptor limit). */
ssize_t zerrow_message_send(int fd, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count,
                            int wait);

/*
 * Receives one message; 0 is the end. The descriptors are close-on-exec and the caller's to close. A message or a list
 * of descriptors that does not fit is refused whole: -1 with EMSGSIZE, and every descriptor that came with it is
 * closed.
 */
ssize_t zerrow_message_receive(int fd, void *bytes, size_t bytes_max, int *descriptors, size_t descriptors_max,
                               size_t *descriptor_count, int wait);

#endif
