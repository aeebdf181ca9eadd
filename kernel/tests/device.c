// SPDX-License-Identifier: GPL-2.0-only
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"

static int device = -1;

int device_fd(void)
{
	if (device < 0)
		device = CHECK_CALL(open(DEVICE_PATH, O_RDONLY | O_CLOEXEC));
	return device;
}

void device_close(void)
{
	if (device >= 0)
		CHECK_CALL(close(device));
	device = -1;
}

struct kernelzero_info device_info(void)
{
	struct kernelzero_info info = {.size = sizeof(info)};

	CHECK_CALL(ioctl(device_fd(), KERNELZERO_INFO, &info));
	return info;
}

int device_ioctl(struct kernelzero_deanonymize *call)
{
	int fd = device_fd();

	return ioctl(fd, KERNELZERO_DEANONYMIZE, call) ? errno : 0;
}

int device_call(struct device_call *call, int fd, unsigned int flags, size_t ranges_count)
{
	call->call = (struct kernelzero_deanonymize){
		.size = sizeof(call->call),
		.fd = fd,
		.flags = flags,
		.ranges_count = ranges_count,
		.ranges = (uintptr_t)call->ranges,
		.pages = (uintptr_t)call->pages,
	};
	return device_ioctl(&call->call);
}

int device_try(int fd, const void *address, size_t bytes)
{
	struct kernelzero_range range = {.address = (uintptr_t)address, .bytes = bytes};
	struct device_call call = {.ranges = &range};

	return device_call(&call, fd, 0, 1);
}

static uint64_t publish(int fd, const void *address, size_t bytes, unsigned int flags,
			struct kernelzero_deanonymize *counts)
{
	struct kernelzero_range range = {
		.address = (uintptr_t)address, .bytes = bytes, .offset = UINT64_MAX};
	struct device_call call = {.ranges = &range};
	int error = device_call(&call, fd, flags, 1);

	if (error)
		FAIL("KERNELZERO_DEANONYMIZE of %zu bytes: %s", bytes, strerror(error));
	CHECK_EQ(range.offset % 4096, (uintptr_t)address % 4096);
	if (counts)
		*counts = call.call;
	return range.offset;
}

uint64_t device_publish(int fd, const void *address, size_t bytes,
			struct kernelzero_deanonymize *counts)
{
	return publish(fd, address, bytes, 0, counts);
}

uint64_t device_publish_huge(int fd, const void *address, size_t bytes,
			     struct kernelzero_deanonymize *counts)
{
	return publish(fd, address, bytes, KERNELZERO_ALIGN_HUGE, counts);
}

uint64_t device_pages_counted(const struct kernelzero_deanonymize *counts)
{
	return counts->moved_count + counts->moved_huge_count * 512 + counts->moved_swap_count +
	       counts->hole_count + counts->copied_edge_count + counts->copied_shared_count +
	       counts->copied_pinned_count + counts->copied_other_count;
}
