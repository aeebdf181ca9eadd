// SPDX-License-Identifier: GPL-2.0-only
/* Each error that the contract names comes when it must, and leaves memory, file and counters as they were. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
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
#include "state.h"

#define BYTES (8 * PAGE)

/* The fields of a good call, for tests that break one. */
struct good {
	char *memory;
	int fd;
	struct kernelzero_range ranges[2];
	uint8_t pages[8];
	struct device_call call;
};

static void good_make(struct good *good)
{
	good->memory = memory_small_filled(BYTES, 100);
	good->fd = file_new();
	CHECK_EQ(write(good->fd, "before", 6), 6);
	good->ranges[0] = (struct kernelzero_range){(uintptr_t)good->memory, 3 * PAGE, 0};
	good->ranges[1] =
		(struct kernelzero_range){(uintptr_t)good->memory + 4 * PAGE + 5, PAGE, 0};
	good->call = (struct device_call){.ranges = good->ranges, .pages = good->pages};
	good->call.call = (struct kernelzero_deanonymize){
		.size = sizeof(good->call.call),
		.fd = good->fd,
		.ranges_count = 2,
		.ranges = (uintptr_t)good->ranges,
		.pages = (uintptr_t)good->pages,
	};
}

/* The call gives the error with nothing changed; put right, it succeeds. */
static void check_refused(struct good *good, int error, const char *what)
{
	struct state state;

	state_take(&state, good->memory, BYTES, good->fd);
	for (int i = 0; i < 2; i++) {
		int found = device_ioctl(&good->call.call);

		if (found != error)
			FAIL("%s: %s, not %s", what, strerror(found), strerror(error));
	}
	state_check(&state, what);
	memory_check(good->memory, BYTES, 100);
}

static void check_good(struct good *good)
{
	good->call.call.size = sizeof(good->call.call);
	CHECK_EQ(device_ioctl(&good->call.call), 0);
	memory_check(good->memory, BYTES, 100);
	file_check(good->fd, PAGE, 3 * PAGE, 100);
}

