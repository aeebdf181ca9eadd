/* A checksum of 128 bits at the speed of memory. */
#ifndef ZERROW_CHECKSUM_H
#define ZERROW_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Four CRC-32Cs, each of every fourth word of eight bytes: the processor works on them at the same time. The first word
   is the first lane's. All lanes begin as ~0; a lane's CRC is its complement. */
struct zerrow_checksum {
    uint32_t lanes[4];
    /* How many bytes it was given. */
    uint64_t bytes;
};

/* Adds bytes, with the processor's instruction where there is one. */
void zerrow_checksum_add(struct zerrow_checksum *sum, const void *bytes, size_t count);

/* The same without any such instruction. */
void zerrow_checksum_add_portably(struct zerrow_checksum *sum, const void *bytes, size_t count);

#endif
