// SPDX-License-Identifier: GPL-2.0-only
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "check.h"
#include "guest.h"
#include "memory.h"

#define SWAP_ZRAM "/dev/zram0"

/* The name under /dev of the machine's disk with a serial number. False if there is none. */
static bool find_disk(const char *serial, char *path, size_t size)
{
	char name[] = "vda", file[64], found[64];

	for (; name[2] <= 'd'; name[2]++) {
		snprintf(file, sizeof(file), "/sys/block/%s/serial", name);
		if (access(file, F_OK) != 0)
			continue;
		guest_read(file, found, sizeof(found));
		snprintf(path, size, "/dev/%s", name);
		if (!strncmp(found, serial, strlen(serial)))
			return true;
	}
	return false;
}

int disk_open_slow(void)
{
	char path[16];

	CHECK(find_disk("slow", path, sizeof(path)));
	return CHECK_CALL(open(path, O_RDWR | O_DIRECT | O_CLOEXEC));
}

void disk_write(int disk, size_t bytes, uint64_t seed)
{
	char *memory = memory_small_filled(bytes, seed);

	CHECK_EQ(pwrite(disk, memory, bytes, 0), bytes);
	memory_free(memory, bytes);
}

/* What mkswap(8) writes: the first page has the size and, at its end, the kind. */
static void make_swap(const char *path, size_t bytes)
{
	static struct {
		char boot[1024];
		uint32_t version, last_page, bad_pages;
		char rest[4096 - 1024 - 12 - 10];
		char kind[10];
	} __attribute__((packed)) header;
	int fd = CHECK_CALL(open(path, O_RDWR | O_CLOEXEC));

	header.version = 1;
	header.last_page = bytes / PAGE - 1;
	memcpy(header.kind, "SWAPSPACE2", 10);
	CHECK_EQ(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	CHECK_CALL(fsync(fd));
	close(fd);
}

static const char *swap_path(void)
{
	static char path[16];

	return find_disk("swap", path, sizeof(path)) ? path : SWAP_ZRAM;
}

void disk_swap_start(size_t bytes)
{
	const char *path = swap_path();

	char setting[64];

	if (!strcmp(path, SWAP_ZRAM)) {
		guest_write("/sys/block/zram0/reset", "1");
		guest_write_number("/sys/block/zram0/disksize", bytes);
	} else {
		/* Only to disks without moving parts are huge pages swapped out whole. */
		snprintf(setting, sizeof(setting), "/sys/block/%s/queue/rotational", path + 5);
		guest_write(setting, "0");
	}
	make_swap(path, bytes);
	CHECK_CALL(swapon(path, 0));
}

void disk_swap_stop(void)
{
	const char *path = swap_path();

	/* Nothing is swapped to it, or the machine has no such disk. */
	if (swapoff(path) != 0 && errno != EINVAL && errno != ENOENT)
		FAIL("swapoff %s: %m", path);
}
