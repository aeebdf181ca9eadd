// SPDX-License-Identifier: GPL-2.0-only
/* Threads that use the memory, the mappings and the file while a call is at work on them. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

static char *shared_memory;
static size_t shared_bytes;
static atomic_bool stop;

static pthread_t thread_start(void *(*body)(void *), void *argument)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, body, argument), 0);
	return thread;
}

static void thread_end(pthread_t thread)
{
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Reads all the time: must never see anything but the bytes. */
static void *read_all_the_time(void *argument)
{
	while (!atomic_load(&stop))
		for (size_t at = 0; at < shared_bytes; at += PAGE)
			CHECK(memory_matches(shared_memory + at, PAGE, (uintptr_t)argument, at));
	return NULL;
}

TEST(quick, a_reading_thread_never_sees_other_bytes)
{
	for (int round = 0; round < 6; round++) {
		bool huge = round % 2;
		int fd = file_new();
		pthread_t threads[2];

		shared_bytes = huge ? 2 * HUGE : 512 * PAGE;
		shared_memory = huge ? memory_huge_filled(shared_bytes, 170)
				     : memory_small_filled(shared_bytes, 170);
		atomic_store(&stop, false);
		for (int i = 0; i < 2; i++)
			threads[i] = thread_start(read_all_the_time, (void *)170);
		usleep(5000);
		device_publish_huge(fd, shared_memory, shared_bytes, NULL);
		usleep(20000);
		atomic_store(&stop, true);
		for (int i = 0; i < 2; i++)
			thread_end(threads[i]);
		file_check_read(fd, file_bytes(fd) - shared_bytes, shared_bytes, 170);
		memory_free(shared_memory, shared_bytes);
		close(fd);
	}
}

/*
 * Counts up in the first word of each page, and remembers what it has written. A write is either before the call, and is
 * in the file, or after it, and is in the source alone; none is lost.
 */
static uint64_t written[512];

static void *write_all_the_time(void *argument)
{
	(void)argument;
	for (uint64_t number = 1; !atomic_load(&stop); number++)
		for (size_t at = 0; at < shared_bytes; at += PAGE) {
			uint64_t *word = (uint64_t *)(shared_memory + at);

			CHECK_EQ(*(volatile uint64_t *)word, written[at / PAGE]);
			*(volatile uint64_t *)word = number;
			written[at / PAGE] = number;
		}
	return NULL;
}

static void race_a_writer(bool huge)
{
	int fd = file_new();
	uint64_t sum, last = 0;
	pthread_t thread;

	shared_bytes = huge ? HUGE : 512 * PAGE;
	shared_memory = huge ? memory_huge_filled(shared_bytes, 171)
			     : memory_small_filled(shared_bytes, 171);
	for (size_t at = 0; at < shared_bytes; at += PAGE)
		written[at / PAGE] = *(uint64_t *)(shared_memory + at) = 0;
	atomic_store(&stop, false);
	thread = thread_start(write_all_the_time, NULL);
	usleep(10000);
	device_publish_huge(fd, shared_memory, shared_bytes, NULL);
	/* From here on the file must not change, whatever the thread writes. */
	sum = file_sum(fd);
	usleep(30000);
	CHECK_EQ(file_sum(fd), sum);
	atomic_store(&stop, true);
	thread_end(thread);
	CHECK_EQ(file_sum(fd), sum);
	/* It is a picture of one moment up to the page that was being written: the numbers fall by one, once. */
	for (size_t at = 0; at < shared_bytes; at += PAGE) {
		uint64_t found;

		CHECK_EQ(pread(fd, &found, 8, file_bytes(fd) - shared_bytes + at), 8);
		if (at == 0)
			last = found;
		CHECK(found == last || found + 1 == last);
		last = at == 0 ? found : last;
		CHECK_EQ(*(uint64_t *)(shared_memory + at), written[at / PAGE]);
	}
	memory_free(shared_memory, shared_bytes);
	close(fd);
}

TEST(quick, a_writing_thread_loses_no_write_and_never_reaches_the_file)
{
	for (int round = 0; round < 5; round++)
		race_a_writer(false);
}

TEST(quick, a_thread_writing_to_huge_pages_never_reaches_the_file)
{
	for (int round = 0; round < 5; round++)
		race_a_writer(true);
}

static int shared_fd;

/* Publishes quarter after quarter of its half of the memory. */
static void *publish_half(void *argument)
{
	char *half = shared_memory + (uintptr_t)argument * shared_bytes / 2;
	size_t part = shared_bytes / 64;

	for (int i = 0; i < 32; i++) {
		uint64_t offset = device_publish(shared_fd, half + i * part, part, NULL);

		file_check_read(shared_fd, offset, 0, 0);
	}
	return NULL;
}

TEST(quick, threads_that_publish_into_one_file_each_get_their_place)
{
	static char part[64 * 1024];
	pthread_t threads[2];
	size_t found = 0;

	shared_bytes = 1024 * PAGE;
	shared_memory = memory_small_filled(shared_bytes, 172);
	shared_fd = file_new();
	device_fd();
	for (uintptr_t i = 0; i < 2; i++)
		threads[i] = thread_start(publish_half, (void *)i);
	for (int i = 0; i < 2; i++)
		thread_end(threads[i]);
	CHECK_EQ(file_bytes(shared_fd), shared_bytes);
	/* Each part is there once, at some place. */
	for (size_t at = 0; at < shared_bytes; at += 16 * PAGE)
		for (size_t place = 0; place < shared_bytes; place += 16 * PAGE) {
			CHECK_EQ(pread(shared_fd, part, 16 * PAGE, place), 16 * PAGE);
			found += memory_matches(part, 16 * PAGE, 172, at);
		}
	CHECK_EQ(found, 64);
	memory_check(shared_memory, shared_bytes, 172);
}

