// SPDX-License-Identifier: GPL-2.0-only
/* The mapping that takes the place of published memory: what it still does as anonymous memory does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "disk.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

/* Behind it in the file there is another range. */
TEST(quick, a_published_mapping_does_not_grow)
{
	char *first = memory_small_filled(8 * PAGE, 530);
	char *second = memory_small_filled(8 * PAGE, 531);
	int fd = file_new();

	device_publish(fd, first, 8 * PAGE, NULL);
	device_publish(fd, second, 8 * PAGE, NULL);
	CHECK(mremap(first, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	CHECK_EQ(errno, EFAULT);
	memory_check(first, 8 * PAGE, 530);
	/* It can still shrink, and move. */
	CHECK(mremap(first, 8 * PAGE, 4 * PAGE, 0) == first);
	CHECK(mremap(first, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, second) == second);
	memory_check(second, 4 * PAGE, 530);
}

/* The C library makes large allocations grow by mremap(2). */
TEST(quick, realloc_of_published_memory_copies_it)
{
	const size_t bytes = 1024 * PAGE;
	char *memory = malloc(bytes), *whole;
	int fd = file_new();

	memory_fill(memory, bytes, 532);
	whole = (char *)(((uintptr_t)memory + PAGE - 1) & ~(PAGE - 1));
	device_publish(fd, whole, bytes - PAGE, NULL);
	device_publish(fd, memory_small_filled(bytes, 533), bytes, NULL);
	memory = realloc(memory, 4 * bytes);
	CHECK(memory);
	memory_check(memory, bytes, 532);
	CHECK(memory_is_zero(memory + bytes, 3 * bytes));
	free(memory);
}

TEST(quick, those_who_watch_the_file_hear_of_what_is_published)
{
	int fd = CHECK_CALL(open("/tmp/watched", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	int watch = CHECK_CALL(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	char *memory = memory_small_filled(4 * PAGE, 534);
	struct inotify_event event;

	CHECK_CALL(inotify_add_watch(watch, "/tmp/watched", IN_MODIFY));
	CHECK_CALL(unlink("/tmp/watched"));
	device_publish(fd, memory, 4 * PAGE, NULL);
	CHECK_EQ(read(watch, &event, sizeof(event)), sizeof(event));
	CHECK_EQ(event.mask, IN_MODIFY);
	/* A call that fails has modified nothing. */
	CHECK_EQ(device_try(fd, memory, 4 * PAGE), EOPNOTSUPP);
	CHECK_EQ(read(watch, &event, sizeof(event)), -1);
	CHECK_EQ(errno, EAGAIN);
}

static void crash(const char *memory)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	CHECK_CALL(setrlimit(RLIMIT_CORE, &limit));
	CHECK_CALL(chdir("/tmp"));
	signal(SIGABRT, SIG_DFL);
	CHECK(memory);
	abort();
}

TEST(quick, published_memory_is_in_a_core_dump)
{
	const size_t bytes = 64 * PAGE;
	char *memory = memory_small_filled(bytes, 535), *core;
	int fd = file_new(), status, dump;
	struct stat about;
	pid_t child;

	guest_write("/proc/sys/kernel/core_pattern", "core");
	guest_write("/proc/sys/kernel/core_uses_pid", "0");
	device_publish(fd, memory, bytes, NULL);
	child = process_start();
	if (child == 0)
		crash(memory);
	CHECK_CALL(waitpid(child, &status, 0));
	CHECK(WIFSIGNALED(status) && WCOREDUMP(status));
	dump = CHECK_CALL(open("/tmp/core", O_RDONLY | O_CLOEXEC));
	CHECK_CALL(unlink("/tmp/core"));
	CHECK_CALL(fstat(dump, &about));
	core = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE, dump, 0);
	CHECK(core != MAP_FAILED);
	for (off_t at = 0; at + (off_t)bytes <= about.st_size; at += PAGE)
		if (!memcmp(core + at, memory, bytes))
			return;
	FAIL("not in the %lld bytes of it", (long long)about.st_size);
}

/* The kernel finds who maps a page through trees in which the mapping has a new place. */
TEST(quick, what_is_written_after_publication_is_swapped_out_and_back)
{
	const size_t bytes = 512 * PAGE;
	/* The middle of a mapping, whose other parts are in the same trees. */
	char *memory = memory_small_filled(3 * bytes, 535) + bytes;
	size_t swapped = 0;
	int fd = file_new();

	memory_fill(memory, bytes, 536);
	disk_swap_start(64 << 20);
	CHECK_EQ(write(fd, "elsewhere", 9), 9);
	device_publish(fd, memory, bytes, NULL);
	memory_fill(memory, bytes, 537);
	for (int attempt = 0; attempt < 20 && swapped < bytes / PAGE / 2; attempt++) {
		CHECK_CALL(madvise(memory, bytes, MADV_PAGEOUT));
		swapped = 0;
		for (size_t at = 0; at < bytes; at += PAGE)
			swapped += !!(memory_page_entry(memory + at) & MEMORY_PAGE_SWAPPED);
	}
	CHECK_AT_LEAST(swapped, bytes / PAGE / 2);
	memory_check(memory, bytes, 537);
	PROCESS_RUN({
		memory_check(memory, bytes, 537);
		memory_fill(memory, bytes, 538);
	});
	memory_check(memory, bytes, 537);
	file_check(fd, PAGE, bytes, 536);
	close(fd);
	memory_free(memory - bytes, 3 * bytes);
	disk_swap_stop();
}
