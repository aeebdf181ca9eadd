// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file's tree of pages. All nodes that the call may need are got beforehand, so that storing cannot fail. Storing
 * early and erasing after a failure would also work, but would show other parts of the kernel pages that may go away.
 */
#include <linux/sched/signal.h>

#include "call.h"
#include "debug.h"
#include "file.h"

/* Gets one more node. The tree's own allocator is reachable only through a store that ran out of memory. */
static int node_add(struct kz_file *file)
{
	XA_STATE(xas, &file->mapping->i_pages, 0);
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	xas_set_err(&xas, -ENOMEM);
	if (!xas_nomem(&xas, KZ_GFP))
		return -ENOMEM;
	RCU_INIT_POINTER(xas.xa_alloc->parent, file->nodes);
	file->nodes = xas.xa_alloc;
	return 0;
}

/* Nodes of the lowest level, each of 64 pages, that hold single pages or swap entries of the call. */
static unsigned long leaves(struct kz_call *call)
{
	unsigned long count = 0;
	pgoff_t last = ULONG_MAX;
	struct kz_table *table;
	unsigned int i;

	list_for_each_entry (table, &call->tables, list) {
		pgoff_t begin = table->index >> XA_CHUNK_SHIFT;
		pgoff_t end = (table->index + table->count - 1) >> XA_CHUNK_SHIFT;

		if (table->entries && table->moved + table->swapped + table->copied) {
			count += end - begin + (begin != last);
			last = end;
		}
	}
	for (i = 0; i < call->ranges_count; i++)
		count += !!call->ranges[i].head + !!call->ranges[i].tail;
	return count;
}

/*
 * Nodes of the higher levels: those above the call's pages, and one a level above the pages that the file has already,
 * should the tree grow higher.
 */
static unsigned long branches(struct kz_call *call)
{
	pgoff_t first = call->file.first;
	pgoff_t last = (call->file.bytes >> PAGE_SHIFT) - 1;
	unsigned long count = 0;

	do {
		first >>= XA_CHUNK_SHIFT;
		last >>= XA_CHUNK_SHIFT;
		count += (last >> XA_CHUNK_SHIFT) - (first >> XA_CHUNK_SHIFT) + 2;
	} while (last);
	return count;
}

/**
 * kz_tree_prepare() - gets all nodes that storing the call's pages may need.
 *
 * Return: 0, -ENOMEM or -EINTR.
 */
int kz_tree_prepare(struct kz_call *call)
{
	unsigned long count = leaves(call) + branches(call);
	int err;

	while (count--) {
		err = node_add(&call->file);
		if (err)
			return err;
		if (!(count % 1024)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			cond_resched();
		}
	}
	return 0;
}

/* Gives back the nodes that were not needed. */
void kz_tree_release(struct kz_file *file)
{
	XA_STATE(xas, &file->mapping->i_pages, 0);

	/* A state that has nodes but no error frees them, along the chain. */
	xas.xa_alloc = file->nodes;
	xas_nomem(&xas, GFP_KERNEL);
	file->nodes = NULL;
}

/**
 * kz_tree_begin() - locks the tree for storing.
 *
 * The first time it makes sure that nobody is about to fill holes at the file's end: khugepaged may collapse the last,
 * partly used 2 MiB of the file into a huge page, without the inode's lock. Once a locked page of ours is there it can't.
 *
 * Return: 0, or -EAGAIN when it has begun to, with the tree unlocked: the call has to be placed beyond.
 */
int kz_tree_begin(struct kz_file *file, struct xa_state *xas)
{
	xas_lock_irq(xas);
	if (!file->placed) {
		XA_STATE(window, &file->mapping->i_pages, file->first);

		if (xas_find(&window, file->window - 1) || kz_mutated(window_taken)) {
			xas_unlock_irq(xas);
			return -EAGAIN;
		}
		file->placed = true;
	}
	return 0;
}

/* Unlocks the tree. */
void kz_tree_end(struct kz_file *file, struct xa_state *xas)
{
	xas_unlock_irq(xas);
	if (xas->xa_alloc) {
		RCU_INIT_POINTER(xas->xa_alloc->parent, file->nodes);
		file->nodes = xas->xa_alloc;
		xas->xa_alloc = NULL;
	}
}

/* Stores @entry at the place of @xas, which is empty. The tree is locked. */
void kz_tree_store(struct kz_file *file, struct xa_state *xas, void *entry)
{
	for (;;) {
		if (!xas->xa_alloc && file->nodes) {
			xas->xa_alloc = file->nodes;
			file->nodes = rcu_dereference_raw(file->nodes->parent);
			RCU_INIT_POINTER(xas->xa_alloc->parent, NULL);
		}
		xas_store(xas, entry);
		if (likely(!xas_error(xas)))
			return;
		/* One store may need several nodes: those that it has linked stay, and it goes on from there. */
		WARN_ON_ONCE(!file->nodes);
		xas->xa_node = XAS_RESTART;
	}
}

/*
 * Somebody's page is where ours has to go. It is one of a page fault that had seen an older, larger size of the file:
 * its owner is about to notice and to remove it. Waits with the tree unlocked; it is locked again afterwards.
 */
void kz_tree_wait(struct xa_state *xas)
{
	xas_unlock_irq(xas);
	schedule_timeout_uninterruptible(1);
	xas_reset(xas);
	xas_lock_irq(xas);
}
