// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that publishing takes, by a machine that counts them (-icount shift=0: its time stamp counter goes by one
 * with each). The machine's processor has no fast string moves, which the emulator would count byte by byte.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"

#define BYTES  (64 * HUGE)
#define ROUNDS 3

/* The aims: for a page of 4 KiB, and for one of 2 MiB. */
#define SMALL_MAX 900
#define HUGE_MAX  3000

typedef void operation(int fd, char *memory);

static struct kernelzero_deanonymize counts;

static void publish(int fd, char *memory)
{
	device_publish_huge(fd, memory, BYTES, &counts);
}

static void write_file(int fd, char *memory)
{
	CHECK_EQ(write(fd, memory, BYTES), BYTES);
}

static char *warm;

static void copy_fresh(int fd, char *memory)
{
	char *mapping;

	CHECK_CALL(ftruncate(fd, BYTES));
	mapping = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapping != MAP_FAILED);
	memcpy(mapping, memory, BYTES);
	CHECK_CALL(munmap(mapping, BYTES));
}

static void copy_warm(int fd, char *memory)
{
	(void)fd;
	memcpy(warm, memory, BYTES);
}

/* Instructions for each `unit` bytes, the least of some rounds. */
static long measure(operation *run, bool huge, size_t unit)
{
	unsigned long least = -1UL;

	warm = memory_small_filled(BYTES, 1);
	device_fd();
	for (int round = 0; round < ROUNDS; round++) {
		char *memory =
			huge ? memory_huge_filled(BYTES, 400) : memory_small_filled(BYTES, 400);
		int fd = file_new();
		unsigned long start = __rdtsc();

		run(fd, memory);
		start = __rdtsc() - start;
		if (start < least)
			least = start;
		memory_check(memory, BYTES, 400);
		memory_free(memory, BYTES);
		close(fd);
	}
	memory_free(warm, BYTES);
	return least / (BYTES / unit);
}

TEST_WITHIN(icount, moving_small_pages_takes_few_instructions, 600)
{
	long moved = measure(publish, false, PAGE);

	CHECK_EQ(counts.moved_count, BYTES / PAGE);
	harness_note("%ld instructions a page of 4 KiB", moved);
	CHECK_AT_MOST(moved, SMALL_MAX);
}

TEST_WITHIN(icount, moving_huge_pages_takes_few_instructions, 600)
{
	long moved = measure(publish, true, HUGE);

	CHECK_EQ(counts.moved_huge_count, BYTES / HUGE);
	harness_note("%ld instructions a page of 2 MiB", moved);
	CHECK_AT_MOST(moved, HUGE_MAX);
}

TEST_WITHIN(icount, moving_takes_fewer_instructions_than_writing_and_copying, 900)
{
	long moved = measure(publish, false, PAGE);
	long written = measure(write_file, false, PAGE);
	long fresh = measure(copy_fresh, false, PAGE);
	long again = measure(copy_warm, false, PAGE);

	harness_note("a page of 4 KiB: %ld moved, %ld write(), %ld memcpy to a fresh mapping, %ld "
		     "to a warm one",
		     moved, written, fresh, again);
	CHECK_AT_MOST(moved, written - 1);
	CHECK_AT_MOST(moved, fresh - 1);
}
