// SPDX-License-Identifier: GPL-2.0-only
/* The device itself: what it says of the module, and that it gives an ordinary user no power. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

TEST(quick, the_module_tells_its_version_and_limits)
{
	struct kernelzero_info info = device_info();

	CHECK_EQ(info.size, sizeof(info));
	CHECK_EQ(info.abi, KERNELZERO_ABI);
	CHECK(info.features & KERNELZERO_FEATURE_HUGE);
	CHECK(info.features & KERNELZERO_FEATURE_SWAP);
	CHECK(info.version[0] &&
	      strnlen(info.version, sizeof(info.version)) < sizeof(info.version));
}

TEST(quick, a_build_for_use_has_no_switches_that_break_it)
{
	CHECK(!(device_info().features & KERNELZERO_FEATURE_MUTATIONS));
	CHECK_EQ(access("/sys/module/kernelzero/parameters/mutation", F_OK), -1);
	CHECK_EQ(access("/sys/module/kernelzero/parameters/fail_at", F_OK), -1);
}

/* Callers that know less than the module, and such that know more. */
TEST(quick, the_module_fills_what_both_know)
{
	char space[sizeof(struct kernelzero_info) + 64];
	struct kernelzero_info *info = (void *)space;

	memset(space, 0xee, sizeof(space));
	info->size = offsetof(struct kernelzero_info, ranges_max);
	CHECK_CALL(ioctl(device_fd(), KERNELZERO_INFO, info));
	CHECK_EQ(info->size, sizeof(*info));
	CHECK_EQ(info->abi, KERNELZERO_ABI);
	CHECK_EQ(info->ranges_max, 0xeeeeeeeeeeeeeeee);
	memset(space, 0xee, sizeof(space));
	info->size = sizeof(space);
	CHECK_CALL(ioctl(device_fd(), KERNELZERO_INFO, info));
	CHECK_EQ(info->size, sizeof(*info));
	CHECK_EQ((unsigned char)space[sizeof(*info)], 0xee);
	CHECK_EQ(ioctl(device_fd(), KERNELZERO_INFO, (void *)8), -1);
	CHECK_EQ(errno, EFAULT);
}

TEST(quick, other_requests_are_refused)
{
	char byte = 0;

	CHECK_EQ(ioctl(device_fd(), _IOWR(KERNELZERO_IOCTL_TYPE, 0x02, int), &byte), -1);
	CHECK_EQ(errno, ENOTTY);
	CHECK_EQ(read(device_fd(), &byte, 1), -1);
	CHECK_EQ(write(CHECK_CALL(open(DEVICE_PATH, O_RDWR)), &byte, 1), -1);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, device_fd(), 0) == MAP_FAILED);
}

static void become_ordinary(void)
{
	CHECK_CALL(setgroups(0, NULL));
	CHECK_CALL(setresgid(65534, 65534, 65534));
	CHECK_CALL(setresuid(65534, 65534, 65534));
	CHECK_CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

TEST(quick, an_ordinary_user_opens_the_device_and_publishes)
{
	struct stat status;

	CHECK_CALL(stat(DEVICE_PATH, &status));
	CHECK_EQ(status.st_mode & 0777, 0666);
	PROCESS_RUN({
		char *memory;
		int fd;

		become_ordinary();
		fd = file_new();
		memory = memory_small_filled(16 * PAGE, 120);
		device_publish(fd, memory, 16 * PAGE, NULL);
		file_check(fd, 0, 16 * PAGE, 120);
		memory_check(memory, 16 * PAGE, 120);
	});
}

/* In a sandbox nothing of /dev can be seen, but the descriptor works. */
TEST(quick, a_sandboxed_process_publishes_by_a_descriptor_it_was_handed)
{
	int fd = file_new();

	device_fd();
	PROCESS_RUN({
		CHECK_CALL(chroot("/modules"));
		CHECK_CALL(chdir("/"));
		become_ordinary();
		CHECK_EQ(open(DEVICE_PATH, O_RDONLY), -1);
		device_publish(fd, memory_small_filled(16 * PAGE, 121), 16 * PAGE, NULL);
	});
	file_check(fd, 0, 16 * PAGE, 121);
}

/* The descriptor is looked up in the table of the process that calls, not of the one that opened the device. */
TEST(quick, a_call_reaches_only_files_that_the_caller_has_open)
{
	int fd = file_new();

	PROCESS_RUN({
		char *memory = memory_small_filled(PAGE, 122);

		close(fd);
		CHECK_EQ(device_try(fd, memory, PAGE), EBADF);
		memory_check(memory, PAGE, 122);
	});
	CHECK_EQ(file_bytes(fd), 0);
}
