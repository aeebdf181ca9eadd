/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must be as before when a call fails: the mappings of a region, the file and every counter.
 *
 * It is taken without touching the region, so that swapped-out pages stay out. Its bytes are checked by the test, which
 * knows them, afterwards.
 */
#ifndef STATE_H
#define STATE_H

#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "memory.h"

struct state {
	const void *memory;
	size_t bytes;
	int fd;
	struct memory_smaps smaps;
	struct counters counters;
	long long group_anonymous, group_shared;
	uint64_t file_bytes, file_blocks, file_sum;
};

/* fd may be -1: no file. */
void state_take(struct state *state, const void *memory, size_t bytes, int fd);

/* Ends the test if something differs; `what` names the call. Splits of mappings don't count. */
void state_check(const struct state *before, const char *what);

#endif
