/*
 * libzerrow_worker.so: SIPC for a process that runs models. It exports these functions and nothing else, starts no
 * thread, and is loaded in a few milliseconds. Written in Swift; this header is for its readers and callers.
 *
 * A session is for one thread at a time. The arrays and streams it gives out are released by their receiver, on any
 * thread, also after the session is gone: they keep the memory that they point into mapped.
 *
 * Functions that return int give 0 or a negative errno; zerrow_session_error() says in words what was wrong. Bytes from
 * another process that break the format give -EINVAL, never a crash.
 */
#ifndef ZERROW_WORKER_H
#define ZERROW_WORKER_H

#include <stdint.h>

struct ArrowArrayStream; /* https://arrow.apache.org/docs/format/CStreamInterface.html */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zerrow_session zerrow_session;

/*
 * 2. A library of another version has other functions, or they do something else: don't call it. What callers declare
 * by themselves they compare with zerrow_abi_layout() (abi_layout.h), which the library exports too.
 */
uint32_t zerrow_abi_version(void);

/* A new session, freed by zerrow_session_free(). Freeing NULL does nothing. */
zerrow_session *zerrow_session_new(void);
void zerrow_session_free(zerrow_session *);

/* The message of the last call that failed, "" if none did; UTF-8, valid until the next call with this session. */
const char *zerrow_session_error(zerrow_session *);

/*
 * Map the segment `id` read-only, whole, once: -EEXIST when the id is known, -EINVAL for id 0. Takes the descriptor,
 * also when it fails, and closes it. The file must not be able to shrink.
 */
int zerrow_session_segment(zerrow_session *, uint64_t id, int fd);

/*
 * The output segment, which has id 0 in what this session publishes. Takes the descriptor, also when it fails. Once.
 *
 * Where the process has the arena (libzerrow_arena.so), it is attached to the file, and buffers that have to be packed
 * or copied take extents of the arena. Else the file is mapped and filled from its beginning.
 *
 * file_bytes  the size of the file, a multiple of 2 MiB; its content is zero
 * bytes_max   the most memory that the process may take in it; past it -ENOMEM
 */
int zerrow_session_output(zerrow_session *, int fd, uint64_t file_bytes, uint64_t bytes_max);

/*
 * KernelZero's device, open: buffers that are neither shared yet nor small are then moved into the output segment,
 * which grows by them, rather than copied. After zerrow_session_output(). Takes the descriptor, also when it fails:
 * -ENOTTY when it is another device, -EPROTO when it is a KernelZero of another ABI.
 *
 * The memory of a table of which anything was moved is never given back to its allocators, also when the session is
 * freed: it is a private mapping of the file, and where an allocator drops its pages it would find no zeros.
 */
int zerrow_session_kernelzero(zerrow_session *, int fd);

/*
 * Open the table whose SIPC descriptor is the content of `descriptor_fd`, which stays the caller's. Its segments must
 * have been given. `out` is filled with a stream that the caller releases; its buffers are those of the segments.
 */
int zerrow_session_open(zerrow_session *, int descriptor_fd, struct ArrowArrayStream *out);

/* How the bytes of a published table travelled; bytes is the sum of the last five. Each byte is counted once. */
struct zerrow_counts {
    uint64_t rows;
    uint64_t batches;
    uint64_t bytes;
    uint64_t reshared_bytes;
    uint64_t born_shared_bytes;
    uint64_t deanonymized_bytes;
    uint64_t packed_bytes;
    uint64_t copied_bytes;
};

/*
 * Read the stream to its end and publish the table. The stream is released, also on failure; the table's arrays stay
 * allocated until the session is freed (or for ever, see above), since an allocator writes into what it gets back.
 * `*descriptor_fd` becomes a sealed memfd with the SIPC descriptor, which the caller closes. -EINVAL when the stream
 * gives no table, -ENOMEM when the output segment is full, else the stream's own error.
 */
int zerrow_session_publish(zerrow_session *, struct ArrowArrayStream *in, struct zerrow_counts *counts,
                           int *descriptor_fd);

/*
 * Read the stream to its end and publish the table batch by batch: each is written to the empty file `disk_fd`, which
 * stays the caller's, and released before the next one is asked for; memory of inputs is shared where it lies. Readers
 * know the file as the segment `segment_id`. `*descriptor_fd` as above. -ENOSPC and -EDQUOT when the disk is full.
 */
int zerrow_session_publish_to_disk(zerrow_session *, struct ArrowArrayStream *in, int disk_fd, uint64_t segment_id,
                                   struct zerrow_counts *counts, int *descriptor_fd);

/*
 * More than one table may be published; memory that they have in common is put into the output segment once. That may
 * make the segment longer, so that an earlier descriptor has an old size: this makes one with the present size.
 * `descriptor_fd` has a descriptor that this session published, and stays the caller's, as does `*fresh_fd`, a sealed
 * memfd.
 */
int zerrow_session_refresh(zerrow_session *, int descriptor_fd, int *fresh_fd);

/* How the pages of all moved memory went, in pages of 4 KiB, and ranges (buffers, joined where they touch). */
struct zerrow_pages {
    uint64_t ranges;
    uint64_t refused_ranges; /* not moved but copied by this library */
    uint64_t refusal;        /* the errno of the last refusal; 0 for none */
    uint64_t moved_pages;
    uint64_t moved_huge_pages; /* as parts of 2 MiB pages */
    uint64_t moved_swap_pages;
    uint64_t hole_pages;
    uint64_t copied_edge_pages; /* these four by KernelZero, and counted as copied_bytes: kernelzero.h says why */
    uint64_t copied_shared_pages;
    uint64_t copied_pinned_pages;
    uint64_t copied_other_pages;
};
int zerrow_session_pages(zerrow_session *, struct zerrow_pages *);

/* Write the table as a standard Arrow IPC stream. Both descriptors stay the caller's. */
int zerrow_session_write_stream(zerrow_session *, int descriptor_fd, int out_fd);

/*
 * Write the table from the start of a file as a standard Arrow IPC file, its buffers at multiples of 64; as a stream
 * when its dictionaries are replaced on the way, which a file can't say. Both descriptors stay the caller's.
 */
int zerrow_session_write_file(zerrow_session *, int descriptor_fd, int out_fd);

/*
 * Open an uncompressed Arrow IPC file; `fd` stays the caller's. The buffers are the file's own pages: nothing is
 * copied. The file must not shrink while an array lives.
 */
int zerrow_session_open_file(zerrow_session *, int fd, struct ArrowArrayStream *out);

#ifdef __cplusplus
}
#endif
#endif
