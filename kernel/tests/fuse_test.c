// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile FUSE server against a call whose arguments are in a page of its file.
 *
 * The server has the kernel write the page back while the call runs, and does not answer: whoever marks the page as written
 * to waits for it, and no signal helps. The caller may wait so, as for any file of such a server, but not under its locks.
 * For a module built with KERNELZERO_DEBUG=1, which can be made to sleep where the server's moment is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "device.h"
#include "file.h"
#include "guest.h"
#include "harness.h"
#include "memory.h"
#include "process.h"

#define MUTATION "/sys/module/kernelzero/parameters/mutation"

/* 1: the publisher calls; 2: it has its answer. */
static struct process_steps *steps;

static int device;
/* Whether the server answers a write, and whether one waits for its answer. */
static atomic_bool holds, is_held;

static void reply(uint64_t request, int error, const void *data, size_t bytes)
{
	static char buffer[PAGE + sizeof(struct fuse_out_header)];
	struct fuse_out_header *out = (void *)buffer;

	*out = (struct fuse_out_header){sizeof(*out) + bytes, error, request};
	if (bytes)
		memcpy(buffer + sizeof(*out), data, bytes);
	if (write(device, buffer, out->len) < 0 && errno != ENOENT)
		FAIL("FUSE: %m");
}

/* The root and one file of a page. */
static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.mode = node == 1 ? S_IFDIR | 0777 : S_IFREG | 0666,
		.nlink = 1,
		.size = node == 1 ? 0 : PAGE,
		.blocks = 8,
		.blksize = PAGE,
	};
}

static void answer_write(const struct fuse_in_header *in)
{
	const struct fuse_write_in *write = (const void *)(in + 1);
	struct fuse_write_out out = {.size = write->size};

	atomic_store(&is_held, atomic_load(&holds));
	while (atomic_load(&holds))
		usleep(1000);
	atomic_store(&is_held, false);
	reply(in->unique, 0, &out, sizeof(out));
}

static void answer(const struct fuse_in_header *in)
{
	static const char zeroes[PAGE];
	struct fuse_init_out init = {
		.major = 7, .minor = 31, .max_write = 65536, .max_readahead = 4096};
	struct fuse_entry_out entry = {
		.nodeid = 2, .attr_valid = 1000, .entry_valid = 1000, .attr = attributes(2)};
	struct fuse_attr_out about = {.attr_valid = 1000, .attr = attributes(in->nodeid)};
	struct fuse_open_out opened = {.fh = 1};
	const struct fuse_read_in *read = (const void *)(in + 1);

	switch (in->opcode) {
	case FUSE_INIT:
		return reply(in->unique, 0, &init, sizeof(init));
	case FUSE_LOOKUP:
		return reply(in->unique, 0, &entry, sizeof(entry));
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		return reply(in->unique, 0, &about, sizeof(about));
	case FUSE_OPEN:
		return reply(in->unique, 0, &opened, sizeof(opened));
	case FUSE_READ:
		return reply(in->unique, 0, zeroes, read->size > PAGE ? PAGE : read->size);
	case FUSE_WRITE:
		return answer_write(in);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	}
	reply(in->unique, -ENOSYS, NULL, 0);
}

static void *serve(void *argument)
{
	static char buffer[1 << 18];

	while (read(device, buffer, sizeof(buffer)) > 0)
		answer((void *)buffer);
	return argument;
}

/* Has the kernel write the page back and drop it: with the page locked it waits for the server's answer. */
static void *invalidate(void *argument)
{
	struct {
		struct fuse_out_header header;
		struct fuse_notify_inval_inode_out inode;
	} notice = {{sizeof(notice), FUSE_NOTIFY_INVAL_INODE, 0}, {2, 0, 0}};

	return write(device, &notice, sizeof(notice)) < 0 ? argument : NULL;
}

static _Noreturn void publish(int fd)
{
	char *memory = memory_small_filled(16 * PAGE, 550);
	int file = CHECK_CALL(open("/root/f", O_RDWR | O_CLOEXEC));
	struct kernelzero_range range = {(uintptr_t)memory, 16 * PAGE, 0};
	struct kernelzero_deanonymize *call =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	CHECK(call != MAP_FAILED);
	*call = (struct kernelzero_deanonymize){
		.size = sizeof(*call), .fd = fd, .ranges_count = 1, .ranges = (uintptr_t)&range};
	process_step(steps, 1);
	/* The answer may be lost with the page: what is in the file is the server's affair. */
	CHECK_EQ(device_ioctl(call), 0);
	process_step(steps, 2);
	_exit(0);
}

/* The switch that this test is to notice sleeps as well. */
static bool pause_calls(void)
{
	char now[64];

	if (guest_read(MUTATION, now, sizeof(now)) > 1)
		return false;
	guest_write(MUTATION, "pause_held");
	return true;
}

TEST_WITHIN(faults, a_fuse_server_cannot_keep_others_from_the_file, 60)
{
	char options[128];
	int fd = file_new();
	pthread_t server, notifier;
	pid_t child;
	bool pauses;

	device = CHECK_CALL(open("/dev/fuse", O_RDWR | O_CLOEXEC));
	steps = process_steps();
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 device);
	CHECK_CALL(mount("fuse", "/root", "fuse", 0, options));
	CHECK_EQ(pthread_create(&server, NULL, serve, NULL), 0);
	pauses = pause_calls();
	device_fd();
	child = process_start();
	if (child == 0)
		publish(fd);
	process_wait(steps, 1);
	/* By now the call has got the page, and sleeps. */
	usleep(500000);
	CHECK_EQ(process_reached(steps), 1);
	atomic_store(&holds, true);
	CHECK_EQ(pthread_create(&notifier, NULL, invalidate, NULL), 0);
	while (!atomic_load(&is_held))
		usleep(1000);
	/* Another process, which has the same file, seals it. */
	PROCESS_RUN(CHECK_CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)));
	/* The file has it all. The caller still waits for the server: this was a wait that could have been under the locks. */
	CHECK_EQ(file_bytes(fd), 16 * PAGE);
	file_check_read(fd, 0, 16 * PAGE, 550);
	CHECK_EQ(process_reached(steps), 1);
	atomic_store(&holds, false);
	pthread_join(notifier, NULL);
	process_end(child);
	if (pauses)
		guest_write(MUTATION, "\n");
	CHECK_CALL(umount2("/root", MNT_DETACH));
}
