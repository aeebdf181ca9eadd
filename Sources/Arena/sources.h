/* The files that a worker opens by private names. */
#ifndef ZERROW_SOURCES_H
#define ZERROW_SOURCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Is the path a private name? Never, as long as nothing is attached. */
bool sources_named(const char *path);
/* As open() of a private name. Its descriptor is closed with the next program in any case. */
int sources_open(const char *path, int flags);

#endif
