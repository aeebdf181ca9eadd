/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks that end a test, or a child process of it, with words about what was found.
 *
 * A check that fails writes one line to the harness and ends the process with status 1; the parent, which waits for its
 * children through process.h, ends then as well.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>

/* Ends the process as failed. Async-signal-safe but for the formatting. */
void check_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

/* Where check_fail() writes; the harness sets it before the test starts. */
void check_report_to(int fd);

#define FAIL(...) check_fail(__FILE_NAME__, __LINE__, __VA_ARGS__)

#define CHECK(condition)                                \
	do {                                            \
		if (!(condition))                       \
			FAIL("not so: %s", #condition); \
	} while (0)

#define CHECK_EQ(found, expected)                                                                \
	do {                                                                                     \
		long long found_ = (long long)(found), expected_ = (long long)(expected);        \
		if (found_ != expected_)                                                         \
			FAIL("%s is %lld, not %s = %lld", #found, found_, #expected, expected_); \
	} while (0)

#define CHECK_AT_LEAST(found, expected)                                                    \
	do {                                                                               \
		long long found_ = (long long)(found), expected_ = (long long)(expected);  \
		if (found_ < expected_)                                                    \
			FAIL("%s is %lld, less than %s = %lld", #found, found_, #expected, \
			     expected_);                                                   \
	} while (0)

#define CHECK_AT_MOST(found, expected)                                                     \
	do {                                                                               \
		long long found_ = (long long)(found), expected_ = (long long)(expected);  \
		if (found_ > expected_)                                                    \
			FAIL("%s is %lld, more than %s = %lld", #found, found_, #expected, \
			     expected_);                                                   \
	} while (0)

/* For system calls: the value, if it is not -1. */
#define CHECK_CALL(call)                       \
	({                                     \
		long value_ = (long)(call);    \
		if (value_ == -1)              \
			FAIL("%s: %m", #call); \
		value_;                        \
	})

#endif
