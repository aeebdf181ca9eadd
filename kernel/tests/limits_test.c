// SPDX-License-Identifier: GPL-2.0-only
/* No limit is passed by, and none that is hit leaves anything behind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"
#include "state.h"

static void check_refused(int fd, char *memory, size_t bytes, uint64_t seed, int error,
			  const char *what)
{
	struct state state;

	state_take(&state, memory, bytes, fd);
	for (int i = 0; i < 2; i++) {
		int found = device_try(fd, memory, bytes);

		if (found != error)
			FAIL("%s: %s, not %s", what, strerror(found), strerror(error));
	}
	state_check(&state, what);
	memory_check(memory, bytes, seed);
}

TEST(quick, a_full_file_system_is_ENOSPC)
{
	int fd = file_on_tmpfs("size=256k");
	char *memory = memory_small_filled(65 * PAGE, 130);
	struct statfs before, after;

	CHECK_CALL(fstatfs(fd, &before));
	check_refused(fd, memory, 65 * PAGE, 130, ENOSPC, "65 pages into space for 64");
	CHECK_CALL(fstatfs(fd, &after));
	CHECK_EQ(after.f_bfree, before.f_bfree);
	/* What just fits, fits. */
	device_publish(fd, memory, 64 * PAGE, NULL);
	CHECK_CALL(fstatfs(fd, &after));
	CHECK_EQ(after.f_bfree, 0);
	file_check(fd, 0, 64 * PAGE, 130);
	CHECK_EQ(device_try(fd, memory + 64 * PAGE, PAGE), ENOSPC);
	CHECK_EQ(file_bytes(fd), 64 * PAGE);
	memory_check(memory, 65 * PAGE, 130);
}

TEST(quick, pages_of_a_full_file_system_are_given_back_with_the_file)
{
	int fd = file_on_tmpfs("size=256k");
	struct statfs status;

	for (int round = 0; round < 5; round++) {
		char *memory = memory_small_filled(64 * PAGE, 131);

		device_publish(fd, memory, 64 * PAGE, NULL);
		memory_free(memory, 64 * PAGE);
		CHECK_CALL(ftruncate(fd, 0));
		CHECK_CALL(fstatfs(fd, &status));
		CHECK_EQ(status.f_bfree, 64);
	}
}

TEST(quick, the_limit_of_file_sizes_is_EFBIG_without_a_signal)
{
	int fd = file_new();
	char *memory = memory_small_filled(32 * PAGE, 132);
	struct rlimit limit = {31 * PAGE, RLIM_INFINITY};

	/* SIGXFSZ, which a write would raise, would kill the process. */
	CHECK_CALL(setrlimit(RLIMIT_FSIZE, &limit));
	check_refused(fd, memory, 32 * PAGE, 132, EFBIG, "a page beyond RLIMIT_FSIZE");
	device_publish(fd, memory, 31 * PAGE, NULL);
	file_check(fd, 0, 31 * PAGE, 132);
}

TEST(quick, a_file_that_cannot_grow_further_is_EFBIG)
{
	int fd = file_new();
	char *memory = memory_small_filled(4 * PAGE, 133);

	CHECK_CALL(ftruncate(fd, INT64_MAX - INT64_MAX % PAGE - 2 * PAGE));
	CHECK_EQ(device_try(fd, memory, 4 * PAGE), EFBIG);
	memory_check(memory, 4 * PAGE, 133);
	CHECK(!(memory_page_entry(memory) & MEMORY_PAGE_OF_FILE));
}

/* A child that keeps sharing its memory, so that every page has to be copied. */
static pid_t share_with_child(struct process_steps *steps)
{
	pid_t child = process_start();

	if (child == 0) {
		process_step(steps, 1);
		process_wait(steps, 2);
		_exit(0);
	}
	process_wait(steps, 1);
	return child;
}

TEST(quick, copies_beyond_the_control_groups_limit_are_ENOMEM)
{
	const size_t bytes = 1024 * PAGE;
	int fd = file_new();
	char *memory = memory_small_filled(bytes, 134);
	struct process_steps *steps = process_steps();
	pid_t child = share_with_child(steps);

	counters_flush();
	guest_write_number(GUEST_CGROUP "/test/memory.max",
			   guest_read_number(GUEST_CGROUP "/test/memory.current") + (bytes >> 1));
	/* Without the OOM killer, which would end this process: a failed call has a caller to tell. */
	CHECK_EQ(device_try(fd, memory, bytes), ENOMEM);
	guest_write(GUEST_CGROUP "/test/memory.max", "max");
	memory_check(memory, bytes, 134);
	CHECK_EQ(file_bytes(fd), 0);
	CHECK_EQ(file_blocks(fd), 0);
	CHECK_EQ(memory_smaps(memory, bytes).anonymous, bytes >> 10);
	device_publish(fd, memory, bytes, NULL);
	file_check(fd, 0, bytes, 134);
	process_step(steps, 2);
	process_end(child);
}

