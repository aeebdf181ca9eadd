// SPDX-License-Identifier: GPL-2.0-only
/* Ranges of any shape: no byte beside a range is published, none in it is lost. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

/* Publishes a part of 16 filled pages and checks all around it. */
static struct kernelzero_deanonymize publish_part(size_t at, size_t bytes)
{
	char *memory = memory_small_filled(16 * PAGE, 30);
	static char part[16 * PAGE];
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	uint64_t offset = device_publish(fd, memory + at, bytes, &counts);
	size_t pages = (at % PAGE + bytes + PAGE - 1) / PAGE;

	CHECK_EQ(offset, at % PAGE);
	CHECK_EQ(file_bytes(fd), pages * PAGE);
	CHECK_EQ(device_pages_counted(&counts), pages);
	CHECK_EQ(pread(fd, part, bytes, offset), bytes);
	CHECK(memory_matches(part, bytes, 30, at));
	file_check_zero(fd, 0, offset);
	file_check_zero(fd, offset + bytes, pages * PAGE - offset - bytes);
	memory_check(memory, 16 * PAGE, 30);
	/* Nothing that is written now, in the range or beside it in its pages, shows in the file. */
	memory_fill(memory, 16 * PAGE, 31);
	CHECK_EQ(pread(fd, part, bytes, offset), bytes);
	CHECK(memory_matches(part, bytes, 30, at));
	file_check_zero(fd, 0, offset);
	file_check_zero(fd, offset + bytes, pages * PAGE - offset - bytes);
	memory_check(memory, 16 * PAGE, 31);
	close(fd);
	memory_free(memory, 16 * PAGE);
	return counts;
}

TEST(quick, an_unaligned_range_publishes_its_own_bytes_alone)
{
	struct kernelzero_deanonymize counts = publish_part(123, 5 * PAGE + 77);

	CHECK_EQ(counts.copied_edge_count, 2);
	CHECK_EQ(counts.moved_count, 4);
	counts = publish_part(0, 3 * PAGE + 1);
	CHECK_EQ(counts.copied_edge_count, 1);
	CHECK_EQ(counts.moved_count, 3);
	counts = publish_part(PAGE - 1, PAGE + 1);
	CHECK_EQ(counts.copied_edge_count, 1);
	CHECK_EQ(counts.moved_count, 1);
}

TEST(quick, a_range_inside_one_page_is_copied)
{
	CHECK_EQ(publish_part(2 * PAGE + 17, 100).copied_edge_count, 1);
	CHECK_EQ(publish_part(0, 1).copied_edge_count, 1);
	CHECK_EQ(publish_part(PAGE - 1, 1).copied_edge_count, 1);
	CHECK_EQ(publish_part(1, PAGE - 1).copied_edge_count, 1);
	CHECK_EQ(publish_part(PAGE - 1, 2).copied_edge_count, 2);
}

TEST(quick, a_single_whole_page_moves)
{
	CHECK_EQ(publish_part(5 * PAGE, PAGE).moved_count, 1);
	CHECK_EQ(publish_part(0, PAGE).moved_count, 1);
	CHECK_EQ(publish_part(15 * PAGE, PAGE).moved_count, 1);
}

TEST(quick, edge_pages_stay_anonymous_in_the_source)
{
	char *memory = memory_small_filled(4 * PAGE, 32);
	int fd = file_new();

	device_publish(fd, memory + 100, 3 * PAGE, NULL);
	CHECK(!(memory_page_entry(memory) & MEMORY_PAGE_OF_FILE));
	CHECK(!(memory_page_entry(memory + 3 * PAGE) & MEMORY_PAGE_OF_FILE));
	memory_check(memory, 4 * PAGE, 32);
	CHECK(memory_page_entry(memory + PAGE) & MEMORY_PAGE_OF_FILE);
	/* So the bytes beside the range can be used as ever. */
	CHECK_CALL(madvise(memory, PAGE, MADV_DONTNEED));
	CHECK(memory_is_zero(memory, PAGE));
}

TEST(quick, two_ranges_that_share_a_page_both_get_their_part)
{
	char *memory = memory_small_filled(4 * PAGE, 33), part[2 * PAGE];
	struct kernelzero_range ranges[] = {
		{.address = (uintptr_t)memory + 512, .bytes = PAGE},
		{.address = (uintptr_t)memory + 512 + PAGE, .bytes = PAGE + 100},
	};
	uint8_t pages[4] = {0};
	struct device_call call = {.ranges = ranges, .pages = pages};
	int fd = file_new();

	CHECK_EQ(device_call(&call, fd, 0, 2), 0);
	CHECK_EQ(call.call.copied_edge_count, 4);
	CHECK_EQ(ranges[0].offset, 512);
	CHECK_EQ(ranges[1].offset, 2 * PAGE + 512);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pages[i], KERNELZERO_COPIED_EDGE);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(pread(fd, part, ranges[i].bytes, ranges[i].offset), ranges[i].bytes);
		CHECK(memory_matches(part, ranges[i].bytes, 33, 512 + i * PAGE));
	}
	file_check_zero(fd, 0, 512);
	file_check_zero(fd, PAGE + 512, PAGE);
	memory_check(memory, 4 * PAGE, 33);
}

TEST(quick, ranges_that_touch_both_move)
{
	char *memory = memory_small_filled(8 * PAGE, 34);
	struct kernelzero_range ranges[] = {
		{.address = (uintptr_t)memory, .bytes = 4 * PAGE},
		{.address = (uintptr_t)memory + 4 * PAGE, .bytes = 4 * PAGE},
	};
	struct device_call call = {.ranges = ranges};
	int fd = file_new();

	CHECK_EQ(device_call(&call, fd, 0, 2), 0);
	CHECK_EQ(call.call.moved_count, 8);
	file_check(fd, 0, 8 * PAGE, 34);
	memory_check(memory, 8 * PAGE, 34);
}

