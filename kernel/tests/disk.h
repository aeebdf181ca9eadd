/* SPDX-License-Identifier: GPL-2.0-only */
/* Disks of the guest: one that answers late, and those that memory is swapped out to. */
#ifndef DISK_H
#define DISK_H

#include <stddef.h>
#include <stdint.h>

/* A disk for direct reads and writes that gives DISK_SLOW_BYTES in a second. What waits behind such a request waits. */
#define DISK_SLOW_BYTES (4UL << 20)
int disk_open_slow(void);

/* Puts memory_fill()'s bytes at the start of a disk. */
void disk_write(int disk, size_t bytes, uint64_t seed);

/*
 * Swaps to the machine's disk for that, if it has one, else to compressed memory (zram). The harness puts an end to it when
 * the test ends, if the test does not.
 */
void disk_swap_start(size_t bytes);
void disk_swap_stop(void);

#endif
