// SPDX-License-Identifier: GPL-2.0-only
/* Swapped-out memory: its places on the swap device move, and nothing is read back. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "counters.h"
#include "device.h"
#include "disk.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"
#include "state.h"

#define SWAP_BYTES (128UL << 20)
#define PAGES	   512
#define BYTES	   (PAGES * PAGE)

static bool is_swapped(const void *address)
{
	return memory_page_entry(address) & MEMORY_PAGE_SWAPPED;
}

/* Keeps this process's own pages in: read back, they would bring neighbours with them. For what is mapped so far. */
static void keep_own_pages(void)
{
	guest_write("/proc/sys/vm/page-cluster", "0");
	CHECK_CALL(mlockall(MCL_CURRENT));
}

/* Swaps memory out: all of it, and nothing of it is left in the swap cache, or the test ends. */
static void swap_out(char *memory, size_t bytes)
{
	struct counters counters;

	for (int attempt = 0; attempt < 200; attempt++) {
		size_t in = 0;

		CHECK_CALL(madvise(memory, bytes, MADV_PAGEOUT));
		for (size_t at = 0; at < bytes; at += PAGE)
			in += !is_swapped(memory + at);
		/* Gives back what processors hold of pages that have been written, and adds up their counters. */
		guest_write("/proc/sys/vm/compact_memory", "1");
		counters_take(&counters);
		if (in == 0 && guest_read_field("/proc/meminfo", "SwapCached") == 0)
			return;
		/* What is being written to a disk stays cached until the next look at it. */
		guest_try_write(GUEST_CGROUP "/test/memory.reclaim", "16M");
		usleep(10000);
	}
	FAIL("the guest does not swap all of it out");
}

static char *swapped_out(uint64_t seed)
{
	char *memory;

	keep_own_pages();
	memory = memory_small_filled(BYTES, seed);
	swap_out(memory, BYTES);
	return memory;
}

static long long pages_read(void)
{
	return guest_read_field("/proc/vmstat", "pswpin");
}

TEST(swap, swapped_out_pages_move_without_being_read)
{
	struct kernelzero_deanonymize counts;
	long long read_before, read_after, free_before;
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(200);
	read_before = pages_read();
	free_before = guest_read_field("/proc/meminfo", "SwapFree");
	device_publish(fd, memory, BYTES, &counts);
	read_after = pages_read();
	CHECK_EQ(counts.moved_swap_count, PAGES);
	CHECK_EQ(read_after, read_before);
	CHECK_EQ(guest_read_field("/proc/meminfo", "SwapFree"), free_before);
	CHECK_EQ(file_blocks(fd), BYTES / 512);
	CHECK_EQ(memory_smaps(memory, BYTES).rss, 0);
	file_check(fd, 0, BYTES, 200);
	CHECK_AT_LEAST(pages_read(), read_before + PAGES);
	memory_check(memory, BYTES, 200);
	memory_fill(memory, BYTES, 201);
	file_check(fd, 0, BYTES, 200);
	close(fd);
	disk_swap_stop();
}

TEST(swap, swapped_pages_between_others_move)
{
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(202);
	/* Every fourth page is back, written or only read; every eighth is gone for good. */
	for (size_t i = 0; i < PAGES; i += 4) {
		char *page = memory + i * PAGE;

		CHECK(memory_matches(page, PAGE, 202, i * PAGE));
		if (i % 8)
			page[0] ^= 1, page[0] ^= 1;
		if (i % 16 == 0)
			CHECK_CALL(madvise(page, PAGE, MADV_DONTNEED));
	}
	device_publish(fd, memory + 100, BYTES - 200, &counts);
	CHECK_EQ(device_pages_counted(&counts), PAGES);
	CHECK_EQ(counts.copied_edge_count, 2);
	CHECK_EQ(counts.hole_count, PAGES / 16 - 1);
	/* Readahead may have brought some more in. */
	CHECK_AT_LEAST(counts.moved_swap_count + counts.moved_count, PAGES - PAGES / 16 - 2);
	for (size_t i = 1; i < PAGES - 1; i++)
		if (i % 16) {
			static char part[PAGE];

			CHECK_EQ(pread(fd, part, PAGE, i * PAGE), PAGE);
			if (!memory_matches(part, PAGE, 202, i * PAGE))
				FAIL("wrong bytes in page %zu", i);
			CHECK(memory_matches(memory + i * PAGE, PAGE, 202, i * PAGE));
		}
	close(fd);
	disk_swap_stop();
}

