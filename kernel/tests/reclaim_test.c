// SPDX-License-Identifier: GPL-2.0-only
/* Published pages under memory pressure, and pages that the kernel has merged or moved. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "disk.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

/* Asks the kernel to take all memory from the test's group; it says EAGAIN when it can't get that much. */
static void reclaim_all(void)
{
	guest_try_write(GUEST_CGROUP "/test/memory.reclaim", "1G");
}

TEST(quick, published_pages_survive_reclaim)
{
	const size_t bytes = 2048 * PAGE;
	char *memory = memory_small_filled(bytes, 190);
	int fd = file_new();

	disk_swap_start(128 << 20);
	device_publish(fd, memory, bytes, NULL);
	reclaim_all();
	CHECK_AT_MOST(memory_smaps(memory, bytes).rss, bytes >> 11);
	file_check(fd, 0, bytes, 190);
	memory_check(memory, bytes, 190);
	reclaim_all();
	memory_free(memory, bytes);
	file_check(fd, 0, bytes, 190);
	close(fd);
	disk_swap_stop();
}

TEST(quick, published_huge_pages_survive_reclaim)
{
	const size_t bytes = 8 * HUGE;
	char *memory = memory_huge_filled(bytes, 191);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	disk_swap_start(128 << 20);
	device_publish_huge(fd, memory, bytes, &counts);
	CHECK_EQ(counts.moved_huge_count, 8);
	reclaim_all();
	CHECK_AT_MOST(memory_smaps(memory, bytes).rss, bytes >> 11);
	memory_fill(memory, bytes / 2, 192);
	file_check(fd, 0, bytes, 191);
	reclaim_all();
	memory_check(memory, bytes / 2, 192);
	file_check(fd, 0, bytes, 191);
	close(fd);
	disk_swap_stop();
}

/* Without a swap device the pages can't go anywhere, and must not be dropped. */
TEST(quick, published_pages_survive_reclaim_without_swap)
{
	const size_t bytes = 1024 * PAGE;
	char *memory = memory_small_filled(bytes, 193), *huge = memory_huge_filled(HUGE, 194);
	int fd = file_new();
	uint64_t offset;

	device_publish(fd, memory, bytes, NULL);
	offset = device_publish_huge(fd, huge, HUGE, NULL);
	reclaim_all();
	guest_write("/proc/sys/vm/drop_caches", "3");
	file_check(fd, 0, bytes, 193);
	file_check(fd, offset, HUGE, 194);
	memory_check(memory, bytes, 193);
}

TEST(quick, published_pages_can_be_migrated)
{
	const size_t bytes = 1024 * PAGE;
	char *memory = memory_small_filled(bytes, 195), *others[64];
	int fd = file_new();

	/* Memory in pieces around the pages, so that compaction has something to do. */
	for (int i = 0; i < 64; i++)
		others[i] = memory_small_filled(16 * PAGE, i);
	device_publish(fd, memory, bytes, NULL);
	for (int i = 0; i < 64; i += 2)
		memory_free(others[i], 16 * PAGE);
	for (int i = 0; i < 4; i++)
		guest_write("/proc/sys/vm/compact_memory", "1");
	file_check(fd, 0, bytes, 195);
	memory_check(memory, bytes, 195);
	memory_fill(memory, bytes, 196);
	file_check(fd, 0, bytes, 195);
}

TEST(quick, pages_merged_by_ksm_are_copied)
{
	const size_t bytes = 64 * PAGE;
	char *memory = memory_small(bytes), *page = memory_small_filled(PAGE, 197);
	long long merged = 0;
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	for (int i = 0; i < 64; i++)
		memcpy(memory + i * PAGE, page, PAGE);
	CHECK_CALL(madvise(memory, bytes, MADV_MERGEABLE));
	guest_write("/sys/kernel/mm/ksm/pages_to_scan", "2000");
	guest_write("/sys/kernel/mm/ksm/sleep_millisecs", "5");
	guest_write("/sys/kernel/mm/ksm/run", "1");
	while (merged < 63) {
		usleep(10000);
		merged = guest_read_number("/sys/kernel/mm/ksm/pages_sharing");
	}
	guest_write("/sys/kernel/mm/ksm/run", "0");
	device_publish(fd, memory, bytes, &counts);
	CHECK_AT_LEAST(counts.copied_shared_count, 63);
	CHECK_EQ(device_pages_counted(&counts), 64);
	for (int i = 0; i < 64; i++)
		file_check_read(fd, i * PAGE, PAGE, 197);
	for (int i = 0; i < 64; i++)
		memory_check(memory + i * PAGE, PAGE, 197);
	memory_fill(memory, bytes, 198);
	for (int i = 0; i < 64; i++)
		file_check_read(fd, i * PAGE, PAGE, 197);
	guest_write("/sys/kernel/mm/ksm/run", "2");
}
