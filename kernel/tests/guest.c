// SPDX-License-Identifier: GPL-2.0-only
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"
#include "disk.h"

static const struct {
	const char *path, *text;
} settings[] = {
	{"/sys/kernel/mm/transparent_hugepage/enabled", "always"},
	{"/sys/kernel/mm/transparent_hugepage/defrag", "madvise"},
	{"/sys/kernel/mm/transparent_hugepage/shmem_enabled", "never"},
	/* Collapses of small pages would come at any time and change what a test has set up. */
	{"/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "10000000"},
	{"/proc/sys/vm/max_map_count", "65530"},
	{"/proc/sys/vm/overcommit_memory", "0"},
	{"/proc/sys/vm/overcommit_ratio", "50"},
	{"/proc/sys/vm/nr_hugepages", "0"},
	{"/proc/sys/vm/unprivileged_userfaultfd", "1"},
	{"/sys/kernel/mm/ksm/run", "0"},
	{"/proc/sys/vm/page-cluster", "3"},
	{"/proc/sys/kernel/sched_rt_runtime_us", "950000"},
};

static void mount_at(const char *type, const char *path)
{
	mkdir(path, 0755);
	if (mount(type, path, type, 0, NULL) != 0 && errno != EBUSY)
		FAIL("mount %s: %m", path);
}

/* The list has a line "file parameters..." for each module, dependencies first. */
static void load_modules(void)
{
	char list[4096];

	guest_read("/modules/order", list, sizeof(list));
	for (char *rest = list, *line; (line = strsep(&rest, "\n")) && *line;) {
		char path[128], *parameters = strchr(line, ' ');
		int error;

		if (parameters)
			*parameters++ = 0;
		snprintf(path, sizeof(path), "/modules/%s", line);
		error = guest_load_module(path, parameters ? parameters : "");
		if (error)
			FAIL("module %s: %s", line, strerror(error));
	}
}

void guest_start(void)
{
	mount_at("devtmpfs", "/dev");
	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("tmpfs", "/tmp");
	mount_at("debugfs", "/sys/kernel/debug");
	mount_at("cgroup2", GUEST_CGROUP);
	guest_write(GUEST_CGROUP "/cgroup.subtree_control", "+memory");
	guest_write("/proc/sys/kernel/printk", "8");
	guest_write("/proc/sys/kernel/printk_ratelimit", "0");
	guest_write("/proc/sys/kernel/hung_task_timeout_secs", "40");
	/* Tests let processes die of signals: the kernel need not mention it. */
	guest_write("/proc/sys/debug/exception-trace", "0");
	load_modules();
}

void guest_stop(void)
{
	sync();
	reboot(RB_POWER_OFF);
	_exit(1); /* the kernel panics: the machine ends in any case */
}

int guest_try_write(const char *path, const char *text)
{
	ssize_t bytes = strlen(text), wrote;
	int error, fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	wrote = write(fd, text, bytes);
	error = wrote == bytes ? 0 : wrote < 0 ? errno : EIO;
	close(fd);
	return error;
}

void guest_write(const char *path, const char *text)
{
	int error = guest_try_write(path, text);

	if (error)
		FAIL("writing '%s' to %s: %s", text, path, strerror(error));
}

void guest_write_number(const char *path, long long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", number);
	guest_write(path, text);
}

size_t guest_read(const char *path, char *text, size_t size)
{
	size_t have = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %m", path);
	for (;;) {
		ssize_t bytes = read(fd, text + have, size - have);

		if (bytes < 0)
			FAIL("%s: %m", path);
		if (bytes == 0)
			break;
		have += bytes;
		if (have == size)
			FAIL("%s has more than %zu bytes", path, size);
	}
	close(fd);
	text[have] = 0;
	return have;
}

long long guest_read_number(const char *path)
{
	char text[4096];

	guest_read(path, text, sizeof(text));
	return strtoll(text, NULL, 0);
}

long long guest_read_field(const char *path, const char *key)
{
	static char text[64 * 1024];
	size_t key_bytes = strlen(key);

	guest_read(path, text, sizeof(text));
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		if (!strncmp(line, key, key_bytes) && strchr(": \t", line[key_bytes]) &&
		    line[key_bytes])
			return strtoll(line + key_bytes + 1, NULL, 0);
	return -1;
}

void guest_log(const char *format, ...)
{
	char text[200];
	va_list arguments;
	int bytes, fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	va_start(arguments, format);
	bytes = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	CHECK_EQ(write(fd, text, bytes), bytes);
	close(fd);
}

void guest_log_tasks(void)
{
	guest_try_write("/proc/sysrq-trigger", "w");
	guest_try_write("/proc/sysrq-trigger", "l");
}

/* The first processor can't be taken out of use and has no such file; no machine here has more than two. */
#define SECOND_PROCESSOR "/sys/devices/system/cpu/cpu1/online"

void guest_use_one_processor(void)
{
	if (access(SECOND_PROCESSOR, F_OK) == 0)
		guest_write(SECOND_PROCESSOR, "0");
}

/* What newer kernels have for ordinary tasks beside a real-time one, even where throttling is off. */
#define FAIR_SERVER "/sys/kernel/debug/sched/fair_server/cpu1/runtime"

void guest_unleash_real_time(void)
{
	guest_write("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	guest_try_write(FAIR_SERVER, "0");
}

void guest_reset(void)
{
	disk_swap_stop();
	guest_try_write(FAIR_SERVER, "50000000");
	if (access(SECOND_PROCESSOR, F_OK) == 0)
		guest_write(SECOND_PROCESSOR, "1");
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		guest_write(settings[i].path, settings[i].text);
}

void guest_make_group(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), GUEST_CGROUP "/%s", name);
	CHECK_CALL(mkdir(path, 0755));
}

void guest_remove_group(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), GUEST_CGROUP "/%s", name);
	/* Its last process may be a zombie for a moment still. */
	for (int attempt = 0; rmdir(path) != 0; attempt++) {
		if (errno != EBUSY || attempt == 500)
			FAIL("rmdir %s: %m", path);
		usleep(10000);
	}
}

int guest_load_module(const char *path, const char *parameters)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	error = syscall(SYS_finit_module, fd, parameters, 0) ? errno : 0;
	close(fd);
	return error;
}

int guest_remove_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? errno : 0;
}

int guest_kernel(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	CHECK_CALL(uname(&name));
	CHECK_EQ(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major * 100 + minor;
}
