// SPDX-License-Identifier: GPL-2.0-only
/* The order of a call's steps, and of undoing them. */
#include "call.h"

#include <linux/delay.h>
#include <linux/mmap_lock.h>
#include <linux/sched/signal.h>

#include "compat/mm.h"
#include "copy.h"
#include "debug.h"
#include "file.h"
#include "publish.h"
#include "request.h"
#include "take.h"
#include "vma.h"

/* Everything between the locks. Whatever it did is undone when it fails. */
static int convert(struct kz_call *call)
{
	int err;

	err = kz_vmas_check(call);
	if (!err)
		err = kz_file_place(call);
	if (err)
		return err;
	kz_vmas_lock(call);
	err = kz_copy_edges(call);
	if (err)
		goto undo_edges;
	err = kz_take(call);
	if (err)
		goto undo_taken;
	kz_take_flush(call);
	err = kz_copy_taken(call);
	if (err)
		goto undo_taken;
	err = kz_file_reserve(call);
	if (err)
		goto undo_taken;
	err = kz_tree_prepare(call);
	if (err)
		goto undo_reserved;
	err = kz_request_hold(call->request);
	if (err)
		goto undo_reserved;
	/* Last, as splits can't be undone. */
	err = kz_vmas_split(call);
	if (err)
		goto undo_held;
	/* Both need somebody to take the answer's pages just now. */
	if (kz_mutated(pause_held) || kz_mutated(dirty_early))
		msleep(1000);
	err = kz_publish(call);
	if (err) {
		/* The last 2 MiB of the file are being collapsed: the next attempt stays out of them. */
		call->file.beyond = true;
		goto undo_held;
	}

	kz_vmas_convert(call);
	kz_request_answer(call->request);
	kz_tree_release(&call->file);
	kz_take_free(call);
	return 0;

undo_held:
	kz_request_release(call->request);
undo_reserved:
	kz_tree_release(&call->file);
	kz_file_unreserve(call);
undo_taken:
	kz_take_undo(call);
	kz_take_free(call);
undo_edges:
	kz_copy_edges_undo(call);
	return err;
}

static int attempt(struct kz_call *call)
{
	int err;

	memset(call->counts, 0, sizeof(call->counts));
	call->drained = false;
	call->ticks = 0;
	call->untouched = 0;
	call->unsplittable = NULL;
	call->shared = NULL;
	err = kz_file_lock(&call->file);
	if (err)
		return err;
	/* This CPU's caches of pages hold references to pages that were touched a moment ago. */
	KZ_CALL(lru_add_drain)();
	err = kz_fault(-EINTR);
	if (!err)
		err = mmap_write_lock_killable(call->mm);
	if (!err) {
		err = convert(call);
		mmap_write_unlock(call->mm);
	}
	kz_file_unlock(&call->file);
	/* Only now: it may have to wait for a file system of the caller's own. */
	kz_request_finish(call->request);
	return err;
}

/**
 * kz_call_run() - moves the call's ranges into its file.
 * @call: with its file open, its ranges read and all else zero.
 *
 * Return: 0 or an error, and then nothing has changed.
 */
int kz_call_run(struct kz_call *call)
{
	unsigned int tries;
	int err = -EAGAIN;

	/* Again, when the file's end was being collapsed, or when memory for the answer was swapped out meanwhile. */
	for (tries = 0; err == -EAGAIN && tries < 5; tries++) {
		err = kz_request_probe(call->request);
		if (!err)
			err = attempt(call);
	}
	if (!err)
		kz_file_notify(&call->file);
	return err == -EAGAIN ? -ENOMEM : err;
}