TEST(quick, moved_pages_stay_charged_to_the_control_group)
{
	const size_t bytes = 1024 * PAGE;
	int fd = file_new();
	long long before, after;
	char *memory = memory_small_filled(bytes, 135);

	counters_flush();
	before = guest_read_number(GUEST_CGROUP "/test/memory.current");
	device_publish(fd, memory, bytes, NULL);
	memory_free(memory, bytes);
	counters_flush();
	after = guest_read_number(GUEST_CGROUP "/test/memory.current");
	CHECK_EQ(counters_group("shmem"), bytes);
	/* The kernel charges in batches; and the tree of the file's pages is charged too. */
	CHECK_AT_LEAST(after, before - (long long)(bytes / 8));
	CHECK_AT_MOST(after, before + (long long)(bytes / 8));
}

TEST(quick, a_process_at_its_groups_limit_can_still_move_its_pages)
{
	const size_t bytes = 2048 * PAGE;
	int fd = file_new();
	char *memory = memory_small_filled(bytes, 136);
	struct kernelzero_deanonymize counts;

	/* Little is free: enough for the call's own tables, far too little for copies. */
	counters_flush();
	guest_write_number(GUEST_CGROUP "/test/memory.max",
			   guest_read_number(GUEST_CGROUP "/test/memory.current") + bytes / 4);
	device_publish(fd, memory, bytes, &counts);
	CHECK_EQ(counts.moved_count, 2048);
	guest_write(GUEST_CGROUP "/test/memory.max", "max");
	file_check(fd, 0, bytes, 136);
}

TEST(quick, the_commit_limit_is_ENOMEM)
{
	const size_t bytes = 8192 * PAGE;
	int fd = file_new();
	char *memory = memory_small_filled(bytes, 137);
	long long total = guest_read_field("/proc/meminfo", "MemTotal");
	long long committed, limit;
	struct state state;

	/* The guest may commit little more than it has: half of what the file would take. */
	guest_write("/proc/sys/vm/overcommit_memory", "2");
	committed = guest_read_field("/proc/meminfo", "Committed_AS");
	limit = committed + (bytes >> 11) + 512;
	guest_write_number("/proc/sys/vm/overcommit_kbytes", limit);
	CHECK_AT_MOST(limit, total);
	state_take(&state, memory, bytes, fd);
	CHECK_EQ(device_try(fd, memory, bytes), ENOMEM);
	state_check(&state, "beyond the commit limit");
	memory_check(memory, bytes, 137);
	guest_write("/proc/sys/vm/overcommit_memory", "0");
	device_publish(fd, memory, bytes, NULL);
	file_check(fd, 0, bytes, 137);
}

TEST(quick, too_many_mappings_are_ENOMEM)
{
	const size_t bytes = 64 * PAGE;
	int fd = file_new();
	char *memory = memory_small_filled(bytes, 138);
	struct kernelzero_range ranges[16];
	struct device_call call = {.ranges = ranges};
	struct state state;

	for (int i = 0; i < 16; i++)
		ranges[i] = (struct kernelzero_range){
			.address = (uintptr_t)memory + (i * 4 + 1) * PAGE,
			.bytes = 2 * PAGE,
		};
	/* Each range needs two more mappings: the first few fit, the last ones don't. */
	state_take(&state, memory, bytes, fd);
	guest_write_number("/proc/sys/vm/max_map_count", memory_mappings_count() + 9);
	CHECK_EQ(device_call(&call, fd, 0, 16), ENOMEM);
	CHECK_EQ(device_call(&call, fd, 0, 16), ENOMEM);
	guest_write("/proc/sys/vm/max_map_count", "65530");
	state_check(&state, "too many mappings");
	memory_check(memory, bytes, 138);
	CHECK_EQ(device_call(&call, fd, 0, 16), 0);
	CHECK_EQ(call.call.moved_count, 32);
	memory_check(memory, bytes, 138);
}

