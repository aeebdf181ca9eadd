// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "guest.h"

/* The mapping in the middle of reserved space: no neighbour merges with it. */
static char *map_apart(size_t bytes, size_t alignment)
{
	size_t space = bytes + 2 * alignment;
	char *reserved = mmap(NULL, space + alignment, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t start;
	char *memory;

	CHECK(reserved != MAP_FAILED);
	start = ((uintptr_t)reserved + alignment - 1) & ~(alignment - 1);
	CHECK_CALL(munmap(reserved, space + alignment));
	memory = mmap((char *)start + alignment, bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(memory == (char *)start + alignment);
	return memory;
}

char *memory_small(size_t bytes)
{
	char *memory = map_apart(bytes, PAGE);

	CHECK_CALL(madvise(memory, bytes, MADV_NOHUGEPAGE));
	return memory;
}

char *memory_huge(size_t bytes)
{
	char *memory = map_apart(bytes, HUGE);

	CHECK_CALL(madvise(memory, bytes, MADV_HUGEPAGE));
	return memory;
}

void memory_free(void *memory, size_t bytes)
{
	CHECK_CALL(munmap(memory, bytes));
}

static uint64_t word_at(uint64_t seed, size_t index)
{
	return (seed * 0x9e3779b97f4a7c15 + index) * 0xbf58476d1ce4e5b9 | 1;
}

void memory_fill(void *memory, size_t bytes, uint64_t seed)
{
	char *at = memory;
	size_t words = bytes / 8, rest = bytes % 8;
	uint64_t last = word_at(seed, words);

	for (size_t i = 0; i < words; i++, at += 8) {
		uint64_t word = word_at(seed, i);

		memcpy(at, &word, 8);
	}
	memcpy(at, &last, rest);
}

bool memory_matches(const void *memory, size_t bytes, uint64_t seed, size_t at)
{
	const char *next = memory;
	uint64_t word = word_at(seed, at / 8);

	/* Up to a whole word, words, and the rest. */
	for (; bytes && at % 8; bytes--, at++, next++)
		if (*next != ((char *)&word)[at % 8])
			return false;
	for (; bytes >= 8; bytes -= 8, at += 8, next += 8) {
		uint64_t found;

		memcpy(&found, next, 8);
		if (found != word_at(seed, at / 8))
			return false;
	}
	word = word_at(seed, at / 8);
	return memcmp(next, &word, bytes) == 0;
}

void memory_check(const void *memory, size_t bytes, uint64_t seed)
{
	if (memory_matches(memory, bytes, seed, 0))
		return;
	for (size_t at = 0; at < bytes; at += PAGE) {
		size_t part = bytes - at < PAGE ? bytes - at : PAGE;

		if (!memory_matches((const char *)memory + at, part, seed, at))
			FAIL("wrong bytes in page %zu of %zu%s", at / PAGE,
			     (bytes + PAGE - 1) / PAGE,
			     memory_is_zero((const char *)memory + at, part) ? ": it is zero" : "");
	}
}

bool memory_is_zero(const void *memory, size_t bytes)
{
	const char *at = memory;

	return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0);
}

char *memory_small_filled(size_t bytes, uint64_t seed)
{
	char *memory = memory_small(bytes);

	memory_fill(memory, bytes, seed);
	return memory;
}

char *memory_huge_filled(size_t bytes, uint64_t seed)
{
	char *memory = memory_huge(bytes);

	memory_fill(memory, bytes, seed);
	if (memory_smaps(memory, bytes).anonymous_huge != (long long)(bytes / HUGE * HUGE >> 10)) {
		/* Memory may be in pieces after other tests: have them put together, once. */
		guest_write("/proc/sys/vm/compact_memory", "1");
		CHECK_CALL(madvise(memory, bytes, MADV_DONTNEED));
		memory_fill(memory, bytes, seed);
		CHECK_EQ(memory_smaps(memory, bytes).anonymous_huge, bytes / HUGE * HUGE >> 10);
	}
	return memory;
}

static void add_field(struct memory_smaps *sum, const char *line)
{
	const struct {
		const char *key;
		long long *to;
	} keys[] = {
		{"Size:", &sum->size},
		{"Rss:", &sum->rss},
		{"Anonymous:", &sum->anonymous},
		{"AnonHugePages:", &sum->anonymous_huge},
		{"Swap:", &sum->swap},
		{"ShmemPmdMapped:", &sum->shmem_huge},
		{"Private_Dirty:", &sum->private_dirty},
		{"Shared_Dirty:", &sum->shared_dirty},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strncmp(line, keys[i].key, strlen(keys[i].key)))
			*keys[i].to += atoll(line + strlen(keys[i].key));
}

struct memory_smaps memory_smaps(const void *memory, size_t bytes)
{
	static char line[512];
	struct memory_smaps sum = {0};
	uintptr_t lowest = (uintptr_t)memory, highest = lowest + bytes;
	bool inside = false;
	FILE *file = fopen("/proc/self/smaps", "re");

	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = start < highest && end > lowest;
			sum.mappings += inside;
		} else if (inside) {
			add_field(&sum, line);
		}
	}
	fclose(file);
	return sum;
}

uint64_t memory_page_entry(const void *address)
{
	uint64_t entry;
	int fd = CHECK_CALL(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));

	CHECK_EQ(pread(fd, &entry, 8, (uintptr_t)address / PAGE * 8), 8);
	close(fd);
	return entry;
}

int memory_mappings_count(void)
{
	int count = 0, byte;
	FILE *file = fopen("/proc/self/maps", "re");

	CHECK(file);
	while ((byte = getc(file)) != EOF)
		count += byte == '\n';
	fclose(file);
	return count;
}
