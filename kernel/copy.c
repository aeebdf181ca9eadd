// SPDX-License-Identifier: GPL-2.0-only
/* Copies: of the parts of pages at a range's edges, and of pages that cannot move. */
#include "copy.h"

#include <linux/highmem.h>
#include <linux/sched/signal.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"
#include "take.h"

/* A page for the file, locked and charged to the caller. Its content is to be written. NULL without memory. */
static struct page *page_new(struct kz_call *call)
{
	gfp_t gfp = mapping_gfp_mask(call->file.mapping) | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	struct page *page;

	if (kz_fault(-ENOMEM))
		return NULL;
	page = alloc_page(gfp);
	if (!page)
		return NULL;
	if (kz_fault(-ENOMEM))
		goto refused;
	if (!mem_cgroup_disabled() && !kz_mutated(skip_charge) &&
	    KZ_CALL(__mem_cgroup_charge)(page_folio(page), call->mm, gfp))
		goto refused;
	__SetPageLocked(page);
	__folio_set_swapbacked(page_folio(page));
	return page;

refused:
	put_page(page);
	return NULL;
}

static void page_written(struct page *page)
{
	__SetPageUptodate(page);
	SetPageDirty(page);
}

/*
 * Copies @bytes from @offset on between two pages. Memory that turns out to be broken ends the call, not the machine.
 *
 * Return: 0 or -EFAULT.
 */
static int page_copy(struct page *to, struct page *from, unsigned long offset, unsigned long bytes)
{
	char *source, *target;
	unsigned long left;
	int err = kz_fault(-EFAULT);

	if (err)
		return err;
	source = kmap_local_page(from);
	target = kmap_local_page(to);
	left = copy_mc_to_kernel(target + offset, source + offset, bytes);
	kunmap_local(target);
	kunmap_local(source);
	if (!left)
		return 0;
	kz_page_broken(from);
	return -EFAULT;
}

/* Gets a page of the caller's memory, with a reference. Return: 0, -ENOMEM or -EFAULT. */
static int edge_get(struct kz_call *call, unsigned long address, struct page **page)
{
	struct folio *folio;
	long got;
	int err = kz_fault(-ENOMEM);

	if (!err)
		err = kz_swap_in(call, find_vma(call->mm, address), address, &folio);
	if (err)
		return err;
	got = kz_page_get(address, page);
	if (folio)
		folio_put(folio);
	if (got != 1)
		return got == -ENOMEM ? -ENOMEM : -EFAULT;
	return 0;
}

/* Copies @bytes of the caller's memory, within a page, into a new page that is zero elsewhere. */
static int copy_edge(struct kz_call *call, unsigned long address, unsigned long bytes,
		     struct page **copy)
{
	unsigned long offset = offset_in_page(address);
	struct page *source;
	struct page *page;
	int err = edge_get(call, address & PAGE_MASK, &source);

	if (err)
		return err;
	page = page_new(call);
	if (!page) {
		put_page(source);
		return -ENOMEM;
	}
	/* From here on it is the call's, which discards it after a failure. */
	*copy = page;
	if (kz_mutated(edge_not_zeroed)) {
		err = page_copy(page, source, 0, PAGE_SIZE);
	} else {
		zero_user_segments(page, 0, offset, offset + bytes, PAGE_SIZE);
		err = page_copy(page, source, offset, bytes);
	}
	put_page(source);
	page_written(page);
	return err;
}

/**
 * kz_copy_edges() - copies the bytes at the ranges' edges that share a page with bytes of others.
 * @call: the mmap lock is held.
 *
 * Return: 0, -ENOMEM or -EFAULT; then kz_copy_edges_undo() has to be called.
 */
int kz_copy_edges(struct kz_call *call)
{
	unsigned int i;
	int err;

	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];
		unsigned long end = range->address + range->bytes;

		if (range->address < range->start) {
			err = copy_edge(call, range->address,
					min(end, range->start) - range->address, &range->head);
			if (err)
				return err;
			range->kinds[0] = KERNELZERO_COPIED_EDGE;
			call->counts[KERNELZERO_COPIED_EDGE]++;
		}
		if (end > range->end && (range->end >= range->start)) {
			err = copy_edge(call, range->end, end - range->end, &range->tail);
			if (err)
				return err;
			range->kinds[range->pages - 1] = KERNELZERO_COPIED_EDGE;
			call->counts[KERNELZERO_COPIED_EDGE]++;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static void discard(struct page **page)
{
	if (!*page)
		return;
	unlock_page(*page);
	put_page(*page);
	*page = NULL;
}

void kz_copy_edges_undo(struct kz_call *call)
{
	unsigned int i;

	for (i = 0; i < call->ranges_count; i++) {
		discard(&call->ranges[i].head);
		discard(&call->ranges[i].tail);
	}
}

/**
 * kz_copy_taken() - copies the pages that have been taken but cannot move.
 * @call: kz_take_flush() has been called, so that nobody writes to them through a page table.
 *
 * Return: 0, -ENOMEM, -EFAULT (broken memory) or -EINTR; kz_take_undo() discards the copies.
 */
int kz_copy_taken(struct kz_call *call)
{
	struct kz_table *table;
	unsigned int i;
	int err;

	list_for_each_entry (table, &call->tables, list) {
		unsigned int left = table->copied;

		for (i = 0; left; i++) {
			struct kz_entry *entry = table->entries + i;
			struct page *page;

			if (table->kinds[i] < KERNELZERO_COPIED_EDGE)
				continue;
			page = page_new(call);
			if (!page)
				return -ENOMEM;
			entry->page = page;
			err = page_copy(page, pte_page(entry->pte), 0, PAGE_SIZE);
			if (err)
				return err;
			page_written(page);
			left--;
			if (fatal_signal_pending(current))
				return -EINTR;
		}
		cond_resched();
	}
	return 0;
}