TEST(swap, a_swapped_out_edge_is_copied)
{
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	char *memory, part[PAGE];

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(203);
	device_publish(fd, memory + PAGE + 50, 200, &counts);
	CHECK_EQ(counts.copied_edge_count, 1);
	CHECK_EQ(pread(fd, part, 200, 50), 200);
	CHECK(memory_matches(part, 200, 203, PAGE + 50));
	file_check_zero(fd, 0, 50);
	file_check_zero(fd, 250, PAGE - 250);
	memory_check(memory, BYTES, 203);
	disk_swap_stop();
}

TEST(swap, places_that_a_child_shares_are_copied)
{
	struct process_steps *steps = process_steps();
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	char *memory;
	pid_t child;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(204);
	child = process_start();
	if (child == 0) {
		process_step(steps, 1);
		process_wait(steps, 2);
		memory_check(memory, BYTES, 204);
		memory_fill(memory, BYTES, 205);
		process_step(steps, 3);
		process_wait(steps, 4);
		memory_check(memory, BYTES, 205);
		_exit(0);
	}
	process_wait(steps, 1);
	device_publish(fd, memory, BYTES, &counts);
	CHECK_EQ(counts.moved_swap_count, 0);
	CHECK_EQ(counts.copied_shared_count, PAGES);
	process_step(steps, 2);
	process_wait(steps, 3);
	file_check(fd, 0, BYTES, 204);
	memory_check(memory, BYTES, 204);
	process_step(steps, 4);
	process_end(child);
	file_check(fd, 0, BYTES, 204);
	disk_swap_stop();
}

/* The child has read its pages back: they are in the swap cache, mapped there, while the parent's are still out. */
TEST(swap, places_that_a_child_has_mapped_are_copied)
{
	struct process_steps *steps = process_steps();
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	char *memory;
	pid_t child;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(206);
	child = process_start();
	if (child == 0) {
		memory_check(memory, BYTES, 206);
		process_step(steps, 1);
		process_wait(steps, 2);
		memory_check(memory, BYTES, 206);
		_exit(0);
	}
	process_wait(steps, 1);
	device_publish(fd, memory, BYTES, &counts);
	CHECK_EQ(device_pages_counted(&counts), PAGES);
	CHECK_EQ(counts.moved_swap_count, 0);
	file_check(fd, 0, BYTES, 206);
	memory_fill(memory, BYTES, 207);
	process_step(steps, 2);
	process_end(child);
	file_check(fd, 0, BYTES, 206);
	memory_check(memory, BYTES, 207);
	disk_swap_stop();
}

/* A child that took all of it and ended leaves single places: they move. */
TEST(swap, places_whose_other_owner_has_ended_move)
{
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(208);
	PROCESS_RUN(CHECK(is_swapped(memory)));
	device_publish(fd, memory, BYTES, &counts);
	CHECK_EQ(counts.moved_swap_count, PAGES);
	file_check(fd, 0, BYTES, 208);
	disk_swap_stop();
}

TEST(swap, swapped_out_huge_pages_move)
{
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	keep_own_pages();
	memory = memory_huge_filled(4 * HUGE, 209);
	swap_out(memory, 4 * HUGE);
	device_publish_huge(fd, memory, 4 * HUGE, &counts);
	CHECK_EQ(counts.moved_swap_count, 2048);
	file_check(fd, 0, 4 * HUGE, 209);
	memory_check(memory, 4 * HUGE, 209);
	memory_fill(memory, 4 * HUGE, 210);
	file_check(fd, 0, 4 * HUGE, 209);
	disk_swap_stop();
}

/* While they are written to a disk, huge pages are in the swap cache as one: their places must not move from under it. */
TEST(swap, huge_pages_still_in_the_swap_cache_keep_their_bytes)
{
	long long in_swap_cache = 0;

	disk_swap_start(SWAP_BYTES);
	for (int round = 0; round < 6; round++) {
		struct kernelzero_deanonymize counts;
		int fd = file_new();
		char *memory = memory_huge_filled(8 * HUGE, 211);

		CHECK_CALL(madvise(memory, 8 * HUGE, MADV_PAGEOUT));
		in_swap_cache += guest_read_field("/proc/meminfo", "SwapCached");
		if (round % 2)
			device_publish_huge(fd, memory, 8 * HUGE, &counts);
		else
			device_publish(fd, memory + PAGE, 8 * HUGE - 2 * PAGE, &counts);
		memory_check(memory, 8 * HUGE, 211);
		if (round % 2)
			file_check(fd, 0, 8 * HUGE, 211);
		memory_fill(memory, 8 * HUGE, 212);
		if (round % 2)
			file_check(fd, 0, 8 * HUGE, 211);
		memory_free(memory, 8 * HUGE);
		close(fd);
	}
	harness_note("%lld KiB were in the swap cache", in_swap_cache);
	disk_swap_stop();
}

