/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * KernelZero: moves the anonymous memory of the calling process into a shared-memory file, without copying it.
 *
 * The device is /dev/kernelzero. Opening it gives no power over anything but the caller's own memory and the files whose
 * descriptors the caller holds, so a descriptor of it may be handed into a sandbox. Every call works on the memory of the
 * process that makes it, never on that of the process that opened the device.
 */
#ifndef _UAPI_KERNELZERO_H
#define _UAPI_KERNELZERO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Grows when a call changes its meaning. What is only added is told by the feature bits. */
#define KERNELZERO_ABI 1

/* kernelzero_info.features */
#define KERNELZERO_FEATURE_HUGE \
	(1ULL << 0) /* 2 MiB pages move whole, where address and offset are equal modulo 2 MiB */
#define KERNELZERO_FEATURE_SWAP (1ULL << 1) /* swapped-out pages move without being read back */
#define KERNELZERO_FEATURE_MUTATIONS \
	(1ULL << 2) /* a debug build, whose tests may break it on purpose: not for use */

/*
 * KERNELZERO_INFO: what this module is. `size` is the caller's sizeof(struct kernelzero_info); the module fills as many
 * bytes as both know and sets `size` to what it knows.
 */
struct kernelzero_info {
	__u32 size;
	__u32 abi; /* KERNELZERO_ABI of the module */
	__u64 features;
	__u64 ranges_max; /* ranges in one call */
	__u64 bytes_max; /* bytes in one call, all ranges together */
	char version[32]; /* of the module, NUL-terminated, for people */
};

/*
 * One range of the caller's memory. It may start and end anywhere in a page.
 *
 * `offset` is set by the call: where the range's first byte is in the file. It is equal to `address` modulo 4096. The rest
 * of the first and of the last page is zero in the file: no byte beside the range is published.
 */
struct kernelzero_range {
	__u64 address;
	__u64 bytes; /* 1 or more */
	__u64 offset; /* out */
};

/* How one 4 KiB page went into the file, if kernelzero_deanonymize.pages asks for it. */
enum kernelzero_page {
	KERNELZERO_MOVED = 1, /* the page itself */
	KERNELZERO_MOVED_HUGE = 2, /* the page itself, with the whole 2 MiB page it is part of */
	KERNELZERO_MOVED_SWAP = 3, /* its place on a swap device: nothing was read */
	KERNELZERO_HOLE = 4, /* never written: a hole in the file, reads as zeroes in both */
	/* Copied, because: */
	KERNELZERO_COPIED_EDGE = 16, /* the range covers only a part of the page */
	KERNELZERO_COPIED_SHARED =
		17, /* another process maps it too (fork, KSM), or its swap entry */
	KERNELZERO_COPIED_PINNED =
		18, /* somebody holds a reference: direct I/O, vmsplice, ptrace */
	KERNELZERO_COPIED_OTHER = 19, /* all else that cannot move; docs/kernelzero.md lists it */
};

/*
 * KERNELZERO_DEANONYMIZE: appends the ranges to the end of a file, in their order, and maps the file in their place.
 *
 * Afterwards the file holds the bytes, and the caller's memory reads as before. It is a private mapping of the file: what
 * the caller writes there later goes to a page of its own and never reaches the file. Whole pages of the ranges are
 * converted; the caller's memory beside a range, in its first and last page, is untouched and stays anonymous.
 * MADV_DONTNEED there brings back the published bytes, not zeroes: map fresh memory over a range before an allocator
 * gives it out again. It can't grow (mremap(2): EFAULT) nor be locked (mlock(2)).
 *
 * What was never written is a hole of the file (KERNELZERO_HOLE), and costs the caller nothing until it writes there: its
 * memory shows the kernel's zero page, or stays anonymous.
 *
 * Pages that were copied as KERNELZERO_COPIED_PINNED or KERNELZERO_COPIED_OTHER stay in the caller's memory as they are,
 * anonymous: what direct I/O in flight still writes to them arrives there, but not in the file.
 *
 * All or nothing: when the call fails, the caller's memory, its mappings, the file, its size and all limits' counters are
 * as before. (In one case mappings may have been split, with no effect that a program can see but their number: when the
 * kernel gets no memory for one of the last ones. That there would be too many is found out before the first.)
 *
 * The file: one of shared memory (memfd_create(2), or tmpfs), open for writing, without F_SEAL_WRITE,
 * F_SEAL_FUTURE_WRITE or F_SEAL_GROW. It grows by whole pages. With KERNELZERO_ALIGN_HUGE a range that holds a whole
 * 2 MiB page is placed so that it can move whole; the space skipped for that is a hole.
 *
 * Errors:
 *   EINVAL   unknown flags or size, no ranges, ranges that are empty, wrap round or overlap
 *            (two ranges may share a page: both get a copy of their part of it), or a range with the arguments of this
 *            call in its whole pages
 *   E2BIG    more ranges or bytes than kernelzero_info allows
 *   EFAULT   an argument can't be read or written, or is in memory that only its process can write to (memfd_secret(2),
 *            a device's); a range has a part where nothing is mapped, or broken memory
 *   EBADF    fd is no open file, or not open for writing
 *   EOPNOTSUPP  the file is no shared memory, or memory that can't be taken: of a file, shared, hugetlb, locked, a stack
 *            that grows, executable, wiped on fork, sealed (mseal(2)), a device's, watched by userfaultfd or by an mmu
 *            notifier
 *   EPERM    the file is sealed
 *   EACCES   a range is not readable, or the file is not open for reading
 *   EFBIG    the file would pass RLIMIT_FSIZE (no SIGXFSZ is sent) or the largest size of a file
 *   ENOSPC, EDQUOT  the file system is full, or its owner's quota
 *   ENOMEM   no memory, the control group's limit, the commit limit, or too many mappings: a call
 *            that needs new ones leaves 64 below vm.max_map_count
 *   EINTR    a fatal signal
 */
struct kernelzero_deanonymize {
	__u32 size; /* sizeof(struct kernelzero_deanonymize) */
	__s32 fd;
	__u32 flags; /* KERNELZERO_ALIGN_HUGE or 0 */
	__u32 ranges_count;
	__u64 ranges; /* address of struct kernelzero_range[ranges_count] */
	__u64 pages; /* address of __u8[], one enum kernelzero_page for each page that the ranges touch; or 0 */

	/* Set by a call that succeeds. In pages of 4 KiB, but for moved_huge_count. */
	__u64 moved_count;
	__u64 moved_huge_count; /* in pages of 2 MiB */
	__u64 moved_swap_count;
	__u64 hole_count;
	__u64 copied_edge_count;
	__u64 copied_shared_count;
	__u64 copied_pinned_count;
	__u64 copied_other_count;
	__u64 file_bytes; /* the file's new size */
};

#define KERNELZERO_ALIGN_HUGE (1U << 0)

#define KERNELZERO_IOCTL_TYPE  0xB7
#define KERNELZERO_INFO	       _IOWR(KERNELZERO_IOCTL_TYPE, 0x00, struct kernelzero_info)
#define KERNELZERO_DEANONYMIZE _IOWR(KERNELZERO_IOCTL_TYPE, 0x01, struct kernelzero_deanonymize)

#endif
