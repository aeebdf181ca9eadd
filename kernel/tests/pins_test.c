// SPDX-License-Identifier: GPL-2.0-only
/* Pages that somebody else holds: they are copied, and whoever holds them never reaches the file. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "disk.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

TEST(quick, pages_in_a_pipe_are_copied)
{
	char *memory = memory_small_filled(16 * PAGE, 150), *got = malloc(8 * PAGE);
	struct iovec part = {memory + 4 * PAGE, 8 * PAGE};
	struct kernelzero_deanonymize counts;
	int fd = file_new(), ends[2];

	CHECK_CALL(pipe(ends));
	CHECK_EQ(vmsplice(ends[1], &part, 1, 0), 8 * PAGE);
	device_publish(fd, memory, 16 * PAGE, &counts);
	CHECK_EQ(counts.copied_pinned_count, 8);
	CHECK_EQ(counts.moved_count, 8);
	memory_fill(memory, 16 * PAGE, 151);
	file_check(fd, 0, 16 * PAGE, 150);
	/* The source keeps these pages: the pipe has what is written to them, as without the call. */
	CHECK_EQ(read(ends[0], got, 8 * PAGE), 8 * PAGE);
	CHECK(memory_matches(got, 8 * PAGE, 151, 4 * PAGE));
	memory_check(memory, 16 * PAGE, 151);
	file_check(fd, 0, 16 * PAGE, 150);
}

TEST(quick, a_huge_page_of_which_a_part_is_in_a_pipe_is_copied_where_it_must)
{
	char *memory = memory_huge_filled(HUGE, 152), *got = malloc(4 * PAGE);
	struct iovec part = {memory + 40 * PAGE, 4 * PAGE};
	struct kernelzero_deanonymize counts;
	int fd = file_new(), ends[2];

	CHECK_CALL(pipe(ends));
	CHECK_EQ(vmsplice(ends[1], &part, 1, 0), 4 * PAGE);
	device_publish_huge(fd, memory, HUGE, &counts);
	CHECK_EQ(device_pages_counted(&counts), 512);
	CHECK_EQ(counts.moved_huge_count, 0);
	CHECK_AT_LEAST(counts.copied_pinned_count, 4);
	memory_check(memory, HUGE, 152);
	memory_fill(memory, HUGE, 153);
	file_check(fd, 0, HUGE, 152);
	CHECK_EQ(read(ends[0], got, 4 * PAGE), 4 * PAGE);
	CHECK(memory_matches(got, 4 * PAGE, 153, 40 * PAGE));
	memory_check(memory, HUGE, 153);
}

/* Pages that a ring holds for input and output for a long time. */
TEST(quick, pages_registered_with_io_uring_are_copied)
{
	char *memory = memory_small_filled(16 * PAGE, 154);
	struct io_uring_params parameters = {0};
	struct iovec part = {memory, 4 * PAGE};
	struct kernelzero_deanonymize counts;
	int fd = file_new();
	int ring = CHECK_CALL(syscall(SYS_io_uring_setup, 4, &parameters));

	CHECK_CALL(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &part, 1));
	device_publish(fd, memory, 16 * PAGE, &counts);
	CHECK_EQ(counts.copied_pinned_count, 4);
	CHECK_EQ(counts.moved_count, 12);
	memory_fill(memory, 16 * PAGE, 155);
	file_check(fd, 0, 16 * PAGE, 154);
	memory_check(memory, 16 * PAGE, 155);
}

/* A direct read or write of a disk, which is behind a large one that takes the disk some seconds. */
struct transfer {
	aio_context_t context;
	struct iocb first, second;
};

static void transfer_start(struct transfer *transfer, int disk, int command, char *memory,
			   size_t bytes)
{
	char *large = memory_small(2 * DISK_SLOW_BYTES);
	struct iocb *requests[] = {&transfer->first, &transfer->second};

	*transfer = (struct transfer){
		.first =
			{
				.aio_lio_opcode = command,
				.aio_fildes = disk,
				.aio_buf = (uintptr_t)large,
				.aio_nbytes = 2 * DISK_SLOW_BYTES,
				.aio_offset = 2 * DISK_SLOW_BYTES,
			},
		.second =
			{
				.aio_lio_opcode = command,
				.aio_fildes = disk,
				.aio_buf = (uintptr_t)memory,
				.aio_nbytes = bytes,
			},
	};
	CHECK_CALL(syscall(SYS_io_setup, 4, &transfer->context));
	CHECK_EQ(syscall(SYS_io_submit, transfer->context, 2, requests), 2);
}

static void transfer_end(struct transfer *transfer, size_t bytes)
{
	struct io_event events[2];

	CHECK_EQ(syscall(SYS_io_getevents, transfer->context, 2, 2, events, NULL), 2);
	CHECK_EQ(events[0].res + events[1].res, 2 * DISK_SLOW_BYTES + bytes);
	CHECK_CALL(syscall(SYS_io_destroy, transfer->context));
}

