/* SPDX-License-Identifier: GPL-2.0-only */
<<<<<<< HEAD
/* A program of the machine that the guest runs on, with that machine's root as its own. */
#ifndef HOST_H
#define HOST_H

/*
 * Runs the program, an absolute path, with its arguments, on the host's file system, which is shared over 9p and can't be
 * written to. It has empty memory file systems on /tmp, /dev/shm and /run, and prints the lines about its tests itself.
 * Returns when it has ended.
 */
void host_run(char **arguments);
=======
/* A command of the host, run in the guest with the host's root file system, which the machine shares read-only. */
#ifndef HOST_H
#define HOST_H

/* Runs words: "NAME=value" for the environment, then the command with its arguments; ended by NULL. For process 1. */
void host_run(char **words);
>>>>>>> part/kmodule

#endif
