/*
 * Children: the part of posix_spawn that is behind _GNU_SOURCE.
 */
#ifndef ZERROW_CHILD_H
#define ZERROW_CHILD_H

#include <spawn.h>
#include <sys/types.h>

/* The child starts in this folder. An error number, 0 for none. Source: posix_spawn_file_actions_addchdir_np(3). */
int zerrow_spawn_in(posix_spawn_file_actions_t *actions, const char *folder);

/* fork(2), which Swift does not import. For a process with one thread. */
pid_t zerrow_fork(void);

/* This process gets a signal when the thread that started it ends. 0, or -1 with errno. Source:
 * PR_SET_PDEATHSIG(2const). */
int zerrow_signal_with_parent(int signal);

#endif