/* The swap device has its places back, though nobody ever read them. */
TEST(swap, a_file_closed_unread_frees_its_places)
{
	long long free_before;
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	free_before = guest_read_field("/proc/meminfo", "SwapFree");
	memory = swapped_out(213);
	device_publish(fd, memory, BYTES, NULL);
	memory_free(memory, BYTES);
	CHECK_AT_MOST(guest_read_field("/proc/meminfo", "SwapFree"),
		      free_before - (long long)(BYTES >> 10));
	close(fd);
	/* Each processor keeps up to 64 places for its next use, and as many that it is about to give back. */
	CHECK_AT_LEAST(guest_read_field("/proc/meminfo", "SwapFree"), free_before - 2 * 2 * 64 * 4);
	disk_swap_stop();
}

TEST(swap, truncation_and_punching_free_places)
{
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(214);
	device_publish(fd, memory, BYTES, NULL);
	CHECK_CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16 * PAGE, 16 * PAGE));
	CHECK_CALL(ftruncate(fd, 64 * PAGE));
	CHECK_EQ(file_blocks(fd), 48 * PAGE / 512);
	file_check(fd, 0, 16 * PAGE, 214);
	file_check_zero(fd, 16 * PAGE, 16 * PAGE);
	CHECK(memory_matches(memory + 32 * PAGE, 32 * PAGE, 214, 32 * PAGE));
	disk_swap_stop();
}

TEST(swap, swapoff_brings_moved_places_back)
{
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(215);
	device_publish(fd, memory, BYTES, NULL);
	disk_swap_stop();
	CHECK_EQ(guest_read_field("/proc/meminfo", "SwapTotal"), 0);
	file_check(fd, 0, BYTES, 215);
	memory_check(memory, BYTES, 215);
	CHECK_EQ(file_blocks(fd), BYTES / 512);
}

TEST(swap, swapoff_during_calls_loses_nothing)
{
	disk_swap_start(SWAP_BYTES);
	for (int round = 0; round < 3; round++) {
		int fd = file_new();
		char *memory = swapped_out(216);
		pid_t child = process_start();

		if (child == 0) {
			disk_swap_stop();
			_exit(0);
		}
		for (size_t at = 0; at < BYTES; at += 8 * PAGE)
			device_publish(fd, memory + at, 8 * PAGE, NULL);
		process_end(child);
		file_check(fd, 0, BYTES, 216);
		memory_check(memory, BYTES, 216);
		memory_free(memory, BYTES);
		close(fd);
		disk_swap_start(SWAP_BYTES);
	}
	disk_swap_stop();
}

TEST(swap, published_pages_are_swapped_out_and_in_again)
{
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(217);
	device_publish(fd, memory, BYTES, NULL);
	for (int round = 0; round < 4; round++) {
		file_check(fd, 0, BYTES, 217);
		guest_try_write(GUEST_CGROUP "/test/memory.reclaim", "64M");
	}
	memory_fill(memory, BYTES, 218);
	guest_try_write(GUEST_CGROUP "/test/memory.reclaim", "64M");
	file_check(fd, 0, BYTES, 217);
	memory_check(memory, BYTES, 218);
	close(fd);
	disk_swap_stop();
}

/* Refused, the places stay where they are, and are still the process's. */
TEST(swap, a_refused_call_leaves_places_alone)
{
	int fd;
	char *memory;
	struct state state;

	disk_swap_start(SWAP_BYTES);
	fd = file_on_tmpfs("size=64k");
	memory = swapped_out(219);
	state_take(&state, memory, BYTES, fd);
	CHECK(device_try(fd, memory, BYTES) != 0);
	state_check(&state, "no space for swapped-out pages");
	memory_check(memory, BYTES, 219);
	disk_swap_stop();
}

