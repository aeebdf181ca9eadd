// SPDX-License-Identifier: GPL-2.0-only
/* Pages that were never written: holes in the file. */
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"

TEST(quick, untouched_pages_become_holes)
{
	char *memory = memory_small(64 * PAGE);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	for (int i = 0; i < 64; i += 2)
		memory_fill(memory + i * PAGE, PAGE, 40 + i);
	device_publish(fd, memory, 64 * PAGE, &counts);
	CHECK_EQ(counts.moved_count, 32);
	CHECK_EQ(counts.hole_count, 32);
	CHECK_EQ(file_blocks(fd), 32 * PAGE / 512);
	CHECK_EQ(file_bytes(fd), 64 * PAGE);
	for (int i = 0; i < 64; i++)
		if (i % 2)
			file_check_zero(fd, i * PAGE, PAGE);
		else
			file_check(fd, i * PAGE, PAGE, 40 + i);
	for (int i = 0; i < 64; i++)
		if (i % 2)
			CHECK(memory_is_zero(memory + i * PAGE, PAGE));
		else
			memory_check(memory + i * PAGE, PAGE, 40 + i);
}

TEST(quick, a_wholly_untouched_range_is_one_hole)
{
	char *memory = memory_small(32 * PAGE);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	device_publish(fd, memory, 32 * PAGE, &counts);
	CHECK_EQ(counts.hole_count, 32);
	CHECK_EQ(file_blocks(fd), 0);
	CHECK_EQ(file_bytes(fd), 32 * PAGE);
	file_check_zero(fd, 0, 32 * PAGE);
	CHECK(memory_is_zero(memory, 32 * PAGE));
	memory[5] = 1;
	file_check_zero(fd, 0, 32 * PAGE);
}

TEST(quick, pages_that_were_only_read_become_holes)
{
	char *memory = memory_small(32 * PAGE);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	CHECK(memory_is_zero(memory, 32 * PAGE));
	device_publish(fd, memory, 32 * PAGE, &counts);
	CHECK_EQ(counts.hole_count, 32);
	file_check_zero(fd, 0, 32 * PAGE);
	CHECK(memory_is_zero(memory, 32 * PAGE));
}

TEST(quick, the_huge_zero_page_becomes_a_hole)
{
	char *memory = memory_huge(2 * HUGE);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	/* A read maps the kernel's one huge page of zeroes; the second page is written. */
	CHECK_EQ(*(volatile char *)memory, 0);
	memory_fill(memory + HUGE, HUGE, 41);
	device_publish_huge(fd, memory, 2 * HUGE, &counts);
	CHECK_EQ(counts.hole_count, 512);
	CHECK_EQ(device_pages_counted(&counts), 1024);
	file_check_zero(fd, 0, HUGE);
	file_check(fd, HUGE, HUGE, 41);
	CHECK(memory_is_zero(memory, HUGE));
	memory[77] = 1;
	file_check_zero(fd, 0, HUGE);
}

TEST(quick, edges_that_were_never_written_read_as_zeroes)
{
	char *memory = memory_small(4 * PAGE);
	int fd = file_new();
	uint64_t offset;

	memory_fill(memory + PAGE, PAGE, 42);
	offset = device_publish(fd, memory + 1000, 3 * PAGE, NULL);
	CHECK_EQ(offset, 1000);
	file_check_zero(fd, 0, PAGE);
	file_check(fd, PAGE, PAGE, 42);
	file_check_zero(fd, 2 * PAGE, 2 * PAGE);
}
