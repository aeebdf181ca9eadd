// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arguments of a call, and its answer. The answer is written to pages that were got before anything is published, so
 * that a call which can't be answered fails with nothing done.
 */
#include "request.h"

#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "compat/mm.h"
#include "debug.h"

static unsigned long window_pages(struct kz_window *window)
{
	return DIV_ROUND_UP(offset_in_page(window->address) + window->bytes, PAGE_SIZE);
}

static int window_open(struct kz_window *window, unsigned long address, unsigned long bytes)
{
	if (!access_ok((void __user *)address, bytes))
		return -EFAULT;
	window->address = address;
	window->bytes = bytes;
	window->pages = kvmalloc_array(window_pages(window), sizeof(*window->pages), KZ_GFP);
	return window->pages ? 0 : -ENOMEM;
}

static void window_release(struct kz_window *window)
{
	while (window->pages_count)
		put_page(window->pages[--window->pages_count]);
}

/*
 * Makes the window's pages present and writable, in the way in which they will be got: some memory can be written to by
 * its process, and by nobody in its place (memfd_secret(2), a device's registers).
 */
static int window_probe(struct kz_window *window)
{
	unsigned long first = window->address & PAGE_MASK;
	unsigned long pages = window_pages(window);
	int err = 0;

	while (!err && window->pages_count < pages) {
		int got =
			get_user_pages_fast(first + window->pages_count * PAGE_SIZE,
					    min(pages - window->pages_count, (unsigned long)SZ_1K),
					    FOLL_WRITE, window->pages + window->pages_count);

		if (got > 0)
			window->pages_count += got;
		else
			err = got == -ENOMEM ? -ENOMEM : -EFAULT;
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	window_release(window);
	return err;
}

/* Gets the window's pages without a page fault, which might have to wait for the caller's own threads. */
static int window_hold(struct kz_window *window)
{
	unsigned long first = window->address & PAGE_MASK;
	unsigned long pages = window_pages(window);

	while (window->pages_count < pages) {
		long got = kz_pages_hold(first + window->pages_count * PAGE_SIZE,
					 pages - window->pages_count,
					 window->pages + window->pages_count);

		if (got <= 0) {
			window_release(window);
			return -EAGAIN;
		}
		window->pages_count += got;
	}
	return 0;
}

static void window_write(struct kz_window *window, const void *from)
{
	unsigned long done = 0;
	unsigned long i;

	for (i = 0; done < window->bytes; i++) {
		unsigned long offset = offset_in_page(window->address + done);
		unsigned long bytes = min(window->bytes - done, PAGE_SIZE - offset);
		char *to = kmap_local_page(window->pages[i]);

		memcpy(to + offset, from + done, bytes);
		kunmap_local(to);
		if (kz_mutated(dirty_early))
			set_page_dirty_lock(window->pages[i]);
		done += bytes;
	}
}

/* Marks the pages of a window as written to. That may sleep for as long as the server of a FUSE file likes. */
static void window_finish(struct kz_window *window)
{
	unsigned long i;

	for (i = 0; i < window->pages_count; i++)
		set_page_dirty_lock(window->pages[i]);
	window_release(window);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct kz_range *const *left = a;
	const struct kz_range *const *right = b;

	return (*left)->address<(*right)->address ? -1 : (*left)->address>(*right)->address;
}

static bool is_in_ranges(struct kz_range **sorted, unsigned int count, struct kz_window *window)
{
	unsigned int i;

	for (i = 0; window->pages && i < count; i++) {
		if (sorted[i]->start < sorted[i]->end && window->address < sorted[i]->end &&
		    sorted[i]->start < window->address + window->bytes)
			return true;
	}
	return false;
}

/* The ranges must not overlap each other, nor convert the memory of the answer. */
static int check_overlap(struct kz_request *request)
{
	struct kz_call *call = &request->call;
	struct kz_range **sorted;
	unsigned int i;
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	sorted = kvmalloc_array(call->ranges_count, sizeof(*sorted), KZ_GFP);
	if (!sorted)
		return -ENOMEM;
	call->sorted = sorted;
	for (i = 0; i < call->ranges_count; i++)
		sorted[i] = &call->ranges[i];
	sort(sorted, call->ranges_count, sizeof(*sorted), compare_ranges, NULL);
	for (i = 1; i < call->ranges_count && !err; i++) {
		if (sorted[i]->address - sorted[i - 1]->address < sorted[i - 1]->bytes)
			err = -EINVAL;
	}
	if (is_in_ranges(sorted, call->ranges_count, &request->window_arguments) ||
	    is_in_ranges(sorted, call->ranges_count, &request->window_ranges) ||
	    is_in_ranges(sorted, call->ranges_count, &request->window_kinds))
		err = -EINVAL;
	return err;
}

static int range_read(struct kz_range *range, const struct kernelzero_range *argument)
{
	unsigned long end;

	if (!argument->bytes || argument->address + argument->bytes < argument->address)
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)argument->address, argument->bytes))
		return -EFAULT;
	end = argument->address + argument->bytes;
	range->address = argument->address;
	range->bytes = argument->bytes;
	range->start = PAGE_ALIGN(range->address);
	range->end = end & PAGE_MASK;
	range->pages = (PAGE_ALIGN(end) - (range->address & PAGE_MASK)) >> PAGE_SHIFT;
	return 0;
}

