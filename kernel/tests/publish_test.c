// SPDX-License-Identifier: GPL-2.0-only
/* What a call that succeeds does: the file has the bytes, the source reads as before, and later writes stay private. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

TEST(quick, published_bytes_are_read_by_a_second_process)
{
	const size_t bytes = 64 * PAGE;
	char *memory = memory_small_filled(bytes, 1);
	int fd = file_new();
	struct kernelzero_deanonymize counts;
	uint64_t offset = device_publish(fd, memory, bytes, &counts);

	CHECK_EQ(offset, 0);
	CHECK_EQ(counts.moved_count, 64);
	CHECK_EQ(device_pages_counted(&counts), 64);
	CHECK_EQ(counts.file_bytes, bytes);
	CHECK_EQ(file_bytes(fd), bytes);
	file_check(fd, offset, bytes, 1);
	memory_check(memory, bytes, 1);
}

/* The frames of physical memory are those of the source: nothing was copied. */
TEST(quick, moved_pages_are_the_same_frames)
{
	const size_t pages = 32;
	char *memory = memory_small_filled(pages * PAGE, 2), *mapping;
	uint64_t frames[32];
	int fd = file_new();

	for (size_t i = 0; i < pages; i++)
		frames[i] = MEMORY_PAGE_FRAME(memory_page_entry(memory + i * PAGE));
	device_publish(fd, memory, pages * PAGE, NULL);
	mapping = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	memory_check(memory, pages * PAGE, 2);
	for (size_t i = 0; i < pages; i++) {
		uint64_t entry = memory_page_entry(mapping + i * PAGE);

		CHECK(frames[i] != 0);
		CHECK_EQ(MEMORY_PAGE_FRAME(entry), frames[i]);
		CHECK(entry & MEMORY_PAGE_OF_FILE);
		CHECK_EQ(MEMORY_PAGE_FRAME(memory_page_entry(memory + i * PAGE)), frames[i]);
	}
}

TEST(quick, the_source_becomes_a_private_mapping_of_the_file)
{
	char *memory = memory_small_filled(16 * PAGE, 3);
	int fd = file_new();
	struct memory_smaps smaps;

	device_publish(fd, memory, 16 * PAGE, NULL);
	memory_check(memory, 16 * PAGE, 3);
	smaps = memory_smaps(memory, 16 * PAGE);
	CHECK_EQ(smaps.mappings, 1);
	CHECK_EQ(smaps.anonymous, 0);
	CHECK_EQ(smaps.rss, 64);
	CHECK(memory_page_entry(memory) & MEMORY_PAGE_OF_FILE);
}

TEST(quick, a_call_appends_at_the_next_whole_page)
{
	char *first = memory_small_filled(3 * PAGE, 4), *second = memory_small_filled(5 * PAGE, 5);
	int fd = file_new();

	CHECK_EQ(write(fd, "already there", 13), 13);
	CHECK_EQ(device_publish(fd, first, 3 * PAGE, NULL), PAGE);
	CHECK_EQ(device_publish(fd, second, 5 * PAGE, NULL), 4 * PAGE);
	CHECK_EQ(file_bytes(fd), 9 * PAGE);
	file_check(fd, PAGE, 3 * PAGE, 4);
	file_check(fd, 4 * PAGE, 5 * PAGE, 5);
	file_check_zero(fd, 13, PAGE - 13);
}

static void publish_and_write(void)
{
	const size_t bytes = 128 * PAGE;
	char *memory = memory_small_filled(bytes, 6);
	int fd = file_new();

	device_publish(fd, memory, bytes, NULL);
	/* Even pages at once, odd ones after they were read. */
	for (size_t i = 0; i < 128; i++) {
		if (i % 2)
			CHECK(memory_matches(memory + i * PAGE, PAGE, 6, i * PAGE));
		memory[i * PAGE + i] ^= 0x55;
	}
	file_check(fd, 0, bytes, 6);
	for (size_t i = 0; i < 128; i++)
		memory[i * PAGE + i] ^= 0x55;
	memory_check(memory, bytes, 6);
	memory_fill(memory, bytes, 7);
	memory_check(memory, bytes, 7);
	file_check(fd, 0, bytes, 6);
	memory_free(memory, bytes);
	close(fd);
}