/* The emulated disk is slow by the host's clock, so it may be done too early to tell anything: then once more. */
static void until_in_flight(bool (*attempt)(void))
{
	for (int tries = 0; tries < 20; tries++) {
		if (attempt())
			return;
	}
	FAIL("the disk was never slow enough");
}

/* False, with everything ended, if the transfer was over before the check. */
static bool still_runs(struct transfer *transfer, size_t bytes, int disk, int fd)
{
	struct io_event events[2];
	struct timespec now = {0};
	int over = CHECK_CALL(syscall(SYS_io_getevents, transfer->context, 0, 2, events, &now));

	if (!over)
		return true;
	for (int i = 0; i < over; i++)
		CHECK_AT_LEAST((long long)events[i].res, bytes);
	/* Waits for the rest. */
	CHECK_CALL(syscall(SYS_io_destroy, transfer->context));
	close(disk);
	close(fd);
	return false;
}

static bool direct_read_beside_the_file(void)
{
	const size_t bytes = 8 * PAGE;
	char *memory = memory_small_filled(16 * PAGE, 156);
	struct kernelzero_deanonymize counts;
	struct transfer transfer;
	int fd = file_new(), disk = disk_open_slow();

	disk_write(disk, bytes, 157);
	transfer_start(&transfer, disk, IOCB_CMD_PREAD, memory + 4 * PAGE, bytes);
	device_publish(fd, memory, 16 * PAGE, &counts);
	if (!still_runs(&transfer, bytes, disk, fd))
		return false;
	file_check(fd, 0, 16 * PAGE, 156);
	CHECK_EQ(counts.copied_pinned_count, 8);
	CHECK_EQ(counts.moved_count, 8);
	transfer_end(&transfer, bytes);
	file_check(fd, 0, 16 * PAGE, 156);
	close(disk);
	return true;
}

/* The disk writes into pages of the range after the call: that must not come into the file. */
TEST(quick, a_direct_read_in_flight_never_reaches_the_file)
{
	until_in_flight(direct_read_beside_the_file);
}

static bool direct_read_into_the_source(void)
{
	const size_t bytes = 8 * PAGE;
	char *memory = memory_small_filled(16 * PAGE, 161);
	struct transfer transfer;
	int fd = file_new(), disk = disk_open_slow();

	disk_write(disk, bytes, 162);
	transfer_start(&transfer, disk, IOCB_CMD_PREAD, memory + 4 * PAGE, bytes);
	device_publish(fd, memory, 16 * PAGE, NULL);
	if (!still_runs(&transfer, bytes, disk, fd))
		return false;
	transfer_end(&transfer, bytes);
	memory_check(memory + 4 * PAGE, bytes, 162);
	file_check(fd, 0, 16 * PAGE, 161);
	close(disk);
	return true;
}

/* And what the disk writes must come to the reader, whose read has succeeded. */
TEST(quick, a_direct_read_in_flight_arrives_in_the_source)
{
	until_in_flight(direct_read_into_the_source);
}

static bool direct_write_from_the_source(void)
{
	const size_t bytes = 8 * PAGE;
	char *memory = memory_small_filled(bytes, 158), *got = memory_small(bytes);
	struct kernelzero_deanonymize counts;
	struct transfer transfer;
	int fd = file_new(), disk = disk_open_slow();

	transfer_start(&transfer, disk, IOCB_CMD_PWRITE, memory, bytes);
	device_publish(fd, memory, bytes, &counts);
	if (!still_runs(&transfer, bytes, disk, fd))
		return false;
	CHECK_EQ(counts.copied_pinned_count, 8);
	transfer_end(&transfer, bytes);
	memory_fill(memory, bytes, 159);
	CHECK_EQ(pread(disk, got, bytes, 0), bytes);
	memory_check(got, bytes, 158);
	file_check(fd, 0, bytes, 158);
	memory_check(memory, bytes, 159);
	close(disk);
	return true;
}

/* What the disk reads from pages of the range after the call is what was in them. */
TEST(quick, a_direct_write_in_flight_writes_the_right_bytes)
{
	until_in_flight(direct_write_from_the_source);
}

static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	CHECK_CALL(sched_setaffinity(0, sizeof(set), &set));
}

/* Each processor keeps lists of pages that it has not put on the kernel's lists yet: such pages have a reference more. */
TEST(quick, pages_that_a_processor_has_just_made_move_too)
{
	const size_t bytes = 256 * PAGE;

	for (int round = 0; round < 4; round++) {
		struct kernelzero_deanonymize counts;
		int fd = file_new();
		char *memory;

		run_on(0);
		memory = memory_small_filled(bytes, 160);
		/* The last ones wait on the first processor's list while the second works. */
		run_on(round % 2);
		device_publish(fd, memory, bytes, &counts);
		CHECK_EQ(counts.moved_count, 256);
		close(fd);
		memory_free(memory, bytes);
	}
}