static int ranges_read(struct kz_request *request)
{
	struct kernelzero_deanonymize *arguments = &request->arguments;
	struct kz_call *call = &request->call;
	unsigned long bytes = arguments->ranges_count * sizeof(*request->ranges);
	u64 total = 0;
	unsigned int i;
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	request->ranges = kvmalloc(bytes, KZ_GFP);
	call->ranges = kvcalloc(arguments->ranges_count, sizeof(*call->ranges), KZ_GFP);
	if (!request->ranges || !call->ranges)
		return -ENOMEM;
	if (copy_from_user(request->ranges, u64_to_user_ptr(arguments->ranges), bytes))
		return -EFAULT;
	for (i = 0; i < arguments->ranges_count; i++) {
		err = range_read(&call->ranges[i], &request->ranges[i]);
		if (err)
			return err;
		total += call->ranges[i].bytes;
		if (total > KZ_BYTES_MAX)
			return -E2BIG;
		call->pages += call->ranges[i].pages;
	}
	return window_open(&request->window_ranges, arguments->ranges, bytes);
}

static int kinds_make(struct kz_request *request)
{
	struct kz_call *call = &request->call;
	unsigned int i;
	u8 *kinds;
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	call->kinds = kvmalloc(call->pages, KZ_GFP);
	if (!call->kinds)
		return -ENOMEM;
	kinds = call->kinds;
	for (i = 0; i < call->ranges_count; i++) {
		call->ranges[i].kinds = kinds;
		kinds += call->ranges[i].pages;
	}
	if (!request->arguments.pages)
		return 0;
	return window_open(&request->window_kinds, request->arguments.pages, call->pages);
}

/**
 * kz_request_read() - reads and checks a call's arguments, as far as that is possible without its memory and file.
 * @request: zero. kz_request_free() has to be called, also when this fails.
 * @address: of a struct kernelzero_deanonymize.
 *
 * Return: 0, -EINVAL, -E2BIG, -EFAULT or -ENOMEM.
 */
int kz_request_read(struct kz_request *request, void __user *address)
{
	struct kernelzero_deanonymize *arguments = &request->arguments;
	struct kz_call *call = &request->call;
	int err;

	if (copy_from_user(arguments, address, sizeof(*arguments)))
		return -EFAULT;
	if (arguments->size != sizeof(*arguments) || (arguments->flags & ~KERNELZERO_ALIGN_HUGE) ||
	    !arguments->ranges_count)
		return -EINVAL;
	if (arguments->ranges_count > KZ_RANGES_MAX)
		return -E2BIG;
	call->mm = current->mm;
	call->request = request;
	call->flags = arguments->flags;
	call->ranges_count = arguments->ranges_count;
	INIT_LIST_HEAD(&call->tables);
	err = window_open(&request->window_arguments, (unsigned long)address, sizeof(*arguments));
	if (!err)
		err = ranges_read(request);
	if (!err)
		err = kinds_make(request);
	if (!err)
		err = check_overlap(request);
	return err;
}

