// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything at once, for a while: processes publish memory of all kinds and check each result, while others reclaim,
 * compact, merge and split memory, and while threads of the publishers fork and unmap.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "disk.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

#define SECONDS	     60
#define RECLAIMS_MIN 5
#define PUBLISHERS   4
#define BYTES_MAX    (3 * HUGE)

/* Shared by all processes of the test. */
struct totals {
	atomic_bool stop;
	atomic_long calls, refused, pages, huge, swapped, shared, pinned, other;
	atomic_long forks, unmaps, reclaims, compactions, merges, splits, swapoffs;
};

static struct totals *totals;

static bool goes_on(void)
{
	return !atomic_load(&totals->stop);
}

static void count(const struct kernelzero_deanonymize *counts)
{
	atomic_fetch_add(&totals->calls, 1);
	atomic_fetch_add(&totals->pages, device_pages_counted(counts));
	atomic_fetch_add(&totals->huge, counts->moved_huge_count);
	atomic_fetch_add(&totals->swapped, counts->moved_swap_count);
	atomic_fetch_add(&totals->shared, counts->copied_shared_count);
	atomic_fetch_add(&totals->pinned, counts->copied_pinned_count);
	atomic_fetch_add(&totals->other, counts->copied_other_count);
}

/* Looks at what was published, in a child now and then; then spoils the source and looks again. */
static void check_published(int fd, char *memory, size_t bytes, uint64_t offset, uint64_t seed,
			    unsigned int dice)
{
	memory_check(memory, bytes, seed);
	file_check_read(fd, offset, bytes, seed);
	if (dice % 8 == 0) {
		atomic_fetch_add(&totals->forks, 1);
		file_check(fd, offset, bytes, seed);
	}
	if (dice % 2)
		memory_fill(memory, bytes, seed + 1);
	if (dice % 16 == 3)
		CHECK_CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
	file_check_read(fd, offset, bytes, seed);
}

/* One publication of random memory. */
static void publish_once(unsigned int *random, uint64_t seed)
{
	size_t bytes = 1 + (size_t)rand_r(random) % (rand_r(random) % 2 ? BYTES_MAX : 32 * PAGE);
	size_t before = rand_r(random) % 3 ? 0 : rand_r(random) % (2 * PAGE);
	size_t space = (before + bytes + PAGE - 1) & ~(PAGE - 1);
	char *memory = rand_r(random) % 2 ? memory_huge(space) : memory_small(space);
	char *start = memory + before;
	unsigned int dice = rand_r(random);
	struct kernelzero_deanonymize counts;
	uint64_t offset;
	pid_t child = 0;
	int fd = file_new();

	if (dice % 4 == 0)
		CHECK_CALL(madvise(memory, space, MADV_MERGEABLE));
	memory_fill(start, bytes, seed);
	if (dice % 5 == 0)
		CHECK_CALL(madvise(memory, space, MADV_PAGEOUT));
	if (dice % 7 == 0) {
		atomic_fetch_add(&totals->forks, 1);
		child = process_start();
		if (child == 0) {
			usleep(dice % 3000);
			memory_check(start, bytes, seed);
			memory_fill(start, bytes, seed + 9);
			_exit(0);
		}
	}
	offset = rand_r(random) % 2 ? device_publish_huge(fd, start, bytes, &counts)
				    : device_publish(fd, start, bytes, &counts);
	count(&counts);
	check_published(fd, start, bytes, offset, seed, dice / 8);
	if (child)
		process_end(child);
	memory_free(memory, space);
	close(fd);
}

static void publisher(unsigned int number)
{
	unsigned int random = number * 7919 + 1;

	for (uint64_t seed = number * 1000000; goes_on(); seed += 20)
		publish_once(&random, seed);
}

static char *raced;
#define RACED_BYTES (256 * PAGE)

