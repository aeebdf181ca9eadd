// SPDX-License-Identifier: GPL-2.0-only
#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

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
}
