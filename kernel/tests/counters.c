// SPDX-License-Identifier: GPL-2.0-only
#include "counters.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "guest.h"

#define GROUP GUEST_CGROUP "/test"

static const struct {
	const char *key;
	size_t at;
} fields[] = {
	{"AnonPages", offsetof(struct counters, anonymous)},
	{"AnonHugePages", offsetof(struct counters, anonymous_huge)},
	{"Shmem", offsetof(struct counters, shared)},
	{"Mapped", offsetof(struct counters, mapped)},
	{"Committed_AS", offsetof(struct counters, committed)},
	{"SwapFree", offsetof(struct counters, swap_free)},
	{"PageTables", offsetof(struct counters, page_tables)},
};
#define FIELDS_COUNT (sizeof(fields) / sizeof(fields[0]))

/* What a control group without processes and files still holds, in memory.stat. */
static const char *const group_keys[] = {"anon", "shmem", "file_mapped", "anon_thp", "swapcached"};
#define GROUP_KEYS_COUNT (sizeof(group_keys) / sizeof(group_keys[0]))

static long long *field(const struct counters *counters, size_t i)
{
	return (long long *)((char *)counters + fields[i].at);
}

void counters_take(struct counters *counters)
{
	/* A read adds the processors' parts to the sums, and complains in the log about a sum below zero. */
	char text[256];

	guest_read("/proc/sys/vm/stat_refresh", text, sizeof(text));
	for (size_t i = 0; i < FIELDS_COUNT; i++)
		*field(counters, i) = guest_read_field("/proc/meminfo", fields[i].key);
}

void counters_flush(void)
{
	/* The kernel puts the addition off until enough has changed: some hundred pages that come and go. */
	size_t bytes = 1024 * 4096;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < bytes; i += 4096)
		memory[i] = 1;
	CHECK_CALL(munmap(memory, bytes));
}

/* The same for a process outside the group. */
static void flush_by_child(void)
{
	pid_t child = fork();

	if (child == 0) {
		guest_write(GROUP "/cgroup.procs", "0");
		counters_flush();
		_exit(0);
	}
	CHECK_CALL(waitpid(child, NULL, 0));
}

long long counters_group(const char *key)
{
	return guest_read_field(GROUP "/memory.stat", key);
}

/* Appends what differs to the text; true if nothing does. */
static bool same(const struct counters *before, char *text, size_t size)
{
	struct counters now;
	size_t used = 0;

	*text = 0;
	counters_take(&now);
	for (size_t i = 0; i < FIELDS_COUNT && used < size; i++)
		if (*field(&now, i) != *field(before, i))
			used += snprintf(text + used, size - used, " %s left %+lld KiB",
					 fields[i].key, *field(&now, i) - *field(before, i));
	for (size_t i = 0; i < GROUP_KEYS_COUNT && used < size; i++) {
		long long left = guest_read_field(GROUP "/memory.stat", group_keys[i]);

		if (left > 0)
			used += snprintf(text + used, size - used, " group's %s left %lld bytes",
					 group_keys[i], left);
	}
	return !*text;
}

bool counters_settle(const struct counters *before, char *text, size_t size)
{
	for (int attempt = 0; attempt < 60; attempt++) {
		if (same(before, text, size))
			return true;
		if (attempt % 10 == 0)
			flush_by_child();
		usleep(50000);
	}
	return false;
}