/* As many ranges as a call may have need more mappings than a process may have. */
TEST_WITHIN(quick, a_call_that_needs_too_many_mappings_makes_none, 300)
{
	const size_t count = device_info().ranges_max, bytes = count * 2 * PAGE;
	char *memory = memory_small(bytes);
	struct kernelzero_range *ranges =
		mmap(NULL, count * sizeof(*ranges), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct device_call call = {.ranges = ranges};
	int fd = file_new(), before;

	CHECK(ranges != MAP_FAILED);
	for (size_t i = 0; i < count; i++) {
		memory[i * 2 * PAGE] = 1;
		ranges[i] = (struct kernelzero_range){(uintptr_t)memory + i * 2 * PAGE, PAGE, 0};
	}
	device_fd();
	before = memory_mappings_count();
	CHECK_EQ(device_call(&call, fd, 0, count), ENOMEM);
	CHECK_EQ(memory_mappings_count(), before);
	CHECK_EQ(file_bytes(fd), 0);
	/* A third of them fits, and leaves the process able to go on. */
	CHECK_EQ(device_call(&call, fd, 0, count / 3), 0);
	CHECK_EQ(call.call.moved_count, count / 3);
	CHECK_AT_LEAST(memory_mappings_count(), count / 3 * 2);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	memory_free(memory, bytes);
}

TEST(quick, mappings_are_left_for_the_caller)
{
	int fd = file_new();
	char *memory = memory_small_filled(16 * PAGE, 142);
	int before = memory_mappings_count(), limit = before + 2;

	/* With so many that the call would have just enough, and then more and more. */
	for (;; limit++) {
		guest_write_number("/proc/sys/vm/max_map_count", limit);
		if (!device_try(fd, memory + 4 * PAGE, 4 * PAGE))
			break;
		CHECK_EQ(memory_mappings_count(), before);
		CHECK_AT_MOST(limit, before + 200);
	}
	CHECK_AT_LEAST(limit, memory_mappings_count() + 32);
	guest_write("/proc/sys/vm/max_map_count", "65530");
	memory_check(memory, 16 * PAGE, 142);
}

/* Whatever a call fails of: no mapping has been split for it. */
TEST(quick, a_call_that_fails_has_split_no_mapping)
{
	int fd = file_on_tmpfs("size=16k"), before;
	char *memory = memory_small_filled(64 * PAGE, 143);

	before = memory_mappings_count();
	CHECK_EQ(device_try(fd, memory + 8 * PAGE, 16 * PAGE), ENOSPC);
	CHECK_EQ(memory_mappings_count(), before);
	memory_check(memory, 64 * PAGE, 143);
}

TEST(quick, a_range_that_needs_no_new_mapping_is_taken_at_the_limit)
{
	int fd = file_new();
	char *memory = memory_small_filled(16 * PAGE, 139);

	guest_write_number("/proc/sys/vm/max_map_count", memory_mappings_count());
	device_publish(fd, memory, 16 * PAGE, NULL);
	guest_write("/proc/sys/vm/max_map_count", "65530");
	file_check(fd, 0, 16 * PAGE, 139);
}

/* Killed in the middle of a call: either the file has all of it or nothing. */
TEST(quick, a_killed_call_is_done_wholly_or_not_at_all)
{
	const size_t bytes = 16384 * PAGE;
	int whole = 0, nothing = 0;

	for (int round = 0; round < 12; round++) {
		int fd = file_new();
		struct process_steps *steps = process_steps();
		pid_t child = process_start();

		if (child == 0) {
			char *memory = memory_small_filled(bytes, 140);

			device_fd();
			process_step(steps, 1);
			device_try(fd, memory, bytes);
			for (;;)
				pause();
		}
		process_wait(steps, 1);
		usleep(round * 700);
		CHECK_CALL(kill(child, SIGKILL));
		process_end_killed(child);
		if (file_bytes(fd)) {
			CHECK_EQ(file_bytes(fd), bytes);
			file_check_read(fd, 0, bytes, 140);
			whole++;
		} else {
			CHECK_EQ(file_blocks(fd), 0);
			nothing++;
		}
		close(fd);
		CHECK_CALL(munmap(steps, PAGE));
	}
	harness_note("%d whole, %d nothing", whole, nothing);
}

static void on_alarm(int number)
{
	(void)number;
}

/* Signals that a process handles don't end a call. */
TEST(quick, signals_that_are_handled_do_not_disturb_a_call)
{
	const size_t bytes = 2048 * PAGE;
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

	sigaction(SIGALRM, &action, NULL);
	for (int round = 0; round < 8; round++) {
		char *memory = memory_small_filled(bytes, 141);
		int fd = file_new();

		setitimer(ITIMER_REAL, &often, NULL);
		CHECK_EQ(device_try(fd, memory, bytes), 0);
		setitimer(ITIMER_REAL, &never, NULL);
		file_check_read(fd, 0, bytes, 141);
		memory_free(memory, bytes);
		close(fd);
	}
}