TEST(swap, counters_follow_swapped_pages)
{
	struct counters before, after;
	long long group_swap;
	int fd = file_new();
	char *memory;

	disk_swap_start(SWAP_BYTES);
	memory = swapped_out(220);
	counters_take(&before);
	group_swap = guest_read_number(GUEST_CGROUP "/test/memory.swap.current");
	CHECK_AT_LEAST(guest_read_field("/proc/self/status", "VmSwap"), BYTES >> 10);
	device_publish(fd, memory, BYTES, NULL);
	counters_take(&after);
	CHECK_EQ(after.committed - before.committed, BYTES >> 10);
	CHECK_EQ(after.shared, before.shared);
	CHECK_EQ(guest_read_number(GUEST_CGROUP "/test/memory.swap.current"), group_swap);
	CHECK_AT_MOST(guest_read_field("/proc/self/status", "VmSwap"), 256);
	file_check(fd, 0, BYTES, 220);
	close(fd);
	disk_swap_stop();
}

/*
 * Near the limit of its group a caller has memory swapped out that must be read in. Nothing that the call has taken can be
 * swapped out, so there is no room: the call fails and has done nothing. It was the kernel that killed a process instead.
 */
#define LARGE_BYTES (48UL << 20)
#define ROOM_BYTES  (12LL << 20)

static char *large_swapped_out(uint64_t seed)
{
	char *memory;

	guest_write("/proc/self/oom_score_adj", "-1000");
	guest_write("/proc/sys/vm/page-cluster", "0");
	disk_swap_start(2 * SWAP_BYTES);
	memory = memory_small_filled(LARGE_BYTES, seed);
	swap_out(memory, LARGE_BYTES);
	return memory;
}

static void group_limit(void)
{
	counters_flush();
	guest_write_number(GUEST_CGROUP "/test/memory.max",
			   guest_read_number(GUEST_CGROUP "/test/memory.current") + ROOM_BYTES);
}

static long long group_kills(void)
{
	return guest_read_field(GUEST_CGROUP "/test/memory.events", "oom_kill");
}

TEST_WITHIN(swap, shared_places_beyond_the_groups_limit_are_ENOMEM_without_a_kill, 200)
{
	struct process_steps *steps = process_steps();
	int fd = file_new();
	char *memory = large_swapped_out(210);
	pid_t sharer = process_start();

	if (sharer == 0) {
		process_wait(steps, 2);
		memory_check(memory, LARGE_BYTES, 210);
		_exit(0);
	}
	device_fd();
	group_limit();
	PROCESS_RUN({
		guest_write("/proc/self/oom_score_adj", "1000");
		CHECK_EQ(device_try(fd, memory, LARGE_BYTES), ENOMEM);
		CHECK_EQ(file_bytes(fd), 0);
		/* What the caller does then: it writes, and goes on. */
		for (size_t at = 0; at < LARGE_BYTES; at += HUGE)
			CHECK_EQ(write(fd, memory + at, HUGE), HUGE);
	});
	guest_write(GUEST_CGROUP "/test/memory.max", "max");
	CHECK_EQ(group_kills(), 0);
	file_check_read(fd, 0, LARGE_BYTES, 210);
	process_step(steps, 2);
	process_end(sharer);
	close(fd);
	memory_free(memory, LARGE_BYTES);
	disk_swap_stop();
}

/* The same for the edges of many ranges, of which each is read in and copied. */
TEST_WITHIN(swap, swapped_out_edges_beyond_the_groups_limit_are_ENOMEM_without_a_kill, 200)
{
	static struct kernelzero_range ranges[LARGE_BYTES / PAGE];
	const size_t count = LARGE_BYTES / PAGE;
	struct device_call call = {.ranges = ranges};
	int fd = file_new();
	char *memory = large_swapped_out(211);

	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct kernelzero_range){(uintptr_t)memory + i * PAGE + 8, 64, 0};
	device_fd();
	group_limit();
	PROCESS_RUN({
		guest_write("/proc/self/oom_score_adj", "1000");
		CHECK_EQ(device_call(&call, fd, 0, count), ENOMEM);
		CHECK_EQ(file_bytes(fd), 0);
	});
	guest_write(GUEST_CGROUP "/test/memory.max", "max");
	CHECK_EQ(group_kills(), 0);
	memory_check(memory, LARGE_BYTES, 211);
	close(fd);
	memory_free(memory, LARGE_BYTES);
	disk_swap_stop();
}
