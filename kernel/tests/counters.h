/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's counters of memory: what a call must move from one to the other, and what must be back after a test. */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdbool.h>
#include <stddef.h>

/* Of the whole guest, in KiB. Exact once settled: the kernel keeps some of them apart for each processor. */
struct counters {
	long long anonymous; /* AnonPages */
	long long anonymous_huge; /* AnonHugePages */
	long long shared; /* Shmem */
	long long mapped; /* Mapped */
	long long committed; /* Committed_AS */
	long long swap_free; /* SwapFree */
	long long page_tables; /* PageTables */
};

void counters_take(struct counters *counters);

/*
 * Waits a few seconds until the counters are what they were, and until the control group "test" holds no memory. If they
 * don't become so, false and a text with what differs. For the harness, when no process of a test is left.
 */
bool counters_settle(const struct counters *before, char *text, size_t size);

/*
 * Makes the kernel add up the parts of the group's counters that it keeps for each processor. The calling process is in
 * the group; forks nothing, as a fork may change which group a page belongs to.
 */
void counters_flush(void);

/* Of the control group "test", in bytes. Exact after counters_flush(). */
long long counters_group(const char *key);

#endif
