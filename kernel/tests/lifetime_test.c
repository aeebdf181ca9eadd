// SPDX-License-Identifier: GPL-2.0-only
/* What outlives what: the file its producer, the published pages the module. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
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

TEST(quick, the_file_outlives_its_producer)
{
	int fd = file_new();

	PROCESS_RUN({
		device_publish(fd, memory_small_filled(64 * PAGE, 90), 64 * PAGE, NULL);
		device_publish_huge(fd, memory_huge_filled(HUGE, 91), HUGE, NULL);
	});
	file_check(fd, 0, 64 * PAGE, 90);
	file_check(fd, HUGE, HUGE, 91);
}

TEST(quick, the_file_outlives_a_producer_that_is_killed)
{
	struct process_steps *steps = process_steps();
	int fd = file_new();
	pid_t child = process_start();

	if (child == 0) {
		device_publish(fd, memory_small_filled(64 * PAGE, 92), 64 * PAGE, NULL);
		device_publish_huge(fd, memory_huge_filled(HUGE, 93), HUGE, NULL);
		process_step(steps, 1);
		for (;;)
			pause();
	}
	process_wait(steps, 1);
	CHECK_CALL(kill(child, SIGKILL));
	process_end_killed(child);
	file_check(fd, 0, 64 * PAGE, 92);
	file_check(fd, HUGE, HUGE, 93);
}

TEST(quick, truncation_frees_the_pages)
{
	char *memory = memory_small_filled(64 * PAGE, 94);
	int fd = file_new();

	device_publish(fd, memory, 64 * PAGE, NULL);
	memory_free(memory, 64 * PAGE);
	CHECK_EQ(file_blocks(fd), 64 * PAGE / 512);
	CHECK_CALL(ftruncate(fd, 16 * PAGE));
	CHECK_EQ(file_blocks(fd), 16 * PAGE / 512);
	file_check(fd, 0, 16 * PAGE, 94);
	CHECK_CALL(ftruncate(fd, 0));
	CHECK_EQ(file_blocks(fd), 0);
	counters_flush();
	CHECK_EQ(counters_group("shmem"), 0);
}

TEST(quick, a_punched_hole_reads_as_zeroes)
{
	char *memory = memory_small_filled(64 * PAGE, 95);
	int fd = file_new();

	device_publish(fd, memory, 64 * PAGE, NULL);
	CHECK_CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * PAGE, 8 * PAGE));
	CHECK_EQ(file_blocks(fd), 56 * PAGE / 512);
	file_check(fd, 0, 8 * PAGE, 95);
	file_check_zero(fd, 8 * PAGE, 8 * PAGE);
	CHECK(memory_is_zero(memory + 8 * PAGE, 8 * PAGE));
	CHECK(memory_matches(memory + 16 * PAGE, 48 * PAGE, 95, 16 * PAGE));
}

static sigjmp_buf after_bus_error;

static void on_bus_error(int number)
{
	(void)number;
	siglongjmp(after_bus_error, 1);
}

/* As for every mapping of a file: the pages beyond its end are gone, except those that were written since. */
TEST(quick, pages_beyond_a_truncation_are_gone_from_the_source_too)
{
	char *memory = memory_small_filled(8 * PAGE, 96);
	int fd = file_new();

	device_publish(fd, memory, 8 * PAGE, NULL);
	signal(SIGBUS, on_bus_error);
	CHECK_CALL(ftruncate(fd, 4 * PAGE));
	memory_check(memory, 4 * PAGE, 96);
	if (sigsetjmp(after_bus_error, 1) == 0) {
		(void)*(volatile char *)(memory + 6 * PAGE);
		FAIL("a page beyond the file's end can be read");
	}
}

TEST(quick, the_module_stays_while_a_descriptor_of_it_is_open)
{
	device_fd();
	CHECK_EQ(guest_remove_module("kernelzero"), EWOULDBLOCK);
}

TEST(quick, published_pages_outlive_the_module)
{
	char *memory = memory_small_filled(64 * PAGE, 97), *huge = memory_huge_filled(HUGE, 98);
	int fd = file_new();

	for (int round = 0; round < 3; round++) {
		uint64_t offset = device_publish(fd, memory, 64 * PAGE, NULL);
		uint64_t huge_offset = device_publish_huge(fd, huge, HUGE, NULL);

		device_close();
		CHECK_EQ(guest_remove_module("kernelzero"), 0);
		CHECK_EQ(access(DEVICE_PATH, F_OK), -1);
		file_check(fd, offset, 64 * PAGE, 97);
		file_check(fd, huge_offset, HUGE, 98);
		memory_check(memory, 64 * PAGE, 97);
		memory_check(huge, HUGE, 98);
		memory_free(memory, 64 * PAGE);
		memory_free(huge, HUGE);
		memory = memory_small_filled(64 * PAGE, 97);
		huge = memory_huge_filled(HUGE, 98);
		CHECK_EQ(guest_load_module("/modules/kernelzero.ko", ""), 0);
	}
}
