/*
 * The file broker: a process that opens files for workers, which have no name to reach them by. It sees what its engine
 * sees, read-only, and opens nothing but the files of a list that the engine made.
 *
 * A list is a memory file of 8-byte numbers, in the machine's order: how many files there are; where each one's entry
 * begins, in bytes; then the entries: device, inode, and the path, closed by a zero byte. It ends with a zero byte.
 *
 * A worker asks on a socket of its own with a zerrow_file_request, and is answered with one errno of 32 bits per file,
 * 0 for those whose descriptors come beside the answer, in their order.
 */
#ifndef ZERROW_FILE_BROKER_H
#define ZERROW_FILE_BROKER_H

#include <stdint.h>
#include <sys/types.h>

/* What the engine asks of it, in the first byte of a message. */
enum {
    /* Files of a list, for the worker at the other end of the socket. */
    ZERROW_BROKER_FILES = 1,
    /* A mount of one folder, whose absolute path, closed by a zero byte, is in the file: it can be written, and no name
     * leads out of it. The answer on the socket is one errno of 32 bits, and where that is 0 the mount's descriptor. */
    ZERROW_BROKER_FOLDER = 2,
};

/* The most files that are asked for at once. */
#define ZERROW_FILES_MAX 64

struct zerrow_file_request {
    uint32_t first;
    uint32_t count;
};

/*
 * Starts a broker in namespaces of its own; it ends when `control` does, which is a socket of whole messages, or when
 * the calling thread does. Each message has one byte, and beside it a file and the socket that the answer is for.
 *
 * 0, with the process id that is the caller's to wait for; or a negative errno.
 */
int zerrow_file_broker_spawn(int control, pid_t *pid);

#endif
