// SPDX-License-Identifier: GPL-2.0-only
/*
 * All or nothing: each step of a call that can fail is made to fail, one after the other, and each time memory, file and
 * counters must be as before, and the same call must succeed afterwards. For a module built with KERNELZERO_DEBUG=1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
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
#include "state.h"

#define PARAMETERS "/sys/module/kernelzero/parameters/"

/* Memory of all kinds in one mapping, and the ranges of one call over it. */
#define SMALL_PAGES 48
#define BYTES	    (4 * HUGE)
#define RANGES	    5

struct mix {
	char *memory;
	struct kernelzero_range ranges[RANGES];
	uint8_t pages[BYTES / PAGE + RANGES];
	struct device_call call;
	int fd;
	unsigned int flags;
	pid_t child;
	struct process_steps *steps;
	int pipe_ends[2];
};

/* Where the pages of each kind are, from the start of the mapping. */
enum {
	PLAIN = 0,
	SHARED = 8,
	HOLES = 16,
	SWAPPED = 24,
	PINNED = 40
};

static void range_set(struct kernelzero_range *range, char *address, size_t bytes)
{
	*range = (struct kernelzero_range){.address = (uintptr_t)address, .bytes = bytes};
}

/*
 * The first 2 MiB are small pages: plain, shared with a child, untouched, swapped out, held by a pipe. The others are huge
 * pages: two are taken whole, of the last a part.
 */
static void mix_make(struct mix *mix, bool whole)
{
	char *memory = memory_huge(BYTES);
	struct iovec held = {memory + PINNED * PAGE, 4 * PAGE};

	memset(mix, 0, sizeof(*mix));
	mix->memory = memory;
	mix->fd = whole ? file_new() : file_on_tmpfs("size=64m");
	mix->flags = whole ? KERNELZERO_ALIGN_HUGE : 0;
	mix->steps = process_steps();
	CHECK_EQ(write(mix->fd, "before", 6), 6);
	CHECK_CALL(madvise(memory, HUGE, MADV_NOHUGEPAGE));
	memory_fill(memory + SHARED * PAGE, 8 * PAGE, 301);
	memory_fill(memory + SWAPPED * PAGE, 16 * PAGE, 303);
	mix->child = process_start();
	if (mix->child == 0) {
		process_step(mix->steps, 1);
		process_wait(mix->steps, 2);
		memory_check(memory + SHARED * PAGE, 8 * PAGE, 301);
		_exit(0);
	}
	process_wait(mix->steps, 1);
	/* Written again, these are this process's own. */
	memory_fill(memory + SWAPPED * PAGE, 16 * PAGE, 303);
	memory_fill(memory + PLAIN * PAGE, 8 * PAGE, 300);
	memory_fill(memory + PINNED * PAGE, 8 * PAGE, 304);
	memory_fill(memory + HUGE, 3 * HUGE, 305);
	CHECK_CALL(pipe(mix->pipe_ends));
	CHECK_EQ(vmsplice(mix->pipe_ends[1], &held, 1, 0), 4 * PAGE);
	CHECK_CALL(madvise(memory + SWAPPED * PAGE, 16 * PAGE, MADV_PAGEOUT));
	range_set(&mix->ranges[0], memory, 24 * PAGE);
	range_set(&mix->ranges[1], memory + SWAPPED * PAGE, 16 * PAGE);
	range_set(&mix->ranges[2], memory + PINNED * PAGE + 9, 6 * PAGE);
	range_set(&mix->ranges[3], memory + HUGE, 2 * HUGE);
	range_set(&mix->ranges[4], memory + 3 * HUGE + 33, 40 * PAGE);
	mix->call = (struct device_call){.ranges = mix->ranges, .pages = mix->pages};
}

static void check_source(struct mix *mix)
{
	memory_check(mix->memory + PLAIN * PAGE, 8 * PAGE, 300);
	memory_check(mix->memory + SHARED * PAGE, 8 * PAGE, 301);
	CHECK(memory_is_zero(mix->memory + HOLES * PAGE, 8 * PAGE));
	memory_check(mix->memory + SWAPPED * PAGE, 16 * PAGE, 303);
	memory_check(mix->memory + PINNED * PAGE, 8 * PAGE, 304);
	memory_check(mix->memory + HUGE, 3 * HUGE, 305);
}

static void check_part(int fd, uint64_t offset, size_t bytes, uint64_t seed, size_t at)
{
	static char part[BYTES];

	CHECK_EQ(pread(fd, part, bytes, offset), bytes);
	CHECK(memory_matches(part, bytes, seed, at));
}

static void check_file(struct mix *mix)
{
	struct kernelzero_range *ranges = mix->ranges;
	char before[6];

	CHECK_EQ(pread(mix->fd, before, 6, 0), 6);
	CHECK(!memcmp(before, "before", 6));
	check_part(mix->fd, ranges[0].offset, 8 * PAGE, 300, 0);
	check_part(mix->fd, ranges[0].offset + SHARED * PAGE, 8 * PAGE, 301, 0);
	file_check_zero(mix->fd, ranges[0].offset + HOLES * PAGE, 8 * PAGE);
	check_part(mix->fd, ranges[1].offset, 16 * PAGE, 303, 0);
	check_part(mix->fd, ranges[2].offset, 6 * PAGE, 304, 9);
	check_part(mix->fd, ranges[3].offset, 2 * HUGE, 305, 0);
	check_part(mix->fd, ranges[4].offset, 40 * PAGE, 305, 2 * HUGE + 33);
}

static void mix_free(struct mix *mix)
{
	process_step(mix->steps, 2);
	process_end(mix->child);
}

static int mix_call(struct mix *mix)
{
	return device_call(&mix->call, mix->fd, mix->flags, RANGES);
}

