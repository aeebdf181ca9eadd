// SPDX-License-Identifier: GPL-2.0-only
/* Transparent huge pages: whole where the file's place allows it, by their small pages where not. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdio.h>
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

TEST(quick, aligned_huge_pages_move_whole)
{
	const size_t bytes = 4 * HUGE;
	char *memory = memory_huge_filled(bytes, 50), *mapping;
	uint64_t frame = MEMORY_PAGE_FRAME(memory_page_entry(memory + HUGE));
	long long huge_before = guest_read_field("/proc/meminfo", "ShmemHugePages");
	int fd = file_new();
	struct kernelzero_deanonymize counts;
	uint64_t offset = device_publish_huge(fd, memory, bytes, &counts);

	CHECK_EQ(counts.moved_huge_count, 4);
	CHECK_EQ(device_pages_counted(&counts), 2048);
	CHECK_EQ(offset % HUGE, 0);
	CHECK_EQ(guest_read_field("/proc/meminfo", "ShmemHugePages") - huge_before, bytes >> 10);
	mapping = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, offset);
	CHECK_EQ(mapping[HUGE], memory[HUGE]);
	CHECK_EQ(MEMORY_PAGE_FRAME(memory_page_entry(mapping + HUGE)), frame);
	file_check(fd, offset, bytes, 50);
	memory_check(memory, bytes, 50);
	memory_fill(memory, bytes, 51);
	file_check(fd, offset, bytes, 50);
}

TEST(quick, space_skipped_for_alignment_is_a_hole)
{
	char *small = memory_small_filled(3 * PAGE, 52), *huge = memory_huge_filled(HUGE, 53);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	device_publish(fd, small, 3 * PAGE, NULL);
	CHECK_EQ(device_publish_huge(fd, huge, HUGE, &counts), HUGE);
	CHECK_EQ(counts.moved_huge_count, 1);
	CHECK_EQ(file_bytes(fd), 2 * HUGE);
	CHECK_EQ(file_blocks(fd), (3 * PAGE + HUGE) / 512);
	file_check(fd, 0, 3 * PAGE, 52);
	file_check_zero(fd, 3 * PAGE, HUGE - 3 * PAGE);
	file_check(fd, HUGE, HUGE, 53);
}

TEST(quick, huge_pages_at_another_place_move_by_their_small_pages)
{
	char *small = memory_small_filled(PAGE, 54), *huge = memory_huge_filled(2 * HUGE, 55);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	device_publish(fd, small, PAGE, NULL);
	CHECK_EQ(device_publish(fd, huge, 2 * HUGE, &counts), PAGE);
	CHECK_EQ(counts.moved_count, 1024);
	file_check(fd, PAGE, 2 * HUGE, 55);
	memory_check(huge, 2 * HUGE, 55);
	memory_fill(huge, 2 * HUGE, 56);
	file_check(fd, PAGE, 2 * HUGE, 55);
}

TEST(quick, a_huge_page_moves_whole_without_being_asked_where_it_fits)
{
	char *huge = memory_huge_filled(HUGE, 57);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	device_publish(fd, huge, HUGE, &counts);
	CHECK_EQ(counts.moved_huge_count, 1);
	file_check(fd, 0, HUGE, 57);
}

TEST(quick, a_part_of_a_huge_page_moves_and_the_rest_stays)
{
	char *huge = memory_huge_filled(HUGE, 58);
	char *part = huge + 100 * PAGE;
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	device_publish_huge(fd, part, 200 * PAGE, &counts);
	CHECK_EQ(counts.moved_count, 200);
	PROCESS_RUN({
		char *mapping = mmap(NULL, 200 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

		CHECK(memory_matches(mapping, 200 * PAGE, 58, 100 * PAGE));
	});
	memory_check(huge, HUGE, 58);
	CHECK_EQ(memory_smaps(huge, HUGE).anonymous, (512 - 200) * 4);
	memory_fill(huge, HUGE, 59);
	memory_check(huge, HUGE, 59);
}

TEST(quick, a_range_with_unaligned_ends_moves_the_huge_pages_in_it_whole)
{
	char *huge = memory_huge_filled(4 * HUGE, 60);
	char *start = huge + HUGE - 5 * PAGE - 100;
	size_t bytes = 100 + 5 * PAGE + 2 * HUGE + 7 * PAGE + 50;
	int fd = file_new();
	struct kernelzero_deanonymize counts;
	uint64_t offset = device_publish_huge(fd, start, bytes, &counts);

	CHECK_EQ(offset % HUGE, (uintptr_t)start % HUGE);
	CHECK_EQ(counts.moved_huge_count, 2);
	CHECK_EQ(counts.moved_count, 12);
	CHECK_EQ(counts.copied_edge_count, 2);
	PROCESS_RUN({
		size_t at = start - huge;
		char *mapping = mmap(NULL, file_bytes(fd), PROT_READ, MAP_SHARED, fd, 0);

		CHECK(memory_matches(mapping + offset, bytes, 60, at));
		CHECK(memory_is_zero(mapping, offset));
		CHECK(memory_is_zero(mapping + offset + bytes, file_bytes(fd) - offset - bytes));
	});
	memory_check(huge, 4 * HUGE, 60);
	memory_fill(huge, 4 * HUGE, 61);
	memory_check(huge, 4 * HUGE, 61);
}

TEST(quick, a_huge_page_with_holes_in_it_keeps_what_is_left)
{
	char *huge = memory_huge_filled(2 * HUGE, 62);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	/* The first huge page loses a part: its other pages are mapped one by one from now on. */
	CHECK_CALL(madvise(huge + 64 * PAGE, 32 * PAGE, MADV_DONTNEED));
	device_publish_huge(fd, huge, 2 * HUGE, &counts);
	CHECK_EQ(device_pages_counted(&counts), 1024);
	CHECK_EQ(counts.hole_count, 32);
	CHECK_EQ(counts.moved_huge_count, 1);
	CHECK_EQ(counts.moved_count, 480);
	file_check(fd, 0, 64 * PAGE, 62);
	file_check_zero(fd, 64 * PAGE, 32 * PAGE);
	CHECK(memory_matches(huge + 96 * PAGE, 2 * HUGE - 96 * PAGE, 62, 96 * PAGE));
	PROCESS_RUN({
		char *mapping = mmap(NULL, 2 * HUGE, PROT_READ, MAP_SHARED, fd, 0);

		CHECK(memory_matches(mapping + 96 * PAGE, 2 * HUGE - 96 * PAGE, 62, 96 * PAGE));
	});
}

