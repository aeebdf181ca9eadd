// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a call costs, in instructions. The machine counts them: one takes a nanosecond of its time, so clocks tell how many
 * there were, whatever the host does meanwhile. The processor is told to have no fast string instructions, each byte of which
 * would count as one.
 */
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"

#define BYTES (64UL << 20)
#define PAGES (BYTES / PAGE)
/* A call that moves hardly more than a few pages costs most for itself. */
#define HUGE_BYTES (256UL << 20)

static uint64_t instructions(void)
{
	struct timespec now;

	CHECK_CALL(clock_gettime(CLOCK_MONOTONIC, &now));
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* One call over memory that a first, uncounted call has been like: the kernel's caches are warm. */
static uint64_t publish(char *(*filled)(size_t bytes, uint64_t seed), size_t bytes,
			struct kernelzero_deanonymize *counts)
{
	uint64_t before = 0, after = 0;

	for (int round = 0; round < 2; round++) {
		char *memory = filled(bytes, 900 + round);
		int fd = file_new();
		uint64_t offset;

		before = instructions();
		offset = device_publish_huge(fd, memory, bytes, counts);
		after = instructions();
		file_check_read(fd, offset, bytes, 900 + round);
		close(fd);
		memory_free(memory, bytes);
	}
	return after - before;
}

TEST_WITHIN(instructions, a_page_moves_within_900_instructions, 900)
{
	struct kernelzero_deanonymize counts;
	uint64_t each = publish(memory_small_filled, BYTES, &counts) / PAGES;

	CHECK_EQ(counts.moved_count, PAGES);
	harness_note("%llu instructions for 4 KiB", (unsigned long long)each);
	CHECK_AT_MOST(each, 900);
}

TEST_WITHIN(instructions, a_huge_page_moves_within_3000_instructions, 900)
{
	struct kernelzero_deanonymize counts;
	uint64_t each = publish(memory_huge_filled, HUGE_BYTES, &counts) / (HUGE_BYTES / HUGE);

	CHECK_EQ(counts.moved_huge_count, HUGE_BYTES / HUGE);
	harness_note("%llu instructions for 2 MiB", (unsigned long long)each);
	CHECK_AT_MOST(each, 3000);
}

/* What copies would have cost, for comparison: nothing is expected of these but that moving costs less. */
static uint64_t moved(void)
{
	struct kernelzero_deanonymize counts;

	return publish(memory_small_filled, BYTES, &counts);
}

TEST_WITHIN(instructions, writing_costs_more_than_moving, 900)
{
	char *memory = memory_small_filled(BYTES, 910);
	int fd = file_new();
	uint64_t before = instructions(), spent;

	CHECK_EQ(CHECK_CALL(write(fd, memory, BYTES)), BYTES);
	spent = instructions() - before;
	harness_note("%llu instructions for 4 KiB by write()", (unsigned long long)(spent / PAGES));
	CHECK_AT_LEAST(spent, moved());
}

TEST_WITHIN(instructions, copying_to_a_fresh_mapping_costs_more_than_moving, 900)
{
	char *memory = memory_small_filled(BYTES, 911), *mapping;
	int fd = file_new();
	uint64_t spent, warm;

	CHECK_CALL(ftruncate(fd, BYTES));
	mapping = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapping != MAP_FAILED);
	spent = instructions();
	memcpy(mapping, memory, BYTES);
	spent = instructions() - spent;
	warm = instructions();
	memcpy(mapping, memory, BYTES);
	warm = instructions() - warm;
	CHECK(memory_matches(mapping, BYTES, 911, 0));
	harness_note(
		"%llu instructions for 4 KiB by memcpy() to a fresh mapping, %llu to a warm one",
		(unsigned long long)(spent / PAGES), (unsigned long long)(warm / PAGES));
	CHECK_AT_LEAST(spent, moved());
}