/* Everything that a call can do happens in the mix: or failing points would be missed. */
static void check_kinds(const struct mix *mix)
{
	const struct kernelzero_deanonymize *counts = &mix->call.call;

	CHECK_EQ(counts->moved_huge_count, mix->flags ? 2 : 0);
	CHECK_AT_LEAST(counts->moved_count, mix->flags ? 40 : 1064);
	CHECK_AT_LEAST(counts->moved_swap_count, 8);
	CHECK_EQ(counts->hole_count, 8);
	CHECK_EQ(counts->copied_edge_count, 4);
	CHECK_EQ(counts->copied_shared_count, 8);
	CHECK_AT_LEAST(counts->copied_pinned_count, 3);
}

static void fail_next(int at)
{
	guest_write_number(PARAMETERS "fail_at", at);
}

/* Fails step `at` of a call. Ends with 7 when the call has fewer steps. */
static _Noreturn void fail_one(int at, bool whole)
{
	static struct mix mix;
	struct state state;
	char what[48];
	int found;

	snprintf(what, sizeof(what), "step %d fails", at);
	mix_make(&mix, whole);
	/* Once for nothing: this process has its own copies of its pages then, which the child shared so far. */
	fail_next(1);
	CHECK_EQ(mix_call(&mix), ENOMEM);
	state_take(&state, mix.memory, BYTES, mix.fd);
	state_check(&state, "nothing happens");
	fail_next(at);
	found = mix_call(&mix);
	if (guest_read_number(PARAMETERS "fail_at") != 0) {
		guest_write(PARAMETERS "fail_at", "0");
		CHECK_EQ(found, 0);
		check_kinds(&mix);
		mix_free(&mix);
		_exit(7);
	}
	if (found == 0)
		FAIL("%s, but the call succeeds", what);
	state_check(&state, what);
	check_source(&mix);
	found = mix_call(&mix);
	if (found)
		FAIL("%s, and then the same call: %s", what, strerror(found));
	check_source(&mix);
	check_file(&mix);
	memset(mix.memory, 0x77, BYTES);
	check_file(&mix);
	mix_free(&mix);
	_exit(0);
}

/* Each step in a process of its own, which has its memory anew. */
static int fail_each(bool whole)
{
	disk_swap_start(64 << 20);
	guest_write("/proc/sys/vm/page-cluster", "0");
	for (int at = 1;; at++) {
		pid_t child = process_start();
		int status;

		if (child == 0)
			fail_one(at, whole);
		CHECK_CALL(waitpid(child, &status, 0));
		if (WIFEXITED(status) && WEXITSTATUS(status) == 7) {
			disk_swap_stop();
			return at - 1;
		}
		if (!WIFEXITED(status))
			FAIL("step %d: killed by signal %d", at, WTERMSIG(status));
		if (WEXITSTATUS(status))
			_exit(1);
	}
}

TEST_WITHIN(faults, a_call_that_fails_at_any_step_has_done_nothing, 900)
{
	int steps = fail_each(true);

	CHECK_AT_LEAST(steps, 20);
	harness_note("%d steps", steps);
}

/* On a file system with a limit, and with huge pages that have to be split. */
TEST_WITHIN(faults, a_call_into_a_limited_file_that_fails_at_any_step_has_done_nothing, 900)
{
	int steps = fail_each(false);

	CHECK_AT_LEAST(steps, 20);
	harness_note("%d steps", steps);
}

/* The kernel may be making a huge page of the file's end while a call appends to it: the call goes elsewhere. */
TEST(faults, a_call_succeeds_while_the_files_end_is_collapsed)
{
	static struct mix mix;

	disk_swap_start(64 << 20);
	mix_make(&mix, true);
	guest_write(PARAMETERS "mutation", "window_taken");
	CHECK_EQ(mix_call(&mix), 0);
	guest_write(PARAMETERS "mutation", "\n"); /* an empty text would write nothing */
	check_source(&mix);
	check_file(&mix);
	mix_free(&mix);
	close(mix.fd);
	disk_swap_stop();
}

TEST(faults, a_debug_build_says_that_it_is_one)
{
	CHECK(device_info().features & KERNELZERO_FEATURE_MUTATIONS);
}

/*
 * Pages that are being written to a slow disk: for how long a call waits under its locks does not depend on how many there
 * are. What is not ready then is copied.
 */
TEST_WITHIN(slowfaults, a_call_waits_a_bounded_time_for_pages_that_are_being_written, 200)
{
	const size_t bytes = 2048 * PAGE;
	int fd = file_new();
	struct kernelzero_deanonymize counts;
	char *memory;
	size_t cached;

	disk_swap_start(64 << 20);
	guest_write("/proc/sys/vm/page-cluster", "0");
	memory = memory_small_filled(bytes, 306);
	device_fd();
	CHECK_CALL(madvise(memory, bytes, MADV_PAGEOUT));
	/* Back before they are out: in the swap cache, under writeback. */
	memory_check(memory, bytes, 306);
	cached = guest_read_field("/proc/meminfo", "SwapCached") * 1024 / PAGE;
	device_publish(fd, memory, bytes, &counts);
	harness_note("%zu pages in the swap cache, %lld ticks, %lld pages copied", cached,
		     guest_read_number(PARAMETERS "ticks"), (long long)counts.copied_other_count);
	CHECK_AT_LEAST(counts.copied_other_count, 1);
	CHECK_AT_MOST(guest_read_number(PARAMETERS "ticks"), 25);
	memory_check(memory, bytes, 306);
	file_check(fd, 0, bytes, 306);
	memory_free(memory, bytes);
	close(fd);
	disk_swap_stop();
}
