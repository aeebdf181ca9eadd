// SPDX-License-Identifier: GPL-2.0-only
#include "process.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct process_steps {
	atomic_int reached;
};

pid_t process_start(void)
{
	return CHECK_CALL(fork());
}

void process_end(pid_t child)
{
	int status;

	CHECK_CALL(waitpid(child, &status, 0));
	if (WIFSIGNALED(status))
		FAIL("a process of the test was killed by signal %d", WTERMSIG(status));
	/* The child has said why. */
	if (WEXITSTATUS(status))
		_exit(1);
}

void process_end_killed(pid_t child)
{
	int status;

	CHECK_CALL(waitpid(child, &status, 0));
	if (!WIFSIGNALED(status))
		FAIL("a process that should be killed ended with %d", WEXITSTATUS(status));
	CHECK_EQ(WTERMSIG(status), SIGKILL);
}

struct process_steps *process_steps(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

void process_step(struct process_steps *steps, int number)
{
	atomic_store(&steps->reached, number);
}

void process_wait(struct process_steps *steps, int number)
{
	while (atomic_load(&steps->reached) < number)
		usleep(500);
}

int process_reached(const struct process_steps *steps)
{
	return atomic_load(&steps->reached);
}