TEST(quick, a_moved_huge_page_can_be_split_by_the_file)
{
	char *huge = memory_huge_filled(3 * HUGE, 63);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	device_publish_huge(fd, huge, 3 * HUGE, &counts);
	CHECK_EQ(counts.moved_huge_count, 3);
	CHECK_CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE, PAGE));
	CHECK_CALL(ftruncate(fd, 2 * HUGE + 100 * PAGE));
	file_check(fd, 0, 10 * PAGE, 63);
	file_check_zero(fd, 10 * PAGE, PAGE);
	PROCESS_RUN({
		size_t rest = 2 * HUGE + 89 * PAGE;
		char *mapping = mmap(NULL, rest, PROT_READ, MAP_SHARED, fd, 11 * PAGE);

		CHECK(memory_matches(mapping, rest, 63, 11 * PAGE));
	});
	CHECK_EQ(file_blocks(fd), (2 * HUGE + 99 * PAGE) / 512);
}

TEST(quick, both_processes_map_a_moved_huge_page_as_one)
{
	char *huge = memory_huge_filled(2 * HUGE, 64);
	int fd = file_new();

	device_publish_huge(fd, huge, 2 * HUGE, NULL);
	PROCESS_RUN({
		char *space = memory_huge(2 * HUGE);
		char *mapping = mmap(space, 2 * HUGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);

		CHECK(mapping == space);
		memory_check(mapping, 2 * HUGE, 64);
		CHECK_EQ(memory_smaps(mapping, 2 * HUGE).rss, 4096);
	});
	memory_check(huge, 2 * HUGE, 64);
}

