// SPDX-License-Identifier: GPL-2.0-only
#include "state.h"

#include <unistd.h>

#include "check.h"
#include "file.h"

/* Kernel threads and other processors make the guest's counters differ for a moment. */
#define ATTEMPTS 40

struct state state_take(const void *memory, size_t bytes, int fd)
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
	state.group_anonymous = counters_group("anon");
	state.group_shared = counters_group("shmem");
	counters_take(&state.counters);
	return state;
}

#define CHECK_SAME(field)                                                                          \
	do {                                                                                       \
		if (now.field != before->field)                                                    \
			FAIL("%s: %s was %lld and is %lld", what, #field,                          \
			     (long long)before->field, (long long)now.field);                      \
	} while (0)

static int counters_differ(const struct state *now, const struct state *before)
{
	return now->counters.anonymous != before->counters.anonymous ||
	       now->counters.shared != before->counters.shared ||
	       now->counters.committed != before->counters.committed ||
	       now->counters.swap_free != before->counters.swap_free ||
	       now->group_anonymous != before->group_anonymous ||
	       now->group_shared != before->group_shared;
}

void state_check(const struct state *before, const char *what)
{
	struct state now = state_take(before->memory, before->bytes, before->fd);

	for (int i = 0; i < ATTEMPTS && counters_differ(&now, before); i++) {
		usleep(20000);
		now = state_take(before->memory, before->bytes, before->fd);
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
