#define _GNU_SOURCE
#include "child.h"

#include <sys/prctl.h>
#include <unistd.h>

int zerrow_spawn_in(posix_spawn_file_actions_t *actions, const char *folder) {
    return posix_spawn_file_actions_addchdir_np(actions, folder);
}

pid_t zerrow_fork(void) { return fork(); }

int zerrow_signal_with_parent(int signal) { return prctl(PR_SET_PDEATHSIG, signal); }
