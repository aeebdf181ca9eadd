// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1 of the guest: runs the tests that the kernel's command line names, or after the word "host" a program of the
 * host, and ends the machine.
 *
 * The lines about the tests go to the second serial port; the first has the kernel's log.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "check.h"
#include "guest.h"
#include "harness.h"
#include "host.h"

int main(int argc, char **argv)
{
	int results;

	guest_start();
	/* All pages of this process at once, and small ones: it must not change the counters that it compares. */
	CHECK_CALL(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	CHECK_CALL(mlockall(MCL_CURRENT | MCL_FUTURE));
	results = CHECK_CALL(open("/dev/ttyS1", O_WRONLY | O_NOCTTY | O_CLOEXEC));
	CHECK_CALL(dup2(results, STDOUT_FILENO));
	if (argc > 2 && !strcmp(argv[1], "host"))
		host_run(argv + 2);
	else
		harness_run(argv + 1, argc - 1);
	guest_stop();
}
