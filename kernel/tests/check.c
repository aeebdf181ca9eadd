// SPDX-License-Identifier: GPL-2.0-only
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"

static int report_fd = STDERR_FILENO;

void check_report_to(int fd)
{
	report_fd = fd;
}

void check_fail(const char *file, int line, const char *format, ...)
{
	int error = errno; /* for %m */
	char text[480];
	int bytes = snprintf(text, sizeof(text), "%s:%d: ", file, line);
	va_list arguments;

	va_start(arguments, format);
	errno = error;
	bytes += vsnprintf(text + bytes, sizeof(text) - bytes - 1, format, arguments);
	va_end(arguments);
	if (bytes > (int)sizeof(text) - 2)
		bytes = sizeof(text) - 2;
	text[bytes++] = '\n';
	/* Process 1 takes the machine with it, and with that what is on its way to the serial ports. */
	if (getpid() == 1)
		guest_log("init: %s", text);
	/* One write: lines of several processes don't mix. */
	if (write(report_fd, text, bytes) != bytes)
		_exit(2);
	_exit(1);
}