TEST(quick, writes_to_the_source_never_reach_the_file)
{
	/* Several times: a processor that is taken away in between forgets the old translations by itself. */
	for (int round = 0; round < 8; round++)
		publish_and_write();
}

TEST(quick, ranges_go_into_the_file_in_their_order)
{
	char *memory = memory_small_filled(64 * PAGE, 8);
	/* Not in the order of the addresses. */
	struct kernelzero_range ranges[] = {
		{.address = (uintptr_t)memory + 40 * PAGE, .bytes = 8 * PAGE},
		{.address = (uintptr_t)memory + 2 * PAGE, .bytes = 16 * PAGE},
		{.address = (uintptr_t)memory + 50 * PAGE, .bytes = PAGE},
	};
	const size_t at[] = {40 * PAGE, 2 * PAGE, 50 * PAGE};
	struct device_call call = {.ranges = ranges};
	int fd = file_new();

	CHECK_EQ(device_call(&call, fd, 0, 3), 0);
	CHECK_EQ(call.call.moved_count, 25);
	CHECK_EQ(ranges[0].offset, 0);
	CHECK_EQ(ranges[1].offset, 8 * PAGE);
	CHECK_EQ(ranges[2].offset, 24 * PAGE);
	CHECK_EQ(call.call.file_bytes, 25 * PAGE);
	for (int i = 0; i < 3; i++) {
		char *mapping =
			mmap(NULL, ranges[i].bytes, PROT_READ, MAP_SHARED, fd, ranges[i].offset);

		CHECK(memory_matches(mapping, ranges[i].bytes, 8, at[i]));
	}
	memory_check(memory, 64 * PAGE, 8);
}

TEST(quick, memory_beside_a_range_stays_anonymous)
{
	char *memory = memory_small_filled(24 * PAGE, 9);
	int fd = file_new();

	device_publish(fd, memory + 8 * PAGE, 8 * PAGE, NULL);
	CHECK_EQ(memory_smaps(memory, 24 * PAGE).anonymous, 64);
	memory_check(memory, 24 * PAGE, 9);
	memory_fill(memory, 24 * PAGE, 10);
	memory_check(memory, 24 * PAGE, 10);
	/* What is beside can be published later. */
	device_publish(fd, memory, 8 * PAGE, NULL);
	file_check(fd, 8 * PAGE, 8 * PAGE, 10);
}

TEST(quick, a_thousand_ranges_go_in_one_call)
{
	enum {
		COUNT = 1000,
		STRIDE = 3
	};
	const size_t bytes = COUNT * STRIDE * PAGE;
	static struct kernelzero_range ranges[COUNT];
	static uint8_t pages[COUNT * STRIDE];
	char *memory = memory_small_filled(bytes, 11);
	struct device_call call = {.ranges = ranges, .pages = pages};
	int fd = file_new();
	char part[2 * PAGE];

	for (size_t i = 0; i < COUNT; i++) {
		size_t at = i * STRIDE * PAGE + (i % 5 ? 64 * (i % 61) : 0);

		ranges[i].address = (uintptr_t)memory + at;
		ranges[i].bytes = i % 3 ? PAGE + 8 * (i % 500) : 8 + i;
	}
	CHECK_EQ(device_call(&call, fd, 0, COUNT), 0);
	for (size_t i = 0; i < COUNT; i++) {
		size_t at = ranges[i].address - (uintptr_t)memory;

		CHECK_EQ(ranges[i].offset % PAGE, at % PAGE);
		CHECK_EQ(pread(fd, part, ranges[i].bytes, ranges[i].offset), ranges[i].bytes);
		CHECK(memory_matches(part, ranges[i].bytes, 11, at));
	}
	memory_check(memory, bytes, 11);
	memory_fill(memory, bytes, 12);
	memory_check(memory, bytes, 12);
}