/* From 6.8 on there are huge pages of other sizes. */
TEST(quick, huge_pages_of_other_sizes_keep_their_bytes)
{
	const size_t bytes = 256 * PAGE;
	char setting[96], *memory;
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	for (int kib = 16; kib <= 1024; kib *= 2) {
		snprintf(setting, sizeof(setting),
			 "/sys/kernel/mm/transparent_hugepage/hugepages-%dkB/enabled", kib);
		if (guest_kernel() >= 608)
			guest_write(setting, "always");
		memory = memory_huge(bytes);
		memory_fill(memory, bytes, 65 + kib);
		device_publish(fd, memory + PAGE, bytes - 2 * PAGE, &counts);
		if (guest_kernel() >= 608)
			guest_write(setting, "never");
		CHECK_EQ(device_pages_counted(&counts), 254);
		CHECK_EQ(counts.moved_count + counts.copied_other_count, 254);
		memory_check(memory, bytes, 65 + kib);
		PROCESS_RUN({
			char *mapping = mmap(NULL, bytes - 2 * PAGE, PROT_READ, MAP_SHARED, fd,
					     file_bytes(fd) - (bytes - 2 * PAGE));

			CHECK(memory_matches(mapping, bytes - 2 * PAGE, 65 + kib, PAGE));
		});
		memory_fill(memory, bytes, 3);
		memory_check(memory, bytes, 3);
		memory_free(memory, bytes);
	}
}

/* A child has written one half of a huge page, so that it shares the other half alone. Nobody pins anything. */
static void publish_half_shared(bool is_first_shared)
{
	char *memory = memory_huge_filled(HUGE, 68);
	struct process_steps *steps = process_steps();
	struct kernelzero_deanonymize counts;
	int fd = file_new(), mappings = memory_mappings_count();
	pid_t child = process_start();

	if (child == 0) {
		char *half = memory + (is_first_shared ? HUGE / 2 : 0);

		for (size_t at = 0; at < HUGE / 2; at += PAGE)
			half[at] ^= 1;
		process_step(steps, 1);
		process_wait(steps, 2);
		_exit(0);
	}
	process_wait(steps, 1);
	device_publish_huge(fd, memory, HUGE, &counts);
	CHECK_EQ(counts.copied_shared_count, 256);
	CHECK_EQ(counts.moved_count, 256);
	CHECK_EQ(memory_smaps(memory, HUGE).anonymous, 0);
	CHECK_EQ(memory_mappings_count(), mappings);
	memory_check(memory, HUGE, 68);
	file_check_read(fd, 0, HUGE, 68);
	process_step(steps, 2);
	process_end(child);
}

TEST(quick, the_own_half_of_a_huge_page_moves_when_the_first_is_shared)
{
	publish_half_shared(true);
}

TEST(quick, the_own_half_of_a_huge_page_moves_when_the_second_is_shared)
{
	publish_half_shared(false);
}

/* Two ranges of one call, of which the first has the shared half. */
TEST(quick, the_own_half_of_a_huge_page_moves_from_a_range_of_its_own)
{
	char *memory = memory_huge_filled(HUGE, 69);
	struct process_steps *steps = process_steps();
	struct kernelzero_range ranges[] = {
		{(uintptr_t)memory, HUGE / 2, 0},
		{(uintptr_t)memory + HUGE / 2, HUGE / 2, 0},
	};
	struct device_call call = {.ranges = ranges};
	int fd = file_new();
	pid_t child = process_start();

	if (child == 0) {
		for (size_t at = HUGE / 2; at < HUGE; at += PAGE)
			memory[at] ^= 1;
		process_step(steps, 1);
		process_wait(steps, 2);
		_exit(0);
	}
	process_wait(steps, 1);
	CHECK_EQ(device_call(&call, fd, 0, 2), 0);
	CHECK_EQ(call.call.copied_shared_count, 256);
	CHECK_EQ(call.call.moved_count, 256);
	memory_check(memory, HUGE, 69);
	process_step(steps, 2);
	process_end(child);
}

/*
 * What shared memory is told to make of huge pages is about making them: a page that is one already moves whole. But "deny"
 * is there to get rid of all huge pages of shared memory.
 */
TEST(quick, huge_pages_move_by_their_small_pages_where_shared_memory_may_have_none)
{
	static const char setting[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	char *memory = memory_huge_filled(2 * HUGE, 49);
	struct kernelzero_deanonymize counts;
	int fd = file_new();

	guest_write(setting, "deny");
	device_publish_huge(fd, memory, HUGE, &counts);
	CHECK_EQ(counts.moved_huge_count, 0);
	CHECK_EQ(counts.moved_count, 512);
	guest_write(setting, "never");
	device_publish_huge(fd, memory + HUGE, HUGE, &counts);
	CHECK_EQ(counts.moved_huge_count, 1);
	memory_check(memory, 2 * HUGE, 49);
	file_check(fd, 0, 2 * HUGE, 49);
}