/* Breaks one field for a call, and mends it. */
#define CHECK_BROKEN(good, field, value, error)                   \
	do {                                                      \
		__typeof__((good)->field) right_ = (good)->field; \
		(good)->field = (value);                          \
		check_refused(good, error, #field " = " #value);  \
		(good)->field = right_;                           \
	} while (0)

TEST(quick, arguments_that_make_no_sense_are_EINVAL)
{
	struct good good;

	good_make(&good);
	CHECK_BROKEN(&good, call.call.flags, 2, EINVAL);
	CHECK_BROKEN(&good, call.call.flags, 1u << 31, EINVAL);
	CHECK_BROKEN(&good, call.call.size, 0, EINVAL);
	CHECK_BROKEN(&good, call.call.size, sizeof(good.call.call) - 8, EINVAL);
	CHECK_BROKEN(&good, call.call.size, sizeof(good.call.call) + 8, EINVAL);
	CHECK_BROKEN(&good, call.call.ranges_count, 0, EINVAL);
	CHECK_BROKEN(&good, ranges[0].bytes, 0, EINVAL);
	CHECK_BROKEN(&good, ranges[1].bytes, 0, EINVAL);
	CHECK_BROKEN(&good, ranges[1].bytes, UINT64_MAX, EINVAL);
	CHECK_BROKEN(&good, ranges[1].address, UINT64_MAX - PAGE / 2, EINVAL);
	check_good(&good);
}

TEST(quick, ranges_that_overlap_are_EINVAL)
{
	struct good good;

	good_make(&good);
	CHECK_BROKEN(&good, ranges[1].address, good.ranges[0].address, EINVAL);
	CHECK_BROKEN(&good, ranges[1].address, good.ranges[0].address + 3 * PAGE - 1, EINVAL);
	CHECK_BROKEN(&good, ranges[1].address, good.ranges[0].address + PAGE + 1, EINVAL);
	CHECK_BROKEN(&good, ranges[0].bytes, 4 * PAGE + 6, EINVAL);
	check_good(&good);
}

TEST(quick, too_many_ranges_or_bytes_are_E2BIG)
{
	struct kernelzero_info info = device_info();
	struct good good;

	good_make(&good);
	CHECK_AT_LEAST(info.ranges_max, 1024);
	CHECK_AT_LEAST(info.bytes_max, 1ULL << 32);
	CHECK_BROKEN(&good, call.call.ranges_count, info.ranges_max + 1, E2BIG);
	CHECK_BROKEN(&good, call.call.ranges_count, UINT32_MAX, E2BIG);
	CHECK_BROKEN(&good, ranges[0].bytes, info.bytes_max + 1, E2BIG);
	check_good(&good);
}

TEST(quick, arguments_that_cannot_be_read_are_EFAULT)
{
	struct good good;
	char *nothing = memory_small(PAGE);

	good_make(&good);
	memory_free(nothing, PAGE);
	CHECK_BROKEN(&good, call.call.ranges, (uintptr_t)nothing, EFAULT);
	CHECK_BROKEN(&good, call.call.ranges, 1ULL << 63, EFAULT);
	CHECK_BROKEN(&good, call.call.pages, (uintptr_t)nothing, EFAULT);
	CHECK_BROKEN(&good, call.call.pages, 1ULL << 63, EFAULT);
	CHECK_EQ(ioctl(device_fd(), KERNELZERO_DEANONYMIZE, nothing), -1);
	CHECK_EQ(errno, EFAULT);
	check_good(&good);
}

/* The answer can't be written: that must be known before anything has moved. */
TEST(quick, answers_that_cannot_be_written_are_EFAULT)
{
	struct good good;
	char *fixed = memory_small(4 * PAGE);
	struct kernelzero_deanonymize *call = (void *)(fixed + 2 * PAGE);
	struct kernelzero_range *ranges = (void *)fixed;
	struct state state;

	good_make(&good);
	memcpy(ranges, good.ranges, sizeof(good.ranges));
	*call = good.call.call;
	CHECK_CALL(mprotect(fixed, 4 * PAGE, PROT_READ));
	CHECK_BROKEN(&good, call.call.ranges, (uintptr_t)ranges, EFAULT);
	CHECK_BROKEN(&good, call.call.pages, (uintptr_t)fixed + PAGE, EFAULT);
	/* Only the last byte of the answer is beyond what can be written. */
	CHECK_BROKEN(&good, call.call.pages, (uintptr_t)good.memory + BYTES - 4, EFAULT);
	state_take(&state, good.memory, BYTES, good.fd);
	CHECK_EQ(device_ioctl(call), EFAULT);
	state_check(&state, "the call itself can't be written");
	memory_check(good.memory, BYTES, 100);
	check_good(&good);
}

TEST(quick, a_range_where_nothing_is_mapped_is_EFAULT)
{
	struct good good;
	char *memory = memory_small_filled(8 * PAGE, 101);

	good_make(&good);
	CHECK_CALL(munmap(memory + 4 * PAGE, PAGE));
	CHECK_BROKEN(&good, ranges[1].address, (uintptr_t)memory + 4 * PAGE + 5, EFAULT);
	CHECK_BROKEN(&good, ranges[1].address, (uintptr_t)memory + 3 * PAGE + 5, EFAULT);
	CHECK_BROKEN(&good, ranges[1].address, 16, EFAULT);
	CHECK_BROKEN(&good, ranges[1].address, (uint64_t)-1 << 47, EFAULT);
	/* A hole in the middle of a range, and one at its end. */
	good.ranges[1].bytes = 8 * PAGE;
	CHECK_BROKEN(&good, ranges[1].address, (uintptr_t)memory, EFAULT);
	good.ranges[1].bytes = 4 * PAGE;
	CHECK_BROKEN(&good, ranges[1].address, (uintptr_t)memory + 5 * PAGE, EFAULT);
	CHECK(memory_matches(memory, 4 * PAGE, 101, 0));
	CHECK(memory_matches(memory + 5 * PAGE, 3 * PAGE, 101, 5 * PAGE));
	good.ranges[1].bytes = PAGE;
	check_good(&good);
}

TEST(quick, a_descriptor_that_is_not_open_for_writing_is_EBADF)
{
	char path[64];
	struct good good;
	int closed, reading, path_only;

	good_make(&good);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", good.fd);
	reading = CHECK_CALL(open(path, O_RDONLY));
	path_only = CHECK_CALL(open(path, O_PATH));
	closed = CHECK_CALL(dup(good.fd));
	close(closed);
	CHECK_BROKEN(&good, call.call.fd, -1, EBADF);
	CHECK_BROKEN(&good, call.call.fd, closed, EBADF);
	CHECK_BROKEN(&good, call.call.fd, reading, EBADF);
	CHECK_BROKEN(&good, call.call.fd, path_only, EBADF);
	CHECK_BROKEN(&good, call.call.fd, CHECK_CALL(open("/tmp", O_RDONLY)), EBADF);
	check_good(&good);
}

/* The private mapping would let the caller read what its descriptor doesn't. */
TEST(quick, a_descriptor_that_is_only_open_for_writing_is_EACCES)
{
	char path[64];
	struct good good;

	good_make(&good);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", good.fd);
	CHECK_BROKEN(&good, call.call.fd, CHECK_CALL(open(path, O_WRONLY)), EACCES);
	check_good(&good);
}

TEST(quick, a_file_that_is_no_shared_memory_is_EOPNOTSUPP)
{
	struct good good;
	int pipes[2], sockets[2];

	good_make(&good);
	CHECK_CALL(pipe(pipes));
	CHECK_CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	CHECK_CALL(mount("ramfs", "/root", "ramfs", 0, NULL));
	CHECK_BROKEN(&good, call.call.fd, pipes[1], EOPNOTSUPP);
	CHECK_BROKEN(&good, call.call.fd, sockets[0], EOPNOTSUPP);
	CHECK_BROKEN(&good, call.call.fd, CHECK_CALL(open("/dev/null", O_RDWR)), EOPNOTSUPP);
	CHECK_BROKEN(&good, call.call.fd, CHECK_CALL(open("/root/f", O_RDWR | O_CREAT, 0600)),
		     EOPNOTSUPP);
	CHECK_BROKEN(&good, call.call.fd, CHECK_CALL(open(DEVICE_PATH, O_RDWR)), EOPNOTSUPP);
	CHECK_BROKEN(&good, call.call.fd, CHECK_CALL(memfd_create("huge", MFD_HUGETLB)),
		     EOPNOTSUPP);
	CHECK_CALL(umount2("/root", MNT_DETACH));
	check_good(&good);
}

/* Puts a second range over memory that can't be taken, behind one that could be. */
static void check_memory(void *memory, int error, const char *what)
{
	struct good good;

	good_make(&good);
	good.ranges[1].address = (uintptr_t)memory;
	check_refused(&good, error, what);
	good.ranges[1].address = (uintptr_t)good.memory + 4 * PAGE;
	check_good(&good);
}

TEST(quick, memory_of_a_file_or_shared_is_EOPNOTSUPP)
{
	int fd = file_new();
	char *memory;

	CHECK_CALL(ftruncate(fd, BYTES));
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	memory_fill(memory, BYTES, 102);
	check_memory(memory, EOPNOTSUPP, "a private mapping of a file");
	memory_check(memory, BYTES, 102);
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check_memory(memory, EOPNOTSUPP, "a shared mapping of a file");
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check_memory(memory, EOPNOTSUPP, "shared anonymous memory");
	check_memory((void *)((uintptr_t)check_memory & ~(PAGE - 1)), EOPNOTSUPP, "the program");
}

TEST(quick, memory_that_is_already_published_is_EOPNOTSUPP)
{
	char *memory = memory_small_filled(BYTES, 103);
	int fd = file_new();

	device_publish(fd, memory, BYTES, NULL);
	check_memory(memory, EOPNOTSUPP, "published memory");
	memory_fill(memory, BYTES, 104);
	check_memory(memory, EOPNOTSUPP, "published memory, written since");
	memory_check(memory, BYTES, 104);
	file_check(fd, 0, BYTES, 103);
}

TEST(quick, locked_memory_is_EOPNOTSUPP)
{
	char *memory = memory_small_filled(BYTES, 105);

	CHECK_CALL(mlock(memory + 2 * PAGE, PAGE));
	check_memory(memory + 2 * PAGE, EOPNOTSUPP, "locked memory");
	CHECK_CALL(munlock(memory + 2 * PAGE, PAGE));
	memory_check(memory, BYTES, 105);
	device_publish(file_new(), memory, BYTES, NULL);
}

TEST(quick, a_stack_that_grows_is_EOPNOTSUPP)
{
	char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	char here[2 * PAGE];

	memory_fill(memory, BYTES, 106);
	check_memory(memory + 2 * PAGE, EOPNOTSUPP, "memory that grows down");
	memory_check(memory, BYTES, 106);
	memset(here, 1, sizeof(here));
	check_memory(here, EOPNOTSUPP, "the stack");
}

TEST(quick, hugetlb_memory_is_EOPNOTSUPP)
{
	char *memory;

	guest_write("/proc/sys/vm/nr_hugepages", "2");
	memory = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
		      -1, 0);
	CHECK(memory != MAP_FAILED);
	memory_fill(memory, HUGE, 107);
	check_memory(memory, EOPNOTSUPP, "hugetlb memory");
	memory_check(memory, HUGE, 107);
}

