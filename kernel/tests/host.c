// SPDX-License-Identifier: GPL-2.0-only
<<<<<<< HEAD
#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
=======
/*
 * Runs a command of the host in the guest, on the host's root file system, read-only. The command's lines about its tests
 * go where the harness's go.
 */
#include "host.h"

#include <stdio.h>
#include <string.h>
>>>>>>> part/kmodule
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

<<<<<<< HEAD
#define ROOT "/root"

static void mount_new(const char *type, const char *path, const char *options)
{
	mkdir(path, 0755);
	CHECK_CALL(mount(type, path, type, 0, options));
}

/* The host's root takes the place of the initial file system, as a mount of its own: sandboxes change their root. */
static void enter_root(void)
{
	CHECK_CALL(mount("host", ROOT, "9p", MS_RDONLY,
			 "trans=virtio,version=9p2000.L,msize=512000,cache=loose"));
	mount_new("devtmpfs", ROOT "/dev", NULL);
	mount_new("tmpfs", ROOT "/dev/shm", "mode=1777");
	mount_new("devpts", ROOT "/dev/pts", "ptmxmode=0666");
	mount_new("proc", ROOT "/proc", NULL);
	mount_new("sysfs", ROOT "/sys", NULL);
	mount_new("tmpfs", ROOT "/run", "mode=755");
	mount_new("tmpfs", ROOT "/tmp", "mode=1777");
	CHECK_CALL(chdir(ROOT));
	CHECK_CALL(mount(".", "/", NULL, MS_MOVE, NULL));
	CHECK_CALL(chroot("."));
	CHECK_CALL(chdir("/"));
}

void host_run(char **arguments)
{
	pid_t pid = fork(), ended;
	int status;

	if (pid == 0) {
		check_report_to(STDOUT_FILENO);
		enter_root();
		clearenv();
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		dup2(STDOUT_FILENO, STDERR_FILENO);
		execv(arguments[0], arguments);
		FAIL("%s: %m\n", arguments[0]);
	}
	CHECK_CALL(pid);
	/* This is process 1: orphans end here, too. */
	do
		ended = wait(&status);
	while (ended != pid && (ended > 0 || errno == EINTR));
=======
static void mount_in(const char *type, const char *path)
{
	CHECK_CALL(mount(type, path, type, 0, strcmp(type, "tmpfs") ? NULL : "mode=1777"));
}

static void enter_host(void)
{
	CHECK_CALL(mount("host", "/root", "9p", MS_RDONLY,
			 "trans=virtio,version=9p2000.L,msize=512000,cache=loose"));
	CHECK_CALL(chdir("/root"));
	mount_in("proc", "proc");
	mount_in("sysfs", "sys");
	mount_in("devtmpfs", "dev");
	mount_in("tmpfs", "tmp");
	mount_in("tmpfs", "run");
	mkdir("dev/shm", 01777);
	mount_in("tmpfs", "dev/shm");
	mount_in("cgroup2", "sys/fs/cgroup");
	CHECK_CALL(chroot("."));
}

void host_run(char **words)
{
	char *environment[16] = { "HOME=/tmp", "LANG=C.UTF-8", NULL };
	int variables = 2, status;
	pid_t child;

	for (; *words && strchr(*words, '=') && variables < 15; words++)
		environment[variables++] = *words;
	child = fork();
	if (child == 0) {
		enter_host();
		execve(words[0], words, environment);
		FAIL("%s: %m", words[0]);
	}
	CHECK_CALL(waitpid(child, &status, 0));
	if (status)
		printf("FAIL command ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	printf("end\n");
	fflush(stdout);
>>>>>>> part/kmodule
}
