// SPDX-License-Identifier: GPL-2.0-only
/* Every counter that a moved page is in moves with it. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "counters.h"
#include "device.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"

/* Counters before and after a call over `bytes` of present pages: what must have moved. */
static void check_counters(char *memory, size_t bytes)
{
	long long kib = bytes >> 10;
	struct counters before, after;
	long long group_anonymous, group_shared, file_pages, rss_anonymous, rss_shared;
	int fd = file_new();

	for (int warm = 0; warm < 2; warm++) {
		counters_flush();
		group_anonymous = counters_group("anon");
		group_shared = counters_group("shmem");
		file_pages = guest_read_field("/proc/vmstat", "nr_file_pages");
		rss_anonymous = guest_read_field("/proc/self/status", "RssAnon");
		rss_shared = guest_read_field("/proc/self/status", "RssShmem");
		counters_take(&before);
	}
	device_publish_huge(fd, memory, bytes, NULL);
	counters_flush();
	counters_take(&after);
	CHECK_EQ(after.anonymous - before.anonymous, -kib);
	CHECK_EQ(after.shared - before.shared, kib);
	CHECK_EQ(after.committed - before.committed, kib);
	CHECK_EQ(guest_read_field("/proc/vmstat", "nr_file_pages") - file_pages, kib / 4);
	CHECK_EQ(counters_group("anon") - group_anonymous, -(long long)bytes);
	CHECK_EQ(counters_group("shmem") - group_shared, bytes);
	CHECK_EQ(file_blocks(fd), bytes / 512);
	/* On 6.1 the kernel keeps what 64 page faults of a thread have added apart, each of up to 16 pages. */
	CHECK_AT_MOST(guest_read_field("/proc/self/status", "RssAnon") - rss_anonymous, -kib + 256);
	CHECK_AT_MOST(guest_read_field("/proc/self/status", "RssShmem") - rss_shared, 256);
	memory_check(memory, bytes, 180);
	CHECK_AT_LEAST(guest_read_field("/proc/self/status", "RssShmem") - rss_shared,
		       kib - 64 * 16 * 4 - 256);
	CHECK_EQ(memory_smaps(memory, bytes).rss, kib);
}

TEST(quick, counters_follow_small_pages)
{
	check_counters(memory_small_filled(2048 * PAGE, 180), 2048 * PAGE);
}

TEST(quick, counters_follow_huge_pages)
{
	check_counters(memory_huge_filled(4 * HUGE, 180), 4 * HUGE);
}

TEST(quick, counters_of_a_huge_page_follow_it)
{
	const size_t bytes = 4 * HUGE;
	char *memory = memory_huge_filled(bytes, 181);
	struct counters before, after;
	int fd = file_new();

	counters_take(&before);
	device_publish_huge(fd, memory, bytes, NULL);
	counters_take(&after);
	CHECK_EQ(after.anonymous_huge - before.anonymous_huge, -(long long)(bytes >> 10));
	/* The tables that were kept for a split are given back. */
	CHECK_EQ(after.page_tables - before.page_tables, -16);
}

/* Copies are new pages: charged, and in the same counters. */
TEST(quick, counters_follow_copies)
{
	const size_t bytes = 1024 * PAGE;
	char *memory = memory_small_filled(bytes, 182);
	struct kernelzero_range ranges[1024];
	struct device_call call = {.ranges = ranges};
	long long shared;
	int fd = file_new();

	for (int i = 0; i < 1024; i++)
		ranges[i] = (struct kernelzero_range){(uintptr_t)memory + i * PAGE + 8, 8, 0};
	counters_flush();
	shared = counters_group("shmem");
	CHECK_EQ(device_call(&call, fd, 0, 1024), 0);
	CHECK_EQ(call.call.copied_edge_count, 1024);
	counters_flush();
	CHECK_EQ(counters_group("shmem") - shared, bytes);
	CHECK_EQ(file_blocks(fd), bytes / 512);
	CHECK_EQ(memory_smaps(memory, bytes).anonymous, bytes >> 10);
}

/* More in all than the guest has memory: each page comes back when its file is gone. */
TEST_WITHIN(quick, a_loop_larger_than_memory_leaks_nothing, 240)
{
	const size_t bytes = 16 * HUGE;
	size_t total = (size_t)guest_read_field("/proc/meminfo", "MemTotal") << 10;
	size_t rounds = total / bytes + 4;
	long long free_before = guest_read_field("/proc/meminfo", "MemFree");

	for (size_t round = 0; round < rounds; round++) {
		/* Every eighth round by small pages, which take longer. */
		char *memory = round % 8 ? memory_huge(bytes) : memory_small(bytes);
		int fd = file_new();

		for (size_t at = 0; at < bytes; at += PAGE)
			memory[at] = round;
		device_publish_huge(fd, memory, bytes, NULL);
		memory_free(memory, bytes);
		close(fd);
	}
	CHECK_AT_LEAST(guest_read_field("/proc/meminfo", "MemFree"), free_before - (64 << 10));
	harness_note("%zu MiB in %zu rounds", rounds * bytes >> 20, rounds);
}

/* Small files, many: what a call needs besides the pages comes back as well. */
TEST(quick, two_thousand_calls_leak_nothing)
{
	char *memory = memory_small(8 * PAGE);
	long long free_before = 0;

	for (int round = 0; round < 2000; round++) {
		int fd = file_new();

		memory[5] = 1;
		memory[3 * PAGE] = 2;
		device_publish(fd, memory + 3, 7 * PAGE, NULL);
		CHECK(mmap(memory, 8 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
		close(fd);
		if (round == 500)
			free_before = guest_read_field("/proc/meminfo", "MemFree");
	}
	CHECK_AT_LEAST(guest_read_field("/proc/meminfo", "MemFree"), free_before - (8 << 10));
}