TEST(quick, memory_of_a_device_is_EOPNOTSUPP)
{
	unsigned long start;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	bool found = false;

	while (!found && fgets(line, sizeof(line), maps))
		found = strstr(line, "[vvar]") && sscanf(line, "%lx-", &start) == 1;
	fclose(maps);
	CHECK(found);
	check_memory((void *)start, EOPNOTSUPP, "the kernel's pages of time");
}

TEST(quick, memory_watched_by_userfaultfd_is_EOPNOTSUPP)
{
	char *memory = memory_small_filled(BYTES, 108);
	int fd = CHECK_CALL(syscall(SYS_userfaultfd, O_CLOEXEC));
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {(uintptr_t)memory, BYTES},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	CHECK_CALL(ioctl(fd, UFFDIO_API, &api));
	CHECK_CALL(ioctl(fd, UFFDIO_REGISTER, &range));
	check_memory(memory, EOPNOTSUPP, "memory watched by userfaultfd");
	close(fd);
	memory_check(memory, BYTES, 108);
	device_publish(file_new(), memory, BYTES, NULL);
}

/* A virtual machine mirrors the page tables of its process: it would go on using what has moved. */
TEST(quick, memory_watched_by_a_virtual_machine_is_EOPNOTSUPP)
{
	char *memory = memory_small_filled(BYTES, 109);
	int kvm = CHECK_CALL(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	int machine, fd = file_new();
	struct state state;

	/*
	 * The first machine and the last one to go patch the scheduler's code. QEMU before 8.1 may
	 * translate code while another processor patches it, and runs into the breakpoint of a patch
	 * that is complete: an oops of the emulator's making.
	 */
	guest_use_one_processor();
	machine = CHECK_CALL(ioctl(kvm, KVM_CREATE_VM, 0));
	state_take(&state, memory, BYTES, fd);
	CHECK_EQ(device_try(fd, memory, BYTES), EOPNOTSUPP);
	state_check(&state, "a process that has a virtual machine");
	close(machine);
	close(kvm);
	memory_check(memory, BYTES, 109);
}

TEST(quick, sealed_files_are_EPERM)
{
	const int seals[] = {F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_GROW,
			     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL};

	for (int i = 0; i < 4; i++) {
		struct good good;
		int right;

		good_make(&good);
		right = good.fd;
		CHECK_CALL(fcntl(good.fd, F_ADD_SEALS, seals[i]));
		check_refused(&good, EPERM, "a sealed file");
		good.fd = good.call.call.fd = file_new();
		CHECK_EQ(write(good.fd, "before", 6), 6);
		check_good(&good);
		CHECK_EQ(file_bytes(right), 6);
	}
}

TEST(quick, memory_that_cannot_be_read_is_EACCES)
{
	char *memory = memory_small_filled(BYTES, 110);

	CHECK_CALL(mprotect(memory + 3 * PAGE, PAGE, PROT_NONE));
	check_memory(memory + 3 * PAGE, EACCES, "memory without rights");
	CHECK_CALL(mprotect(memory + 3 * PAGE, PAGE, PROT_WRITE));
	check_memory(memory + 3 * PAGE, EACCES, "memory that can only be written");
	CHECK_CALL(mprotect(memory + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	memory_check(memory, BYTES, 110);
	device_publish(file_new(), memory, BYTES, NULL);
}

/* What else the module can't convert: a child would see the file's bytes, or the file would have to be executable. */
TEST(quick, memory_wiped_on_fork_or_executable_is_EOPNOTSUPP)
{
	char *memory = memory_small_filled(BYTES, 111);

	CHECK_CALL(madvise(memory, BYTES, MADV_WIPEONFORK));
	check_memory(memory, EOPNOTSUPP, "memory wiped on fork");
	CHECK_CALL(madvise(memory, BYTES, MADV_KEEPONFORK));
	CHECK_CALL(mprotect(memory, BYTES, PROT_READ | PROT_EXEC));
	check_memory(memory, EOPNOTSUPP, "executable memory");
	CHECK_CALL(mprotect(memory, BYTES, PROT_READ | PROT_WRITE));
	memory_check(memory, BYTES, 111);
	device_publish(file_new(), memory, BYTES, NULL);
}

TEST(quick, a_thousand_refused_calls_leave_nothing)
{
	struct good good;
	struct state state;

	good_make(&good);
	CHECK_CALL(mprotect(good.memory + 4 * PAGE, PAGE, PROT_NONE));
	CHECK_EQ(device_ioctl(&good.call.call), EACCES);
	state_take(&state, good.memory, BYTES, good.fd);
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(device_ioctl(&good.call.call), EACCES);
	state_check(&state, "a thousand calls");
	CHECK_CALL(mprotect(good.memory + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	check_good(&good);
}