static int results[2];

static void *publish_all(void *argument)
{
	results[(uintptr_t)argument] = device_try(shared_fd, shared_memory, shared_bytes);
	return NULL;
}

TEST(quick, of_two_threads_that_publish_the_same_memory_one_succeeds)
{
	for (int round = 0; round < 10; round++) {
		pthread_t threads[2];

		shared_bytes = 256 * PAGE;
		shared_memory = memory_small_filled(shared_bytes, 173);
		shared_fd = file_new();
		device_fd();
		for (uintptr_t i = 0; i < 2; i++)
			threads[i] = thread_start(publish_all, (void *)i);
		for (int i = 0; i < 2; i++)
			thread_end(threads[i]);
		CHECK((results[0] == 0) != (results[1] == 0));
		CHECK_EQ(results[0] + results[1], EOPNOTSUPP);
		CHECK_EQ(file_bytes(shared_fd), shared_bytes);
		file_check_read(shared_fd, 0, shared_bytes, 173);
		memory_check(shared_memory, shared_bytes, 173);
		memory_free(shared_memory, shared_bytes);
		close(shared_fd);
	}
}

/* Unmaps and maps anew parts of the range, all the time. */
static void *unmap_all_the_time(void *argument)
{
	(void)argument;
	for (size_t i = 0; !atomic_load(&stop); i++) {
		char *part = shared_memory + (i * 7 % 32) * 8 * PAGE;

		CHECK_CALL(munmap(part, 8 * PAGE));
		CHECK(mmap(part, 8 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == part);
		memory_fill(part, 8 * PAGE, 174);
	}
	return NULL;
}

TEST(quick, unmapping_during_a_call_fails_it_or_comes_after_it)
{
	unsigned int taken = 0, refused = 0;
	pthread_t thread;

	shared_bytes = 256 * PAGE;
	shared_memory = memory_small_filled(shared_bytes, 174);
	atomic_store(&stop, false);
	thread = thread_start(unmap_all_the_time, NULL);
	for (int round = 0; round < 300; round++) {
		int fd = file_new();
		int error = device_try(fd, shared_memory, shared_bytes);

		if (error == 0) {
			CHECK_EQ(file_bytes(fd), shared_bytes);
			taken++;
		} else {
			/* A hole, or a part that an earlier round has published. */
			CHECK(error == EFAULT || error == EOPNOTSUPP);
			CHECK_EQ(file_bytes(fd), 0);
			CHECK_EQ(file_blocks(fd), 0);
			refused++;
		}
		close(fd);
		if (round % 4 == 0)
			CHECK(mmap(shared_memory, shared_bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0) == shared_memory);
	}
	atomic_store(&stop, true);
	thread_end(thread);
	CHECK_AT_LEAST(taken, 1);
	harness_note("%u taken, %u refused", taken, refused);
}

/* Forks while another thread publishes: the child sees the bytes, whenever its copy was made. */
static void *publish_pieces(void *argument)
{
	(void)argument;
	for (size_t at = 0; at < shared_bytes; at += 4 * PAGE)
		CHECK_EQ(device_try(shared_fd, shared_memory + at, 4 * PAGE), 0);
	return NULL;
}

TEST(quick, a_fork_during_a_call_sees_all_bytes)
{
	for (int round = 0; round < 4; round++) {
		pthread_t thread;

		shared_bytes = 512 * PAGE;
		shared_memory = memory_small_filled(shared_bytes, 175);
		shared_fd = file_new();
		device_fd();
		thread = thread_start(publish_pieces, NULL);
		for (int i = 0; i < 6; i++)
			PROCESS_RUN(memory_check(shared_memory, shared_bytes, 175));
		thread_end(thread);
		file_check_read(shared_fd, 0, shared_bytes, 175);
		memory_check(shared_memory, shared_bytes, 175);
		memory_free(shared_memory, shared_bytes);
		close(shared_fd);
	}
}

/* Whoever reads a file's end while it grows sees the new bytes, never a page that isn't there yet. */
static void *read_the_end(void *argument)
{
	static char part[PAGE];

	(void)argument;
	while (!atomic_load(&stop)) {
		uint64_t bytes = file_bytes(shared_fd);

		if (bytes == 0)
			continue;
		CHECK_EQ(pread(shared_fd, part, PAGE, bytes - PAGE), PAGE);
		CHECK(memory_matches(part, PAGE, 176, shared_bytes - PAGE));
	}
	return NULL;
}

TEST(quick, a_reader_of_the_files_end_never_sees_a_missing_page)
{
	pthread_t thread;

	shared_bytes = 4096 * PAGE;
	shared_fd = file_new();
	atomic_store(&stop, false);
	thread = thread_start(read_the_end, NULL);
	/* Often, as the reader has to come at the right moment. */
	for (int round = 0; round < 24; round++) {
		shared_memory = memory_small_filled(shared_bytes, 176);
		device_publish(shared_fd, shared_memory, shared_bytes, NULL);
		memory_free(shared_memory, shared_bytes);
	}
	atomic_store(&stop, true);
	thread_end(thread);
}
