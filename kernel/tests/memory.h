/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of the test's process: mappings of pages of a known size, with contents that can be told again. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)

/*
 * New anonymous memory, a mapping of its own with unmapped space on both sides. memory_small() has pages of 4 KiB only;
 * memory_huge() starts at a multiple of 2 MiB and asks for huge pages. Both are still untouched.
 */
char *memory_small(size_t bytes);
char *memory_huge(size_t bytes);

/* Removes the mapping and the reserved space around it. */
void memory_free(void *memory, size_t bytes);

/*
 * Fills memory with words that tell their place and the seed; says whether memory has them. `at` is the place of the first
 * byte in the whole, so that parts can be checked. Both work at any address and for any number of bytes.
 */
void memory_fill(void *memory, size_t bytes, uint64_t seed);
bool memory_matches(const void *memory, size_t bytes, uint64_t seed, size_t at);
void memory_check(const void *memory, size_t bytes, uint64_t seed);
bool memory_is_zero(const void *memory, size_t bytes);

/* memory_small() and memory_huge(), filled. The second ends the test if the guest gave no huge pages. */
char *memory_small_filled(size_t bytes, uint64_t seed);
char *memory_huge_filled(size_t bytes, uint64_t seed);

/* What /proc/self/smaps says of the mappings that lie in a region, in KiB. */
struct memory_smaps {
	long long mappings, size, rss, anonymous, anonymous_huge, swap, shmem_huge, private_dirty,
		shared_dirty;
};
struct memory_smaps memory_smaps(const void *memory, size_t bytes);

/* The entry of /proc/self/pagemap for the page at an address. */
uint64_t memory_page_entry(const void *address);
#define MEMORY_PAGE_PRESENT	 (1ULL << 63)
#define MEMORY_PAGE_SWAPPED	 (1ULL << 62)
#define MEMORY_PAGE_OF_FILE	 (1ULL << 61)
#define MEMORY_PAGE_FRAME(entry) ((entry) & ((1ULL << 55) - 1))

/* Mappings that the process has. */
int memory_mappings_count(void);

#endif
