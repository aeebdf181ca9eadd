// SPDX-License-Identifier: GPL-2.0-only
/* What may keep a call from ending: it waits for nobody who can take his time, nor tries what can't succeed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	CHECK_CALL(sched_setaffinity(0, sizeof(set), &set));
}

/* Keeps a processor for itself, and some new pages on the processor's list. Nothing else runs there until it ends. */
static _Noreturn void hog(struct process_steps *steps)
{
	struct sched_param priority = {.sched_priority = 50};
	char *memory;

	run_on(1);
	CHECK_CALL(sched_setscheduler(0, SCHED_FIFO, &priority));
	memory = memory_small_filled(3 * PAGE, 540);
	process_step(steps, 1);
	while (process_reached(steps) < 2)
		__builtin_ia32_pause();
	memory_check(memory, 3 * PAGE, 540);
	_exit(0);
}

TEST_WITHIN(quick, a_call_does_not_wait_for_a_busy_processor, 40)
{
	struct process_steps *steps = process_steps();
	struct kernelzero_deanonymize counts;
	int fd = file_new(), ends[2];
	struct iovec held;
	char *memory;
	pid_t child;

	guest_unleash_real_time();
	CHECK_CALL(pipe(ends));
	device_fd();
	run_on(0);
	child = process_start();
	if (child == 0)
		hog(steps);
	process_wait(steps, 1);
	memory = memory_small_filled(16 * PAGE, 541);
	held = (struct iovec){memory + 4 * PAGE, 2 * PAGE};
	/* A reference that may be one of a processor's list: the call asks all of them. */
	CHECK_EQ(vmsplice(ends[1], &held, 1, 0), 2 * PAGE);
	device_publish(fd, memory, 16 * PAGE, &counts);
	process_step(steps, 2);
	process_end(child);
	CHECK_EQ(counts.copied_pinned_count, 2);
	memory_check(memory, 16 * PAGE, 541);
	file_check(fd, 0, 16 * PAGE, 541);
}

/* Memory that its process can write to, and nobody else in its place: the answer could not be written to it. */
static void check_answer_refused(struct kernelzero_deanonymize *call, const char *what)
{
	char *memory = memory_small_filled(4 * PAGE, 542);
	struct kernelzero_range range = {(uintptr_t)memory, 4 * PAGE, 0};
	struct device_call good = {.ranges = &range};
	int fd = file_new(), found;

	good.pages = (uint8_t *)call;
	found = device_call(&good, fd, 0, 1);
	if (found != EFAULT)
		FAIL("%s: %s, not EFAULT", what, strerror(found));
	CHECK_EQ(file_bytes(fd), 0);
	CHECK(!(memory_page_entry(memory) & MEMORY_PAGE_OF_FILE));
	memory_check(memory, 4 * PAGE, 542);
	close(fd);
}

TEST(quick, answers_in_secret_memory_are_EFAULT)
{
	int fd = CHECK_CALL(syscall(SYS_memfd_secret, 0));
	void *secret;

	CHECK_CALL(ftruncate(fd, PAGE));
	secret = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(secret != MAP_FAILED);
	memset(secret, 0, PAGE);
	check_answer_refused(secret, "secret memory");
}

/* The registers of the machine's disk. */
TEST(quick, answers_in_the_memory_of_a_device_are_EFAULT)
{
	char path[96];
	int tried = 0;

	for (int slot = 0; slot < 32; slot++) {
		for (int number = 0; number < 6; number++) {
			void *device;
			int fd;

			snprintf(path, sizeof(path),
				 "/sys/bus/pci/devices/0000:00:%02x.0/resource%d", slot, number);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd < 0)
				continue;
			device = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			close(fd);
			if (device == MAP_FAILED)
				continue;
			check_answer_refused(device, path);
			tried++;
		}
	}
	CHECK_AT_LEAST(tried, 1);
}
