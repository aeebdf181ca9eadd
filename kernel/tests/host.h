/* SPDX-License-Identifier: GPL-2.0-only */
/* A command of the host, run in the guest with the host's root file system, which the machine shares read-only. */
#ifndef HOST_H
#define HOST_H

/* Runs words: "NAME=value" for the environment, then the command with its arguments; ended by NULL. For process 1. */
void host_run(char **words);

#endif
