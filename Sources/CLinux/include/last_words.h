/*
 * The last message of a worker, for when a library that it calls ends the process: an abort, a fault.
 */
#ifndef ZERROW_LAST_WORDS_H
#define ZERROW_LAST_WORDS_H

#include <stddef.h>

/*
 * From now on, SIGABRT, SIGSEGV, SIGILL and SIGFPE make the process send these bytes, which are copied, through
 * `socket` and exit with 1. With no bytes they end it as before. 0 or a negative errno. For one thread; bytes given
 * before may be sent while this runs. Source: sigaction(2), sigaltstack(2), send(2), signal-safety(7).
 */
int zerrow_worker_last_words(int socket, const void *bytes, size_t count);

#endif
