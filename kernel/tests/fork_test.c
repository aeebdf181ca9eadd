// SPDX-License-Identifier: GPL-2.0-only
/* Memory that parent and child share: copied while they do, and neither sees the other's writes. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

TEST(quick, pages_shared_with_a_child_are_copied)
{
	const size_t bytes = 64 * PAGE;
	char *memory = memory_small_filled(bytes, 70);
	struct process_steps *steps = process_steps();
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	pid_t child = process_start();

	if (child == 0) {
		process_step(steps, 1);
		process_wait(steps, 2);
		memory_check(memory, bytes, 70);
		memory_fill(memory, bytes, 71);
		process_step(steps, 3);
		process_wait(steps, 4);
		memory_check(memory, bytes, 71);
		_exit(0);
	}
	process_wait(steps, 1);
	device_publish(fd, memory, bytes, &counts);
	CHECK_EQ(counts.copied_shared_count, 64);
	file_check(fd, 0, bytes, 70);
	process_step(steps, 2);
	process_wait(steps, 3);
	/* The child has written: neither the file nor this process sees it. */
	file_check(fd, 0, bytes, 70);
	memory_check(memory, bytes, 70);
	memory_fill(memory, bytes, 72);
	process_step(steps, 4);
	process_end(child);
	file_check(fd, 0, bytes, 70);
}

TEST(quick, pages_of_a_child_that_ended_move)
{
	char *memory = memory_small_filled(32 * PAGE, 73);
	struct kernelzero_deanonymize counts;
	int fd = file_new();

	PROCESS_RUN(memory_check(memory, 32 * PAGE, 73));
	device_publish(fd, memory, 32 * PAGE, &counts);
	CHECK_EQ(counts.moved_count, 32);
	file_check(fd, 0, 32 * PAGE, 73);
}

TEST(quick, a_child_publishes_what_it_inherited)
{
	const size_t bytes = 32 * PAGE;
	char *memory = memory_small_filled(bytes, 74);
	int fd = file_new();

	PROCESS_RUN({
		struct kernelzero_deanonymize counts;

		memory_fill(memory, 16 * PAGE, 75);
		device_publish(fd, memory, bytes, &counts);
		CHECK_EQ(counts.moved_count, 16);
		CHECK_EQ(counts.copied_shared_count, 16);
		CHECK(memory_matches(memory, 16 * PAGE, 75, 0));
		CHECK(memory_matches(memory + 16 * PAGE, 16 * PAGE, 74, 16 * PAGE));
	});
	memory_check(memory, bytes, 74);
	memory_fill(memory, bytes, 76);
	file_check(fd, 0, 16 * PAGE, 75);
	PROCESS_RUN({
		char *mapping = mmap(NULL, 16 * PAGE, PROT_READ, MAP_SHARED, fd, 16 * PAGE);

		CHECK(memory_matches(mapping, 16 * PAGE, 74, 16 * PAGE));
	});
}

TEST(quick, a_fork_after_the_call_shares_the_published_pages)
{
	const size_t bytes = 64 * PAGE;
	char *memory = memory_small_filled(bytes, 77);
	int fd = file_new();

	device_publish(fd, memory, bytes, NULL);
	memory_fill(memory, 8 * PAGE, 78);
	PROCESS_RUN({
		CHECK(memory_matches(memory, 8 * PAGE, 78, 0));
		CHECK(memory_matches(memory + 8 * PAGE, bytes - 8 * PAGE, 77, 8 * PAGE));
		memory_fill(memory, bytes, 79);
		memory_check(memory, bytes, 79);
	});
	CHECK(memory_matches(memory, 8 * PAGE, 78, 0));
	CHECK(memory_matches(memory + 8 * PAGE, bytes - 8 * PAGE, 77, 8 * PAGE));
	file_check(fd, 0, bytes, 77);
}

TEST(quick, a_huge_page_shared_with_a_child_is_copied)
{
	char *memory = memory_huge_filled(2 * HUGE, 80);
	struct process_steps *steps = process_steps();
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	pid_t child = process_start();

	if (child == 0) {
		/* Of the second huge page the child keeps only a part. */
		CHECK_CALL(munmap(memory + HUGE, HUGE / 2));
		process_step(steps, 1);
		process_wait(steps, 2);
		memory_check(memory, HUGE, 80);
		memory_fill(memory, HUGE, 81);
		memory_fill(memory + HUGE + HUGE / 2, HUGE / 2, 82);
		process_step(steps, 3);
		process_wait(steps, 4);
		_exit(0);
	}
	process_wait(steps, 1);
	device_publish_huge(fd, memory, 2 * HUGE, &counts);
	CHECK_EQ(device_pages_counted(&counts), 1024);
	CHECK_EQ(counts.moved_huge_count, 0);
	CHECK_AT_LEAST(counts.copied_shared_count, 768);
	process_step(steps, 2);
	process_wait(steps, 3);
	file_check(fd, 0, 2 * HUGE, 80);
	memory_check(memory, 2 * HUGE, 80);
	memory_fill(memory, 2 * HUGE, 83);
	file_check(fd, 0, 2 * HUGE, 80);
	process_step(steps, 4);
	process_end(child);
	memory_check(memory, 2 * HUGE, 83);
}

TEST(quick, a_descriptor_from_another_process_works_on_the_callers_memory)
{
	char *memory = memory_small_filled(16 * PAGE, 84);
	int fd = file_new();

	/* Opened here, used there: what is published is the child's memory at the address. */
	device_fd();
	PROCESS_RUN({
		memory_fill(memory, 16 * PAGE, 85);
		device_publish(fd, memory, 16 * PAGE, NULL);
	});
	file_check(fd, 0, 16 * PAGE, 85);
	memory_check(memory, 16 * PAGE, 84);
	CHECK(!(memory_page_entry(memory) & MEMORY_PAGE_OF_FILE));
}
