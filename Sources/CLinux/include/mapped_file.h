/*
 * Reading a mapped file that somebody else may make shorter: without this, that ends the process (SIGBUS).
 */
#ifndef ZERROW_MAPPED_FILE_H
#define ZERROW_MAPPED_FILE_H

#include <stddef.h>

/*
 * From now on, bytes that the file no longer has read as zeros in this mapping of it: `bytes` from `start`, which is on
 * a page. A reader has to look at the file afterwards to know. 0 or a negative errno. For mappings that stay as long as
 * the process; any number of them. Every other SIGBUS ends the process as before. Source: mmap(2), sigaction(2).
 */
int zerrow_worker_guard(const void *start, size_t bytes);

#endif
