/* SPDX-License-Identifier: GPL-2.0-only */
/* The device /dev/kernelzero, as the tests call it. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "../uapi/kernelzero.h"

#define DEVICE_PATH "/dev/kernelzero"

/* A descriptor of the device; the same for every call in a process. Children inherit it. */
int device_fd(void);

/* Closes it, if it is open; the next call opens it again. */
void device_close(void);

/* What KERNELZERO_INFO says. */
struct kernelzero_info device_info(void);

/*
 * A call with its results. device_call() fills `call` from the other members; tests that want to break a field set it
 * themselves and call device_ioctl().
 */
struct device_call {
	struct kernelzero_deanonymize call;
	struct kernelzero_range *ranges; /* the caller's */
	uint8_t *pages; /* the caller's, or NULL */
};

/* 0, or the errno of the call. */
int device_ioctl(struct kernelzero_deanonymize *call);
int device_call(struct device_call *call, int fd, unsigned int flags, size_t ranges_count);

/* De-anonymizes one range; 0 or an errno. The second ends the test on an error and returns the range's offset. */
int device_try(int fd, const void *address, size_t bytes);
uint64_t device_publish(int fd, const void *address, size_t bytes,
			struct kernelzero_deanonymize *counts);

/* The same with KERNELZERO_ALIGN_HUGE. */
uint64_t device_publish_huge(int fd, const void *address, size_t bytes,
			     struct kernelzero_deanonymize *counts);

/* Pages of 4 KiB that a call accounts for, in all ways. */
uint64_t device_pages_counted(const struct kernelzero_deanonymize *counts);

#endif
