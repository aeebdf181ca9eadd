/* SPDX-License-Identifier: GPL-2.0-only */
/* The shared-memory files that the tests publish into. */
#ifndef FILE_H
#define FILE_H

#include <stddef.h>
#include <stdint.h>

/* A new memfd that can be sealed. */
int file_new(void);

/* A new file in a tmpfs of its own, mounted with the options ("size=1m"); nothing is left of it but the descriptor. */
int file_on_tmpfs(const char *options);

uint64_t file_bytes(int fd);
uint64_t file_blocks(int fd); /* of 512 bytes, that the file takes */

/*
 * Ends the test if the file's bytes from an offset on aren't memory_fill()'s: read by pread, by a shared mapping here, and
 * by both in a second process. file_check_read() looks with pread alone.
 */
void file_check(int fd, uint64_t offset, size_t bytes, uint64_t seed);
void file_check_read(int fd, uint64_t offset, size_t bytes, uint64_t seed);

/* Ends the test if a part of the file isn't all zero. */
void file_check_zero(int fd, uint64_t offset, size_t bytes);

/* A sum over all bytes of the file and their places. */
uint64_t file_sum(int fd);

#endif
