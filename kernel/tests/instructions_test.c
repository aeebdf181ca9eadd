// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that publishing takes, by a machine that counts them (-icount shift=0: its time stamp counter goes by one
 * with each). The machine's processor has no fast string moves, which the emulator would count byte by byte.
 */
#include <fcntl.h>
#include <stdio.h>
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

/* Buffers of a table that lie apart in one mapping: each is a range of its own, which splits the mapping twice. */
#define RANGES_COUNT 512
#define RANGE_SIZES  6

static struct kernelzero_range ranges[RANGES_COUNT];

/* Instructions for each of many ranges of some pages, with two pages between them. */
static long measure_ranges(size_t pages, void (*run)(int fd, size_t pages))
{
	size_t stride = (pages + 2) * PAGE;
	unsigned long least = -1UL;

	for (int round = 0; round < ROUNDS; round++) {
		char *memory = memory_small_filled(RANGES_COUNT * stride, 401);
		int fd = file_new();
		unsigned long start;

		for (size_t i = 0; i < RANGES_COUNT; i++)
			ranges[i] = (struct kernelzero_range){(uintptr_t)memory + i * stride + 64,
							      pages * PAGE, 0};
		start = __rdtsc();
		run(fd, pages);
		start = __rdtsc() - start;
		if (start < least)
			least = start;
		memory_free(memory, RANGES_COUNT * stride);
		close(fd);
	}
	return least / RANGES_COUNT;
}

static void publish_ranges(int fd, size_t pages)
{
	struct device_call call = {.ranges = ranges};

	(void)pages;
	CHECK_EQ(device_call(&call, fd, 0, RANGES_COUNT), 0);
}

static void copy_ranges(int fd, size_t pages)
{
	size_t bytes = RANGES_COUNT * pages * PAGE;
	char *mapping;

	CHECK_CALL(ftruncate(fd, bytes));
	mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapping != MAP_FAILED);
	for (size_t i = 0; i < RANGES_COUNT; i++)
		memcpy(mapping + i * pages * PAGE, (void *)ranges[i].address, pages * PAGE);
	CHECK_CALL(munmap(mapping, bytes));
}

/* From which size on a range is moved rather than copied: the publisher's bound is 16 pages. */
TEST_WITHIN(icount, ranges_of_sixteen_pages_are_cheaper_to_move_than_to_copy, 900)
{
	static const size_t sizes[RANGE_SIZES] = {1, 2, 4, 8, 16, 32};
	char text[300] = "";
	long moved = 0, copied = 0;

	device_fd();
	for (int i = 0; i < RANGE_SIZES; i++) {
		moved = measure_ranges(sizes[i], publish_ranges);
		copied = measure_ranges(sizes[i], copy_ranges);
		sprintf(text + strlen(text), "%zu: %ld, %ld; ", sizes[i], moved, copied);
		if (sizes[i] == 16)
			CHECK_AT_MOST(moved, copied);
	}
	harness_note("instructions of a range by its pages, moved and copied: %s", text);
}

/* A call has a price of its own, whatever it moves. */
TEST_WITHIN(icount, a_call_with_one_page_is_told, 300)
{
	unsigned long moved = -1UL, written = -1UL;

	device_fd();
	for (int round = 0; round < 5; round++) {
		char *memory = memory_small_filled(PAGE, 402);
		int fd = file_new(), other = file_new();
		unsigned long start = __rdtsc();

		CHECK_EQ(write(other, memory, PAGE), PAGE);
		start = __rdtsc() - start;
		if (start < written)
			written = start;
		start = __rdtsc();
		device_publish(fd, memory, PAGE, NULL);
		start = __rdtsc() - start;
		if (start < moved)
			moved = start;
		memory_free(memory, PAGE);
		close(fd);
		close(other);
	}
	harness_note("%lu instructions, write() %lu", moved, written);
}
