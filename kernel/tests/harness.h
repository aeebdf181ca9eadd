/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tests of one guest: how they are declared, and how they run.
 *
 * Each test runs in a process and a control group of its own, with a time limit. When it ends, whatever it left running is
 * killed, and the counters of the kernel must be back where they were: a test that passes but leaks is a failed one.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>

struct test {
	const char *suite;
	const char *name; /* the behaviour it keeps */
	unsigned int
		seconds; /* until it counts as hung; generous, as the machine is emulated and shares its host */
	void (*body)(void);
	struct test *next;
};

void harness_add(struct test *test);

/*
 * Runs all tests whose suite or name is among the words, in the order of their declaration. Returns how many failed. A
 * word "-name" leaves out the test of that name; the word "seconds=20" gives all of them another time limit,
 * and "patience=4" each four times its own.
 */
int harness_run(char **words, int words_count);

/* Words for the line of the running test: a figure it measured. */
void harness_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define TEST_WITHIN(suite_, name_, seconds_)                                     \
	static void name_(void);                                                 \
	static struct test name_##_test = {#suite_, #name_, seconds_, name_, 0}; \
	__attribute__((constructor)) static void name_##_add(void)               \
	{                                                                        \
		harness_add(&name_##_test);                                      \
	}                                                                        \
	static void name_(void)

/* Usage: TEST(suite, name) { ... } */
#define TEST(suite_, name_) TEST_WITHIN(suite_, name_, 90)

#endif
