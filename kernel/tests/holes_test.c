// SPDX-License-Identifier: GPL-2.0-only
/* Pages that were never written: holes in the file. */
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "counters.h"
#include "device.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

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

/* The file has no room for one page more, so that a fault which makes a page of the file is a SIGBUS. */
TEST(quick, what_was_never_written_is_zero_when_the_file_system_is_full)
{
	int fd = file_on_tmpfs("size=64k");
	char *memory = memory_huge(2 * HUGE);
	struct kernelzero_deanonymize counts;

	CHECK_CALL(madvise(memory, 2 * HUGE, MADV_NOHUGEPAGE));
	memory_fill(memory, 16 * PAGE, 43);
	/* Some were read already. Behind the 2 MiB there is not even a page table. */
	CHECK(memory_is_zero(memory + 16 * PAGE, 16 * PAGE));
	device_publish(fd, memory, HUGE + 64 * PAGE, &counts);
	CHECK_EQ(counts.moved_count, 16);
	CHECK_EQ(counts.hole_count, 512 + 48);
	PROCESS_RUN(CHECK(memory_is_zero(memory + 16 * PAGE, HUGE + 48 * PAGE)));
	CHECK(memory_is_zero(memory + 16 * PAGE, HUGE + 48 * PAGE));
	PROCESS_RUN({
		memory_fill(memory + 16 * PAGE, HUGE + 48 * PAGE, 44);
		memory_check(memory + 16 * PAGE, HUGE + 48 * PAGE, 44);
	});
	memory_fill(memory + 16 * PAGE, HUGE + 48 * PAGE, 45);
	memory_check(memory, 16 * PAGE, 43);
	memory_check(memory + 16 * PAGE, HUGE + 48 * PAGE, 45);
	file_check_zero(fd, 16 * PAGE, HUGE + 48 * PAGE);
}

TEST(quick, what_was_never_written_takes_memory_when_it_is_written)
{
	const size_t bytes = 8 * HUGE;
	char *memory = memory_small(bytes);
	long long before, after;
	int fd = file_new();

	/* A page table for every other 2 MiB, with one page in it. */
	for (size_t at = 0; at < bytes; at += 2 * HUGE)
		memory[at + 7 * PAGE] = 1;
	device_publish(fd, memory, bytes, NULL);
	counters_flush();
	before = guest_read_number(GUEST_CGROUP "/test/memory.current");
	for (size_t at = 0; at < bytes; at += PAGE)
		CHECK_EQ(*(volatile char *)(memory + at), at % (2 * HUGE) == 7 * PAGE);
	counters_flush();
	after = guest_read_number(GUEST_CGROUP "/test/memory.current");
	CHECK_AT_MOST(after - before, bytes / 32);
	CHECK_EQ(file_blocks(fd), 4 * PAGE / 512);
	for (size_t at = 0; at < bytes; at += PAGE)
		memory[at] = 2;
	counters_flush();
	after = guest_read_number(GUEST_CGROUP "/test/memory.current");
	CHECK_AT_MOST(after - before, bytes + bytes / 8);
	CHECK_EQ(file_blocks(fd), 4 * PAGE / 512);
}

/* Runs of them in a mapping with data: each that has no page table of its own stays a mapping of its own. */
TEST(quick, untouched_parts_stay_anonymous_mappings)
{
	char *memory = memory_huge(4 * HUGE);
	int fd = file_new(), before = memory_mappings_count();
	struct kernelzero_deanonymize counts;

	CHECK_CALL(madvise(memory, 4 * HUGE, MADV_NOHUGEPAGE));
	memory_fill(memory, 20 * PAGE, 46);
	memory_fill(memory + 2 * HUGE, 20 * PAGE, 47);
	device_publish(fd, memory, 4 * HUGE, &counts);
	CHECK_EQ(counts.moved_count, 40);
	CHECK_EQ(counts.hole_count, 4 * 512 - 40);
	CHECK_EQ(memory_mappings_count(), before + 3);
	/* There the memory is still what it was, so that an allocator may have it back. */
	memory_fill(memory + HUGE, HUGE, 48);
	CHECK_CALL(madvise(memory + HUGE, HUGE, MADV_DONTNEED));
	CHECK(memory_is_zero(memory + HUGE, HUGE));
	file_check(fd, 2 * HUGE, 20 * PAGE, 47);
	file_check_zero(fd, HUGE, HUGE);
	/* What was published can't be published again, what was not can. */
	CHECK_EQ(device_try(fd, memory + HUGE, HUGE), 0);
}
