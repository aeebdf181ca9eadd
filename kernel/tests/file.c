// SPDX-License-Identifier: GPL-2.0-only
#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "memory.h"
#include "process.h"

int file_new(void)
{
	return CHECK_CALL(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

int file_on_tmpfs(const char *options)
{
	char folder[] = "/tmp/XXXXXX", path[32];
	int fd;

	CHECK(mkdtemp(folder));
	CHECK_CALL(mount("tmpfs", folder, "tmpfs", 0, options));
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = CHECK_CALL(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK_CALL(umount2(folder, MNT_DETACH));
	CHECK_CALL(rmdir(folder));
	return fd;
}

static struct stat status_of(int fd)
{
	struct stat status;

	CHECK_CALL(fstat(fd, &status));
	return status;
}

uint64_t file_bytes(int fd)
{
	return status_of(fd).st_size;
}

uint64_t file_blocks(int fd)
{
	return status_of(fd).st_blocks;
}

void file_check_read(int fd, uint64_t offset, size_t bytes, uint64_t seed)
{
	static char part[64 * 1024];

	for (size_t at = 0; at < bytes;) {
		size_t want = bytes - at < sizeof(part) ? bytes - at : sizeof(part);

		CHECK_EQ(pread(fd, part, want, offset + at), want);
		if (!memory_matches(part, want, seed, at))
			FAIL("pread finds wrong bytes within 64 KiB of byte %zu of %zu", at, bytes);
		at += want;
	}
}

static void check_mapped(int fd, uint64_t offset, size_t bytes, uint64_t seed)
{
	uint64_t first = offset & ~(PAGE - 1);
	size_t space = offset - first + bytes;
	char *mapping = mmap(NULL, space, PROT_READ, MAP_SHARED, fd, first);

	CHECK(mapping != MAP_FAILED);
	memory_check(mapping + (offset - first), bytes, seed);
	CHECK_CALL(munmap(mapping, space));
}

void file_check(int fd, uint64_t offset, size_t bytes, uint64_t seed)
{
	file_check_read(fd, offset, bytes, seed);
	check_mapped(fd, offset, bytes, seed);
	PROCESS_RUN({
		check_mapped(fd, offset, bytes, seed);
		file_check_read(fd, offset, bytes, seed);
	});
}

void file_check_zero(int fd, uint64_t offset, size_t bytes)
{
	static char part[64 * 1024];

	for (size_t at = 0; at < bytes;) {
		size_t want = bytes - at < sizeof(part) ? bytes - at : sizeof(part);

		CHECK_EQ(pread(fd, part, want, offset + at), want);
		if (!memory_is_zero(part, want))
			FAIL("the file isn't zero near byte %llu",
			     (unsigned long long)(offset + at));
		at += want;
	}
}

uint64_t file_sum(int fd)
{
	static uint64_t part[8 * 1024];
	uint64_t sum = 0;
	off_t offset = 0;
	ssize_t bytes;

	while ((bytes = CHECK_CALL(pread(fd, part, sizeof(part), offset))) > 0) {
		for (ssize_t i = bytes; i % 8; i++)
			((char *)part)[i] = 0;
		for (ssize_t i = 0; i < (bytes + 7) / 8; i++)
			sum = sum * 31 + part[i];
		offset += bytes;
	}
	return sum;
}
