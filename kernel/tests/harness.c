// SPDX-License-Identifier: GPL-2.0-only
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "counters.h"
#include "guest.h"

static struct test *first_test;
static struct test **last_test = &first_test;
static int report_pipe[2];

/* Another time limit for all tests; 0: their own. And how many times that, on a machine that is slow. */
static unsigned int seconds_limit;
static unsigned int seconds_factor = 1;

/* Constructors run in the order of the files on the linker's command line, and in a file from top to bottom. */
void harness_add(struct test *test)
{
	*last_test = test;
	last_test = &test->next;
}

void harness_note(const char *format, ...)
{
	char text[480];
	va_list arguments;
	int bytes;

	va_start(arguments, format);
	bytes = vsnprintf(text, sizeof(text) - 1, format, arguments);
	va_end(arguments);
	if (bytes > (int)sizeof(text) - 2)
		bytes = sizeof(text) - 2;
	text[bytes++] = '\n';
	CHECK_EQ(write(report_pipe[1], text, bytes), bytes);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* The child's side: joins its control group and runs the test. */
static _Noreturn void run_body(const struct test *test)
{
	check_report_to(report_pipe[1]);
	setpgid(0, 0);
	/* Process 1 has small pages alone. */
	CHECK_CALL(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	guest_write(GUEST_CGROUP "/test/cgroup.procs", "0");
	test->body();
	_exit(0);
}

/* Waits for the test's process. Returns its wait status, or -1 if the time was up. */
static int wait_within(pid_t pid, unsigned int seconds)
{
	int status;
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	int ready = poll(&ended, 1, seconds * 1000);

	close(pidfd);
	if (ready <= 0)
		return -1;
	waitpid(pid, &status, 0);
	return status;
}

/* Kills all processes of the test's control group. False if some can't be killed. */
static bool kill_group(void)
{
	double until = seconds_now() + 10;

	guest_write(GUEST_CGROUP "/test/cgroup.kill", "1");
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (guest_read_field(GUEST_CGROUP "/test/cgroup.events", "populated") == 0)
			return true;
		if (seconds_now() > until)
			return false;
		usleep(10000);
	}
}

/* Reads what the test's processes wrote and makes one line of it. */
static void read_report(char *text, size_t size)
{
	ssize_t bytes = read(report_pipe[0], text, size - 1);

	text[bytes > 0 ? bytes : 0] = 0;
	for (char *at = text; *at; at++)
		if (*at == '\n')
			*at = at[1] ? ';' : 0;
}

/* What is wrong with a test that ended with the status; empty if nothing is. */
static void judge(int status, unsigned int seconds, char *text, size_t size)
{
	char report[1024];

	read_report(report, sizeof(report));
	if (status == -1)
		snprintf(text, size, "still running after %u s %s", seconds, report);
	else if (WIFSIGNALED(status))
		snprintf(text, size, "killed by signal %d %s", WTERMSIG(status), report);
	else if (WEXITSTATUS(status) != 0)
		snprintf(text, size, "%s", *report ? report : "ended without a word");
	else
		snprintf(text, size, "%s", report);
}

/* Runs one test and prints its line. Returns false if it failed; *usable becomes false if the guest can't go on. */
static bool run_test(const struct test *test, bool *usable)
{
	char text[1400], drift[400] = "";
	struct counters before;
	double start = seconds_now();
	unsigned int seconds = (seconds_limit ? seconds_limit : test->seconds) * seconds_factor;
	pid_t pid;
	int status;
	bool ok;

	printf("run %s\n", test->name);
	fflush(stdout);
	guest_log("kernelzero test: %s\n", test->name);
	guest_reset();
	guest_make_group("test");
	counters_take(&before);
	pid = fork();
	if (pid == 0)
		run_body(test);
	status = wait_within(pid, seconds);
	if (status == -1)
		guest_log_tasks();
	*usable = kill_group();
	judge(status, seconds, text, sizeof(text));
	ok = *usable && status == 0;
	if (!*usable)
		snprintf(drift, sizeof(drift), " a process of it can't be killed");
	else if (ok && !counters_settle(&before, drift, sizeof(drift)))
		ok = false;
	if (*usable)
		guest_remove_group("test");
	printf("%s %s %.1f s%s%s%s\n", ok ? "ok" : "FAIL", test->name, seconds_now() - start,
	       *text || *drift ? ": " : "", text, drift);
	fflush(stdout);
	return ok;
}

int harness_run(char **words, int words_count)
{
	int failed = 0, ran = 0;
	bool usable = true;

	CHECK_CALL(pipe2(report_pipe, O_CLOEXEC));
	CHECK_CALL(fcntl(report_pipe[0], F_SETFL, O_NONBLOCK));
	for (int i = 0; i < words_count; i++)
		if (!strncmp(words[i], "seconds=", 8))
			seconds_limit = atoi(words[i] + 8);
	for (int i = 0; i < words_count; i++)
		if (!strncmp(words[i], "patience=", 9))
			seconds_factor = atoi(words[i] + 9);
	for (const struct test *test = first_test; test && usable; test = test->next) {
		bool wanted = false, left_out = false;

		for (int i = 0; i < words_count; i++) {
			wanted |= !strcmp(words[i], test->suite) || !strcmp(words[i], test->name);
			left_out |= words[i][0] == '-' && !strcmp(words[i] + 1, test->name);
		}
		if (!wanted || left_out)
			continue;
		ran++;
		failed += !run_test(test, &usable);
	}
	printf("%s %d\n", usable ? "end" : "abandoned", ran);
	fflush(stdout);
	return failed;
}
