// SPDX-License-Identifier: GPL-2.0-only
/* Tests of the tester: those named faulty_* must fail, or the results of all others mean nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "counters.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

TEST(harness, plain_memfd_holds_what_is_written)
{
	char *memory = memory_small_filled(64 * PAGE, 1);
	int fd = file_new();

	CHECK_EQ(write(fd, memory, 64 * PAGE), 64 * PAGE);
	file_check(fd, 0, 64 * PAGE, 1);
}

TEST(harness, memory_checks_tell_other_bytes)
{
	char *memory = memory_small_filled(4 * PAGE, 1);

	CHECK(memory_matches(memory + 13, 3 * PAGE, 1, 13));
	CHECK(!memory_matches(memory + 13, 3 * PAGE, 1, 14));
	CHECK(!memory_matches(memory, 4 * PAGE, 2, 0));
	CHECK(!memory_is_zero(memory, PAGE));
	memory[2 * PAGE + 5] ^= 1;
	CHECK(!memory_matches(memory, 4 * PAGE, 1, 0));
	CHECK(memory_matches(memory, 2 * PAGE, 1, 0));
}

TEST(harness, huge_pages_and_small_pages_are_given_as_asked)
{
	char *huge = memory_huge_filled(2 * HUGE, 1);
	char *small = memory_small_filled(2 * HUGE, 1);

	CHECK_EQ(memory_smaps(huge, 2 * HUGE).anonymous_huge, 4096);
	CHECK_EQ(memory_smaps(small, 2 * HUGE).anonymous_huge, 0);
	CHECK_EQ(memory_smaps(small, 2 * HUGE).anonymous, 4096);
}

TEST(harness, group_counters_are_exact)
{
	long long before, with, after;

	/* Twice: in the first round this process gets the pages that it needs for all this itself. */
	for (int round = 0; round < 2; round++) {
		char *memory;

		counters_flush();
		before = counters_group("anon");
		memory = memory_small_filled(100 * PAGE, 1);
		counters_flush();
		with = counters_group("anon");
		memory_free(memory, 100 * PAGE);
		counters_flush();
		after = counters_group("anon");
	}
	CHECK_EQ(with - before, 100 * PAGE);
	CHECK_EQ(after, before);
}

TEST(harness, faulty_check_is_reported)
{
	int two = 2;

	CHECK_EQ(two, 3);
}

TEST(harness, faulty_child_is_reported)
{
	PROCESS_RUN(FAIL("the child fails"));
}

TEST(harness, faulty_crash_is_reported)
{
	raise(SIGSEGV);
}

TEST_WITHIN(harness, faulty_hang_is_ended, 3)
{
	process_start();
	for (;;)
		pause();
}

/* A file that nobody removes: what a lost page of a file looks like. */
TEST(harness, faulty_counter_drift_is_reported)
{
	int fd = CHECK_CALL(open("/dev/shm-left", O_RDWR | O_CREAT | O_CLOEXEC, 0600));

	CHECK_CALL(ftruncate(fd, PAGE));
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
}

TEST(harness, faulty_kernel_warning_is_reported)
{
	guest_log("BUG: Bad rss-counter state mm:(test) type:MM_ANONPAGES val:1\n");
}

TEST(harness, goes_on_after_faults)
{
	CHECK_EQ(guest_read_field("/proc/meminfo", "HugePages_Total"), 0);
}

TEST(panic, faulty_panic_ends_the_machine)
{
	guest_write("/proc/sysrq-trigger", "c");
}
