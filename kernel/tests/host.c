// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command of the host in the guest, on the host's root file system, read-only. The command's lines about its tests
 * go where the harness's go.
 */
#include "host.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

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
	/* Not by chroot(2) alone: in a process whose root isn't its namespace's nobody can make a user namespace. */
	CHECK_CALL(mount(".", "/", NULL, MS_MOVE, NULL));
	CHECK_CALL(chroot("."));
	CHECK_CALL(chdir("/"));
}

void host_run(char **words)
{
	char *environment[16] = {"HOME=/tmp", "LANG=C.UTF-8", NULL};
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
		printf("FAIL command ended with %d\n",
		       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	printf("end\n");
	fflush(stdout);
}
