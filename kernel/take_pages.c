// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes what single page-table entries hold: pages of 4 KiB, swap entries, and all else to be copied.
 *
 * A page is taken by clearing its entry and then freezing its reference count, which succeeds only when the entry held
 * the one reference. That shuts out everybody who finds pages in other ways than through page tables: lockless
 * get_user_pages(), the LRU lists, compaction, memory failure. A frozen and locked page cannot be seen to change.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"
#include "take.h"

/* Flags of a page that can move, and which of them have to be set. */
#define FLAGS_LOOKED_AT \
	(BIT(PG_head) | BIT(PG_swapbacked) | BIT(PG_uptodate) | __PG_HWPOISON | BIT(PG_reserved))
#define FLAGS_EXPECTED (BIT(PG_swapbacked) | BIT(PG_uptodate))

static __always_inline bool is_movable(struct page *page)
{
	unsigned long mapping = (unsigned long)READ_ONCE(page->mapping);

	return (READ_ONCE(page->flags) & FLAGS_LOOKED_AT) == FLAGS_EXPECTED &&
	       (mapping & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_ANON &&
	       !(READ_ONCE(page->compound_head) & 1) && !is_zone_device_page(page);
}

static __always_inline pte_t clear_entry(struct kz_call *call, struct kz_table *table,
					 unsigned int i)
{
	return ptep_get_and_clear(call->mm, table->address + i * PAGE_SIZE, table->ptes + i);
}

/* The entry's page will be copied. Its entry goes now, so that the copy is of bytes that don't change any more. */
static enum kz_step take_copy(struct kz_call *call, struct kz_table *table, unsigned int i,
			      enum kernelzero_page why)
{
	table->entries[i].pte = clear_entry(call, table, i);
	table->kinds[i] = why;
	table->copied++;
	table->kept += kz_is_kept(why);
	call->counts[why]++;
	return KZ_DONE;
}

/* Nothing, or the zero page. It will be the zero page in the mapping of the file, too (publish.c). */
static enum kz_step take_hole(struct kz_call *call, struct kz_table *table, unsigned int i)
{
	table->kinds[i] = KERNELZERO_HOLE;
	table->holes++;
	call->counts[KERNELZERO_HOLE]++;
	return KZ_DONE;
}

static enum kz_step take_zero_page(struct kz_call *call, struct kz_table *table, unsigned int i,
				   pte_t pte)
{
	if (!is_zero_pfn(pte_pfn(pte)))
		return KZ_POISONED;
	table->entries[i].pte = clear_entry(call, table, i);
	return take_hole(call, table, i);
}

/* Whether others map each part of a large page that anybody maps: none of them could move if it were split. */
static bool is_shared(struct kz_call *call, struct page *head)
{
	unsigned int i;

	if (head == call->shared)
		return true;
	for (i = 0; i < compound_nr(head); i++) {
		if (kz_page_mapcount(nth_page(head, i)) == 1)
			return false;
	}
	call->shared = head;
	return true;
}

static enum kz_step take_large(struct kz_call *call, struct kz_table *table, unsigned int i,
			       struct page *page, unsigned int tries)
{
	struct page *head = compound_head(page);
	bool shared = kz_page_mapcount(page) > 1;

	/* It is split before any part of it is taken: what has been taken can't be split any more. */
	if (shared && (head == call->unsplittable || tries >= KZ_TRIES || is_shared(call, head) ||
		       kz_mutated(split_late)))
		return take_copy(call, table, i, KERNELZERO_COPIED_SHARED);
	if (tries < KZ_TRIES && head != call->unsplittable) {
		get_page(page);
		call->pending = page;
		return KZ_SPLIT;
	}
	/* References that nobody can account for keep an anonymous page from being split. */
	return take_copy(call, table, i,
			 head == call->unsplittable ? KERNELZERO_COPIED_PINNED
						    : KERNELZERO_COPIED_OTHER);
}

/* A page that is_movable() refuses. */
static noinline enum kz_step take_unmovable(struct kz_call *call, struct kz_table *table,
					    unsigned int i, struct page *page, unsigned int tries)
{
	if (PageHWPoison(page))
		return KZ_POISONED;
	if (PageKsm(page))
		return take_copy(call, table, i, KERNELZERO_COPIED_SHARED);
	if (PageCompound(page) && PageAnon(page))
		return take_large(call, table, i, page, tries);
	/* MADV_FREE: the kernel may drop it. A device's memory. */
	return take_copy(call, table, i, KERNELZERO_COPIED_OTHER);
}

/* A locked page whose entry, put back meanwhile, does not hold the only reference. Unlocks it. */
static noinline enum kz_step take_referenced(struct kz_call *call, struct kz_table *table,
					     unsigned int i, struct page *page, unsigned int tries)
{
	enum kz_step step = tries < KZ_TRIES ? KZ_DRAIN : KZ_DONE;
	enum kernelzero_page why = KERNELZERO_COPIED_PINNED;

	if (kz_page_mapcount(page) > 1) {
		why = KERNELZERO_COPIED_SHARED;
		step = KZ_DONE;
	} else if (folio_test_swapcache(page_folio(page))) {
		if (KZ_CALL(folio_free_swap)(page_folio(page))) {
			step = KZ_AGAIN;
		} else if (PageWriteback(page)) {
			step = tries < KZ_TRIES ? KZ_WAIT : KZ_DONE;
			why = KERNELZERO_COPIED_OTHER;
		} else {
			/* Another process has it swapped out. */
			why = KERNELZERO_COPIED_SHARED;
			step = KZ_DONE;
		}
	}
	unlock_page(page);
	return step == KZ_DONE ? take_copy(call, table, i, why) : step;
}

static __always_inline enum kz_step take_present(struct kz_call *call, struct kz_table *table,
						 unsigned int i, pte_t pte, unsigned int tries)
{
	struct kz_entry *entry = table->entries + i;
	struct page *page = pte_page(pte);

	if (unlikely(pte_special(pte)))
		return take_zero_page(call, table, i, pte);
	if (unlikely(!is_movable(page)))
		return take_unmovable(call, table, i, page, tries);
	if (unlikely(!trylock_page(page))) {
		if (tries < KZ_TRIES)
			return KZ_WAIT;
		return take_copy(call, table, i, KERNELZERO_COPIED_OTHER);
	}
	pte = clear_entry(call, table, i);
	if (unlikely(!page_ref_freeze(page, 1)) && !kz_mutated(skip_pin_check)) {
		set_pte_at(call->mm, table->address + i * PAGE_SIZE, table->ptes + i, pte);
		return take_referenced(call, table, i, page, tries);
	}
	entry->pte = pte;
	entry->page = page;
	table->kinds[i] = KERNELZERO_MOVED;
	table->moved++;
	return KZ_DONE;
}

/*
 * A swap entry moves when it is the only one to its place on the swap device, and when no page is cached there: a page in
 * the swap cache may be mapped by others, or large, which shmem does not expect. Readahead may put a page there at any
 * later time, a small one that nobody maps; shmem knows these.
 */
static noinline enum kz_step take_swap(struct kz_call *call, struct kz_table *table, unsigned int i,
				       pte_t pte)
{
	swp_entry_t swap = pte_to_swp_entry(pte);
	struct folio *cached;

	if (is_hwpoison_entry(swap))
		return KZ_POISONED;
	/* File systems without swap: mapping_unevictable() */
	if (non_swap_entry(swap) || mapping_unevictable(call->file.mapping))
		return KZ_FAULT;
	if (KZ_CALL(__swap_count)(swap) != 1 && !kz_mutated(swap_shared))
		return KZ_FAULT;
	cached = KZ_CALL(swap_cache_get_folio)(swap, NULL, 0);
	if (cached) {
		bool large = folio_test_large(cached);

		folio_put(cached);
		if (!(large && kz_mutated(swap_in_cache_thp)))
			return KZ_FAULT;
	}
	table->entries[i].pte = clear_entry(call, table, i);
	table->kinds[i] = KERNELZERO_MOVED_SWAP;
	table->swapped++;
	return KZ_DONE;
}

static __always_inline enum kz_step take_entry(struct kz_call *call, struct kz_table *table,
					       unsigned int i, unsigned int tries)
{
	pte_t pte = READ_ONCE(table->ptes[i]);

	if (likely(pte_present(pte)))
		return take_present(call, table, i, pte, tries);
	if (!pte_none(pte))
		return take_swap(call, table, i, pte);
	return take_hole(call, table, i);
}

/**
 * kz_take_pages() - takes all of @table's entries.
 *
 * Return: 0, -ENOMEM, -EFAULT or -EINTR; then some have been taken.
 */
int kz_take_pages(struct kz_call *call, struct kz_table *table)
{
	spinlock_t *lock = pte_lockptr(call->mm, table->pmd);
	unsigned int i = 0;
	unsigned int tries = 0;
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	table->entries = kcalloc(table->count, sizeof(*table->entries), KZ_GFP);
	if (!table->entries)
		return -ENOMEM;
	/* No table of this process goes away under the mmap lock. */
	table->ptes = pte_offset_kernel(table->pmd, table->address);

	spin_lock(lock);
	while (i < table->count) {
		enum kz_step step = take_entry(call, table, i, tries);

		if (likely(step == KZ_DONE)) {
			i++;
			tries = 0;
			continue;
		}
		spin_unlock(lock);
		err = kz_table_settle(call, table->vma, table->address + i * PAGE_SIZE, step,
				      tries);
		if (err)
			return err;
		tries++;
		spin_lock(lock);
	}
	spin_unlock(lock);
	call->counts[KERNELZERO_MOVED] += table->moved;
	call->counts[KERNELZERO_MOVED_SWAP] += table->swapped;
	return 0;
}

static void entry_undo(struct kz_call *call, struct kz_table *table, unsigned int i)
{
	struct kz_entry *entry = table->entries + i;

	if (table->kinds[i] == KERNELZERO_MOVED) {
		page_ref_unfreeze(entry->page, 1);
		unlock_page(entry->page);
	} else if (entry->page) {
		/* A copy, which nobody has seen. */
		unlock_page(entry->page);
		put_page(entry->page);
	}
	set_pte_at(call->mm, table->address + i * PAGE_SIZE, table->ptes + i, entry->pte);
}

void kz_take_pages_undo(struct kz_call *call, struct kz_table *table)
{
	spinlock_t *lock = pte_lockptr(call->mm, table->pmd);
	unsigned int i;

	if (kz_mutated(skip_undo_pte))
		return;
	spin_lock(lock);
	for (i = 0; i < table->count; i++) {
		if (!pte_none(table->entries[i].pte))
			entry_undo(call, table, i);
	}
	spin_unlock(lock);
}