TEST(quick, a_range_may_span_mappings_of_different_rights)
{
	char *memory = memory_small_filled(12 * PAGE, 35);
	int fd = file_new();
	struct kernelzero_deanonymize counts;

	CHECK_CALL(mprotect(memory + 4 * PAGE, 4 * PAGE, PROT_READ));
	device_publish(fd, memory + PAGE, 10 * PAGE, &counts);
	CHECK_EQ(counts.moved_count, 10);
	memory_check(memory, 12 * PAGE, 35);
	memory[3 * PAGE] ^= 1;
	memory[8 * PAGE] ^= 1;
	file_check_read(fd, 0, 0, 35);
	PROCESS_RUN({
		char *mapping = mmap(NULL, 10 * PAGE, PROT_READ, MAP_SHARED, fd, 0);

		CHECK(memory_matches(mapping, 10 * PAGE, 35, PAGE));
	});
}

TEST(quick, read_only_memory_moves_and_stays_read_only)
{
	char *memory = memory_small_filled(8 * PAGE, 36);
	int fd = file_new(), status;
	struct kernelzero_deanonymize counts;
	pid_t child;

	CHECK_CALL(mprotect(memory, 8 * PAGE, PROT_READ));
	device_publish(fd, memory, 8 * PAGE, &counts);
	CHECK_EQ(counts.moved_count, 8);
	child = process_start();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)memory = 1;
		_exit(0);
	}
	CHECK_CALL(waitpid(child, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	CHECK_CALL(mprotect(memory, 8 * PAGE, PROT_READ | PROT_WRITE));
	memory_check(memory, 8 * PAGE, 36);
	memory_fill(memory, 8 * PAGE, 37);
	file_check(fd, 0, 8 * PAGE, 36);
}

TEST(quick, each_page_tells_how_it_went)
{
	char *memory = memory_small(8 * PAGE);
	struct kernelzero_range range = {.address = (uintptr_t)memory + 10, .bytes = 7 * PAGE};
	uint8_t pages[9];
	struct device_call call = {.ranges = &range, .pages = pages};
	const uint8_t expected[] = {KERNELZERO_COPIED_EDGE, KERNELZERO_MOVED,	   KERNELZERO_HOLE,
				    KERNELZERO_MOVED,	    KERNELZERO_HOLE,	   KERNELZERO_HOLE,
				    KERNELZERO_MOVED,	    KERNELZERO_COPIED_EDGE};
	int fd = file_new();

	memset(pages, 0xee, sizeof(pages));
	for (int i = 0; i < 8; i++)
		if (expected[i] != KERNELZERO_HOLE)
			memory[i * PAGE + 20] = 1;
	CHECK_EQ(device_call(&call, fd, 0, 1), 0);
	for (int i = 0; i < 8; i++)
		if (pages[i] != expected[i])
			FAIL("page %d is %d, not %d", i, pages[i], expected[i]);
	CHECK_EQ(pages[8], 0xee);
	CHECK_EQ(call.call.moved_count, 3);
	CHECK_EQ(call.call.hole_count, 3);
	CHECK_EQ(call.call.copied_edge_count, 2);
}

/* Answers in memory that the call converts are refused, whichever of the three it is; beside it, in an edge, they are fine. */
TEST(quick, answers_in_the_published_memory_are_refused)
{
	char *memory = memory_small_filled(8 * PAGE, 38);
	struct kernelzero_range outside = {.address = (uintptr_t)memory, .bytes = 8 * PAGE};
	struct kernelzero_range *inside = (void *)(memory + 2 * PAGE);
	struct device_call call = {.ranges = &outside, .pages = (void *)(memory + 4 * PAGE)};
	struct kernelzero_deanonymize *inner = (void *)(memory + 6 * PAGE);
	int fd = file_new();

	CHECK_EQ(device_call(&call, fd, 0, 1), EINVAL);
	call.pages = NULL;
	call.ranges = inside;
	*inside = outside;
	CHECK_EQ(device_call(&call, fd, 0, 1), EINVAL);
	*inner = call.call;
	inner->ranges = (uintptr_t)&outside;
	CHECK_EQ(device_ioctl(inner), EINVAL);
	CHECK_EQ(file_bytes(fd), 0);
	CHECK(!(memory_page_entry(memory) & MEMORY_PAGE_OF_FILE));
}

TEST(quick, answers_may_share_an_edge_page_with_the_published_memory)
{
	char *memory = memory_small_filled(8 * PAGE, 39);
	struct kernelzero_range *range = (void *)memory;
	uint8_t *pages = (void *)(memory + 64);
	struct kernelzero_deanonymize *call = (void *)(memory + 128);
	int fd = file_new();

	*range = (struct kernelzero_range){.address = (uintptr_t)memory + 1024, .bytes = 6 * PAGE};
	*call = (struct kernelzero_deanonymize){
		.size = sizeof(*call),
		.fd = fd,
		.ranges_count = 1,
		.ranges = (uintptr_t)range,
		.pages = (uintptr_t)pages,
	};
	CHECK_EQ(device_ioctl(call), 0);
	CHECK_EQ(range->offset, 1024);
	CHECK_EQ(call->file_bytes, 7 * PAGE);
	CHECK_EQ(call->moved_count, 5);
	CHECK_EQ(pages[0], KERNELZERO_COPIED_EDGE);
	CHECK_EQ(pages[1], KERNELZERO_MOVED);
	file_check_zero(fd, 0, 1024);
}