void kz_request_free(struct kz_request *request)
{
	kvfree(request->window_arguments.pages);
	kvfree(request->window_ranges.pages);
	kvfree(request->window_kinds.pages);
	kvfree(request->call.kinds);
	kvfree(request->call.sorted);
	kvfree(request->call.ranges);
	kvfree(request->ranges);
}

/* Brings the memory for the answer in, before any lock is taken. Return: 0, -EFAULT, -ENOMEM or -EINTR. */
int kz_request_probe(struct kz_request *request)
{
	int err = window_probe(&request->window_arguments);

	if (!err)
		err = window_probe(&request->window_ranges);
	if (!err && request->window_kinds.pages)
		err = window_probe(&request->window_kinds);
	return err;
}

/**
 * kz_request_hold() - gets the pages for the answer. The mmap lock is held.
 *
 * Only now, and not before the ranges are taken: a reference to a small part of a huge page, as an allocator may have put
 * the arguments beside the data, would keep all of it from moving. The rest of such a page has been split by now.
 *
 * Return: 0, or -EAGAIN when a page is no longer there: kz_request_probe() brings it back, or tells that it can't.
 */
int kz_request_hold(struct kz_request *request)
{
	int err = kz_fault(-EFAULT);

	if (!err)
		err = window_hold(&request->window_arguments);
	if (!err)
		err = window_hold(&request->window_ranges);
	if (!err && request->window_kinds.pages)
		err = window_hold(&request->window_kinds);
	if (err)
		kz_request_release(request);
	return err;
}

void kz_request_release(struct kz_request *request)
{
	window_release(&request->window_arguments);
	window_release(&request->window_ranges);
	window_release(&request->window_kinds);
}

/* Translates the kinds that only this module knows to those that the caller knows. */
static void kinds_translate(struct kz_call *call)
{
	unsigned long i;

	for (i = 0; call->untouched && i < call->pages; i++) {
		if (call->kinds[i] == KZ_HOLE_UNTOUCHED)
			call->kinds[i] = KERNELZERO_HOLE;
	}
}

/* Writes the answer to the pages that kz_request_hold() got. Cannot fail. */
void kz_request_answer(struct kz_request *request)
{
	struct kernelzero_deanonymize *arguments = &request->arguments;
	struct kz_call *call = &request->call;
	unsigned long *counts = call->counts;
	unsigned int i;

	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];

		request->ranges[i].offset =
			((u64)range->index << PAGE_SHIFT) + offset_in_page(range->address);
	}
	arguments->moved_count = counts[KERNELZERO_MOVED];
	arguments->moved_huge_count = counts[KERNELZERO_MOVED_HUGE] / HPAGE_PMD_NR;
	arguments->moved_swap_count = counts[KERNELZERO_MOVED_SWAP];
	arguments->hole_count = counts[KERNELZERO_HOLE];
	arguments->copied_edge_count = counts[KERNELZERO_COPIED_EDGE];
	arguments->copied_shared_count = counts[KERNELZERO_COPIED_SHARED];
	arguments->copied_pinned_count = counts[KERNELZERO_COPIED_PINNED];
	arguments->copied_other_count = counts[KERNELZERO_COPIED_OTHER];
	arguments->file_bytes = call->file.bytes;
	window_write(&request->window_arguments, arguments);
	window_write(&request->window_ranges, request->ranges);
	if (request->window_kinds.pages) {
		kinds_translate(call);
		window_write(&request->window_kinds, call->kinds);
	}
}

/* Lets go of the pages that the answer was written to, if there is one. No lock is held. */
void kz_request_finish(struct kz_request *request)
{
	window_finish(&request->window_arguments);
	window_finish(&request->window_ranges);
	window_finish(&request->window_kinds);
}