TEST(quick, a_published_file_can_be_sealed_at_once)
{
	char *small = memory_small_filled(64 * PAGE, 13), *huge = memory_huge_filled(HUGE, 14);
	int fd = file_new();
	uint64_t offset;

	device_publish(fd, small, 64 * PAGE, NULL);
	offset = device_publish_huge(fd, huge, HUGE, NULL);
	/* The kernel refuses while anybody but the file and mappings holds one of its pages. */
	CHECK_CALL(
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	file_check(fd, 0, 64 * PAGE, 13);
	file_check(fd, offset, HUGE, 14);
	CHECK_EQ(pwrite(fd, "x", 1, 0), -1);
	small[0] ^= 1;
	huge[0] ^= 1;
	file_check(fd, 0, 64 * PAGE, 13);
	file_check(fd, offset, HUGE, 14);
}

TEST(quick, sealing_against_shrinking_does_not_hinder)
{
	char *memory = memory_small_filled(4 * PAGE, 15);
	int fd = file_new();

	CHECK_CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	device_publish(fd, memory, 4 * PAGE, NULL);
	file_check(fd, 0, 4 * PAGE, 15);
}

TEST(quick, a_file_of_a_tmpfs_takes_pages_too)
{
	char *memory = memory_small_filled(32 * PAGE, 16);
	int fd = file_on_tmpfs("size=16m");

	device_publish(fd, memory, 32 * PAGE, NULL);
	file_check(fd, 0, 32 * PAGE, 16);
}

TEST(quick, dropped_source_pages_come_back_from_the_file)
{
	char *memory = memory_small_filled(16 * PAGE, 17);
	int fd = file_new();

	device_publish(fd, memory, 16 * PAGE, NULL);
	memory_fill(memory, 16 * PAGE, 18);
	CHECK_CALL(madvise(memory, 16 * PAGE, MADV_DONTNEED));
	memory_check(memory, 16 * PAGE, 17);
}

/* How an allocator gets its memory back: the range is made fresh before it is given out again. */
TEST(quick, fresh_memory_over_a_range_is_zero_and_can_be_published_again)
{
	const size_t bytes = 16 * PAGE;
	char *memory = memory_small_filled(bytes, 19);
	int fd = file_new();

	for (int round = 0; round < 3; round++) {
		CHECK_EQ(device_publish(fd, memory, bytes, NULL), round * bytes);
		CHECK(mmap(memory, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
		CHECK(memory_is_zero(memory, bytes));
		memory_fill(memory, bytes, 20 + round);
	}
	file_check(fd, 0, bytes, 19);
	file_check(fd, bytes, bytes, 20);
	file_check(fd, 2 * bytes, bytes, 21);
	memory_check(memory, bytes, 22);
}

TEST(quick, the_converted_mapping_can_be_moved_protected_and_cut)
{
	const size_t bytes = 32 * PAGE;
	char *memory = memory_small_filled(bytes, 23), *moved;
	int fd = file_new();

	device_publish(fd, memory, bytes, NULL);
	moved = mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, memory_small(bytes));
	CHECK(moved != MAP_FAILED);
	memory_check(moved, bytes, 23);
	CHECK_CALL(mprotect(moved, bytes, PROT_NONE));
	CHECK_CALL(mprotect(moved, bytes, PROT_READ | PROT_WRITE));
	memory_check(moved, bytes, 23);
	CHECK_CALL(munmap(moved + 8 * PAGE, 8 * PAGE));
	CHECK(memory_matches(moved, 8 * PAGE, 23, 0));
	CHECK(memory_matches(moved + 16 * PAGE, 16 * PAGE, 23, 16 * PAGE));
	memset(moved, 0xff, 8 * PAGE);
	file_check(fd, 0, bytes, 23);
}

TEST(quick, the_source_still_reads_after_the_file_is_closed)
{
	char *memory = memory_small_filled(16 * PAGE, 24);
	int fd = file_new();

	device_publish(fd, memory, 16 * PAGE, NULL);
	close(fd);
	memory_check(memory, 16 * PAGE, 24);
}
