/* SPDX-License-Identifier: GPL-2.0-only */
/* Other processes of a test, and the order of what happens between them. */
#ifndef PROCESS_H
#define PROCESS_H

#include <sys/types.h>

#include "check.h"

/* Forks; in the child it returns 0. A failed check in the child is a failed test: the parent sees it in process_end(). */
pid_t process_start(void);

/* Waits for a child and ends the test if it did not end well. */
void process_end(pid_t child);

/* Waits for a child that was or will be killed; ends the test if it ended otherwise. */
void process_end_killed(pid_t child);

/* Runs a block in a child and waits for its good end. */
#define PROCESS_RUN(...)                        \
	do {                                    \
		pid_t child_ = process_start(); \
		if (child_ == 0) {              \
			__VA_ARGS__;            \
			_exit(0);               \
		}                               \
		process_end(child_);            \
	} while (0)

/*
 * Steps that processes, or threads, go in turn: each waits for the number it needs. In shared memory, made before the fork.
 */
struct process_steps;
struct process_steps *process_steps(void);
void process_step(struct process_steps *steps, int number); /* says that it is reached */
void process_wait(struct process_steps *steps, int number); /* waits until it is */
int process_reached(const struct process_steps *steps);

#endif
