/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's settings, control groups and log, by the files of /proc and /sys. All need root. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>

#define GUEST_CGROUP "/sys/fs/cgroup"

/* Mounts what the tests need and loads the modules of the initial file system. For process 1; ends it on an error. */
void guest_start(void);

/* Ends the guest; does not return. */
void guest_stop(void) __attribute__((noreturn));

/* Writes text to an existing file, in one write. The first ends the test on an error, the second returns an errno. */
void guest_write(const char *path, const char *text);
int guest_try_write(const char *path, const char *text);
void guest_write_number(const char *path, long long number);

/* Reads a file whole and ends it with a NUL. Ends the test if it can't be read or does not fit; returns the bytes. */
size_t guest_read(const char *path, char *text, size_t size);

/* The number that a file begins with. */
long long guest_read_number(const char *path);

/* The number behind a key at the start of a line: "key 12", "key: 12 kB". -1 if the key isn't there. */
long long guest_read_field(const char *path, const char *key);

/* Writes a line into the kernel's log, for whoever reads it afterwards. */
void guest_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Asks the kernel to log the stacks of all tasks that wait in it and of all processors, if it has been built for that. */
void guest_log_tasks(void);

/* Takes all processors but the first out of use, until guest_reset(). */
void guest_use_one_processor(void);

/* Lets real-time tasks keep a processor for as long as they like, until guest_reset(). */
void guest_unleash_real_time(void);

/* Puts back all settings that tests change. */
void guest_reset(void);

/* A control group with all controllers under the root, and its removal once its processes are gone. */
void guest_make_group(const char *name);
void guest_remove_group(const char *name);

/* Loads a module file with parameters ("a=1 b=2"), or removes a module by its name; returns 0 or an errno. */
int guest_load_module(const char *path, const char *parameters);
int guest_remove_module(const char *name);

/* The kernel's version as 601 for 6.1, 612 for 6.12. */
int guest_kernel(void);

#endif