static void *unmapper(void *argument)
{
	unsigned int random = (uintptr_t)argument;

	while (goes_on()) {
		char *part = raced + rand_r(&random) % 240 * PAGE;
		size_t bytes = (1 + rand_r(&random) % 16) * PAGE;

		CHECK_CALL(munmap(part, bytes));
		CHECK(mmap(part, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == part);
		memset(part, 0x5a, bytes);
		atomic_fetch_add(&totals->unmaps, 1);
	}
	return NULL;
}

static void *forker(void *argument)
{
	(void)argument;
	while (goes_on()) {
		pid_t child = process_start();

		if (child == 0)
			_exit(0);
		process_end(child);
		atomic_fetch_add(&totals->forks, 1);
		usleep(1000);
	}
	return NULL;
}

/* Memory under a call is unmapped, mapped anew and forked: all its bytes are 0x5a or were never written, at any time. */
static void racer(void)
{
	static unsigned char part[RACED_BYTES];
	pthread_t threads[2];

	raced = memory_small(RACED_BYTES);
	memset(raced, 0x5a, RACED_BYTES);
	device_fd();
	CHECK_EQ(pthread_create(&threads[0], NULL, unmapper, (void *)77), 0);
	CHECK_EQ(pthread_create(&threads[1], NULL, forker, NULL), 0);
	while (goes_on()) {
		int fd = file_new();
		int error = device_try(fd, raced, RACED_BYTES);

		if (error == 0) {
			CHECK_EQ(pread(fd, part, RACED_BYTES, 0), RACED_BYTES);
			for (size_t i = 0; i < RACED_BYTES; i++)
				CHECK(part[i] == 0x5a || part[i] == 0);
			atomic_fetch_add(&totals->calls, 1);
		} else {
			CHECK(error == EFAULT || error == EOPNOTSUPP);
			CHECK_EQ(file_bytes(fd), 0);
			CHECK_EQ(file_blocks(fd), 0);
			atomic_fetch_add(&totals->refused, 1);
		}
		close(fd);
		CHECK(mmap(raced, RACED_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == raced);
	}
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* What the kernel does to memory by itself, much more often than it would. */
static void pressure(void)
{
	for (unsigned int round = 0; goes_on(); round++) {
		guest_try_write(GUEST_CGROUP "/test/memory.reclaim", "8M");
		atomic_fetch_add(&totals->reclaims, 1);
		if (round % 4 == 0) {
			guest_write("/proc/sys/vm/compact_memory", "1");
			atomic_fetch_add(&totals->compactions, 1);
		}
		if (round % 16 == 5 &&
		    guest_try_write("/sys/kernel/debug/split_huge_pages", "1") == 0)
			atomic_fetch_add(&totals->splits, 1);
		if (round % 64 == 33) {
			disk_swap_stop();
			atomic_fetch_add(&totals->swapoffs, 1);
			disk_swap_start(192 << 20);
		}
		usleep(5000);
	}
}

TEST_WITHIN(stress, everything_at_once_loses_nothing, SECONDS + 240)
{
	pid_t children[PUBLISHERS + 2];
	long long merged_before = guest_read_number("/sys/kernel/mm/ksm/full_scans");

	totals = mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(totals != MAP_FAILED);
	disk_swap_start(192 << 20);
	guest_write("/sys/kernel/mm/ksm/pages_to_scan", "500");
	guest_write("/sys/kernel/mm/ksm/sleep_millisecs", "20");
	guest_write("/sys/kernel/mm/ksm/run", "1");
	guest_write("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "50");
	for (int i = 0; i < PUBLISHERS + 2; i++) {
		children[i] = process_start();
		if (children[i])
			continue;
		if (i == 0)
			pressure();
		else if (i == 1)
			racer();
		else
			publisher(i);
		_exit(0);
	}
	sleep(SECONDS);
	/* A kernel full of checks is many times as slow: what must have happened is given the time it takes. */
	for (int i = 0; i < 120 && totals->reclaims < RECLAIMS_MIN; i++)
		sleep(1);
	atomic_store(&totals->stop, true);
	for (int i = 0; i < PUBLISHERS + 2; i++)
		process_end(children[i]);
	atomic_store(&totals->merges,
		     guest_read_number("/sys/kernel/mm/ksm/full_scans") - merged_before);
	guest_write("/sys/kernel/mm/ksm/run", "2");
	disk_swap_stop();
	CHECK_AT_LEAST(totals->calls, 100);
	CHECK_AT_LEAST(totals->refused, 1);
	CHECK_AT_LEAST(totals->reclaims, RECLAIMS_MIN);
	harness_note(
		"%ld calls, %ld refused; %ld pages, %ld huge pages and %ld swap entries moved; "
		"copied: %ld shared, %ld pinned, %ld other; %ld forks, %ld unmaps, %ld reclaims, "
		"%ld compactions, %ld KSM scans, %ld splits of all huge pages, %ld swapoffs",
		totals->calls, totals->refused, totals->pages, totals->huge, totals->swapped,
		totals->shared, totals->pinned, totals->other, totals->forks, totals->unmaps,
		totals->reclaims, totals->compactions, totals->merges, totals->splits,
		totals->swapoffs);
}
