/*
 * Descriptors that tell of the death of a process (pidfd) and of signals (signalfd).
 *
 * Every function returns -1 and errno on failure.
 */
#ifndef ZERROW_SIGNALS_H
#define ZERROW_SIGNALS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A close-on-exec descriptor that polls readable when the process has ended. */
int zerrow_pidfd_open(pid_t process);
int zerrow_pidfd_signal(int fd, int signal);
/* A close-on-exec descriptor of what the process of a pidfd has open as `other`. EPERM: it may not be looked into. */
int zerrow_pidfd_take(int fd, int other);

/* Blocks the signals in the calling thread (threads made later inherit that) and returns a descriptor to read them
 * from. */
int zerrow_signalfd_open(const int *signals, size_t count);
/* Reads one signal without waiting: its number, or -1 (EAGAIN: none is pending). */
int zerrow_signalfd_read(int fd);

#endif
