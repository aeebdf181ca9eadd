// SPDX-License-Identifier: GPL-2.0-only
#include "state.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "file.h"
#include "guest.h"

/* Kernel threads and other processors make the guest's counters differ for a moment. */
#define ATTEMPTS 10

/* Has the pages of the stack that all this may need before they are counted. */
static __attribute__((noinline)) void touch_stack(void)
{
	volatile char deep[48 * 1024];

	for (size_t i = 0; i < sizeof(deep); i += PAGE)
		deep[i] = 0;
}

static bool is_asleep(long process)
{
	char path[64], text[1024], *name_end;

	snprintf(path, sizeof(path), "/proc/%ld/stat", process);
	guest_read(path, text, sizeof(text));
	name_end = strrchr(text, ')');
	return name_end && strchr("SZ", name_end[2]);
}

/*
 * Waits until the test's other processes, and process 1, wait for something themselves. After a fork both sides copy the
 * pages that they go on to use, as late as the scheduler likes: that must not fall between two counts.
 */
static void wait_for_others(void)
{
	char list[4096];

	while (!is_asleep(1))
		usleep(1000);
	guest_read(GUEST_CGROUP "/test/cgroup.procs", list, sizeof(list));
	for (char *rest = list, *line; (line = strsep(&rest, "\n")) && *line;) {
		long process = atol(line);

		while (process != getpid() && !is_asleep(process))
			usleep(1000);
	}
}

static struct state take(const void *memory, size_t bytes, int fd)
{
	struct state state = {
		.memory = memory,
		.bytes = bytes,
		.fd = fd,
		.smaps = memory_smaps(memory, bytes),
	};

	if (fd >= 0) {
		state.file_sum = file_sum(fd);
		state.file_bytes = file_bytes(fd);
		state.file_blocks = file_blocks(fd);
	}
	counters_flush();
	state.group_anonymous = counters_group("anon");
	state.group_shared = counters_group("shmem");
	counters_take(&state.counters);
	return state;
}

static int counters_differ(const struct state *now, const struct state *before)
{
	return now->counters.anonymous != before->counters.anonymous ||
	       now->counters.shared != before->counters.shared ||
	       now->counters.committed != before->counters.committed ||
	       now->counters.swap_free != before->counters.swap_free ||
	       now->group_anonymous != before->group_anonymous ||
	       now->group_shared != before->group_shared;
}

void state_take(struct state *state, const void *memory, size_t bytes, int fd)
{
	struct state again;

	touch_stack();
	/* The page that it is in may still be shared with the process that this one was forked from. */
	memset(state, 0, sizeof(*state));
	wait_for_others();
	*state = take(memory, bytes, fd);
	/* A sum may have been taken while the kernel was adding up: two of them agree. */
	for (int i = 0; i < ATTEMPTS; i++) {
		again = take(memory, bytes, fd);
		if (!counters_differ(&again, state))
			break;
		*state = again;
	}
}

#define CHECK_SAME(field)                                                     \
	do {                                                                  \
		if (now.field != before->field)                               \
			FAIL("%s: %s was %lld and is %lld", what, #field,     \
			     (long long)before->field, (long long)now.field); \
	} while (0)

void state_check(const struct state *before, const char *what)
{
	struct state now = take(before->memory, before->bytes, before->fd);

	for (int i = 0; i < ATTEMPTS && counters_differ(&now, before); i++) {
		usleep(100000);
		now = take(before->memory, before->bytes, before->fd);
	}
	CHECK_SAME(file_bytes);
	CHECK_SAME(file_blocks);
	CHECK_SAME(file_sum);
	CHECK_SAME(smaps.size);
	CHECK_SAME(smaps.rss);
	CHECK_SAME(smaps.anonymous);
	CHECK_SAME(smaps.swap);
	CHECK_SAME(counters.anonymous);
	CHECK_SAME(counters.shared);
	CHECK_SAME(counters.committed);
	CHECK_SAME(counters.swap_free);
	CHECK_SAME(group_anonymous);
	CHECK_SAME(group_shared);
}
