// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process 1 of the guest: runs the tests that the kernel's command line names and ends the machine.
 *
 * The lines about the tests go to the second serial port; the first has the kernel's log.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "guest.h"
#include "harness.h"

int main(int argc, char **argv)
{
	int results;

	guest_start();
	/* All pages of this process at once: it must not change the counters that it compares. */
	CHECK_CALL(mlockall(MCL_CURRENT | MCL_FUTURE));
	results = CHECK_CALL(open("/dev/ttyS1", O_WRONLY | O_NOCTTY | O_CLOEXEC));
	CHECK_CALL(dup2(results, STDOUT_FILENO));
	harness_run(argv + 1, argc - 1);
	guest_stop();
}
