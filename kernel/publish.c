// SPDX-License-Identifier: GPL-2.0-only
/*
 * The half of a call that cannot fail: pages of the process become pages of the file.
 *
 * All pages are locked and beyond the file's size until the last of them is in the tree, so that whoever finds one waits.
 */
#include "publish.h"

#include <asm/pgalloc.h>
#include <linux/highmem.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"
#include "file.h"

/*
 * Statistics that wait to be changed, of pages of the same node and control group. They may lag behind as long as all
 * pages are locked, since until then nobody can take one away again.
 */
struct run {
	struct page *page;
	int moved;
	int copied;
	int huge;
};

/* Huge pages take this many places in a node of the file's tree, each of which stands for 64 pages. */
#define HUGE_SLOTS (HPAGE_PMD_NR >> XA_CHUNK_SHIFT)

/*
 * The node that the last huge page went to, and which pages it is for. It stays as long as a page of the call is in it,
 * also while the tree is unlocked: nobody takes a locked page out of the tree.
 */
struct huge_node {
	struct xa_node *node;
	pgoff_t number;
};

static void run_end(struct run *run)
{
	int anon = run->moved + run->huge;
	int pages = anon + run->copied;
	unsigned long flags;

	if (!pages)
		return;
	local_irq_save(flags);
	if (anon && !kz_mutated(skip_nr_anon))
		kz_stat_add(run->page, NR_ANON_MAPPED, -anon);
	kz_stat_add(run->page, NR_FILE_PAGES, pages);
	if (!kz_mutated(skip_nr_shmem))
		kz_stat_add(run->page, NR_SHMEM, pages);
	if (run->huge) {
		kz_stat_add(run->page, NR_ANON_THPS, -run->huge);
		kz_stat_add(run->page, NR_SHMEM_THPS, run->huge);
	}
	local_irq_restore(flags);
	run->moved = 0;
	run->copied = 0;
	run->huge = 0;
}

/* @page is the next whose statistics change: the caller counts it. */
static __always_inline void run_add(struct run *run, struct page *page)
{
	if (run->page && (page_pgdat(run->page) != page_pgdat(page) ||
			  run->page->memcg_data != page->memcg_data))
		run_end(run);
	run->page = page;
}

/*
 * Makes a frozen page of the process one of the file. The reference that its page-table entry had becomes the file's.
 * Its flags may change at any time, as the LRU lists need no reference to change theirs.
 */
static __always_inline void adopt(struct page *page, struct address_space *mapping, pgoff_t index,
				  int references)
{
	unsigned long old = READ_ONCE(page->flags);
	unsigned long set = kz_mutated(skip_dirty) ? 0 : BIT(PG_dirty);

	while (!try_cmpxchg(&page->flags, &old, (old | set) & ~BIT(PG_anon_exclusive)))
		;
	page->mapping = mapping;
	page->index = index;
	page_ref_unfreeze(page, references);
}

static __always_inline void adopt_small(struct page *page, struct address_space *mapping,
					pgoff_t index)
{
	if (!kz_mutated(skip_rmap))
		atomic_set(&page->_mapcount, -1);
	adopt(page, mapping, index, 1);
}

static void nrpages_add(struct address_space *mapping, unsigned long pages)
{
	if (!kz_mutated(skip_nrpages))
		mapping->nrpages += pages;
}

static int publish_edge(struct kz_call *call, struct page *page, pgoff_t index, struct run *run)
{
	struct address_space *mapping = call->file.mapping;
	XA_STATE(xas, &mapping->i_pages, index);
	int err = kz_tree_begin(&call->file, &xas);

	if (err)
		return err;
	while (xas_load(&xas))
		kz_tree_wait(&xas);
	page->mapping = mapping;
	page->index = index;
	kz_tree_store(&call->file, &xas, page);
	nrpages_add(mapping, 1);
	run_add(run, page);
	run->copied++;
	kz_tree_end(&call->file, &xas);
	return 0;
}

/* Whether the places of the huge page at @index are in the node of the last one, and empty. */
static bool is_next_huge(struct huge_node *last, pgoff_t index)
{
	unsigned int offset = (index >> XA_CHUNK_SHIFT) & XA_CHUNK_MASK;
	unsigned int i;

	if (!last->node || last->number != index >> (2 * XA_CHUNK_SHIFT))
		return false;
	for (i = 0; i < HUGE_SLOTS; i++) {
		if (rcu_access_pointer(last->node->slots[offset + i]))
			return false;
	}
	return true;
}

/* Stores a huge page in a node it knows: as xas_store() would, but without going down the tree again. */
static void store_next_huge(struct huge_node *last, pgoff_t index, struct page *page)
{
	unsigned int offset = (index >> XA_CHUNK_SHIFT) & XA_CHUNK_MASK;
	unsigned int i;

	rcu_assign_pointer(last->node->slots[offset], page);
	for (i = 1; i < HUGE_SLOTS; i++)
		rcu_assign_pointer(last->node->slots[offset + i], xa_mk_sibling(offset));
	last->node->count += HUGE_SLOTS;
}

static int publish_huge(struct kz_call *call, struct kz_table *table, struct run *run,
			struct huge_node *last)
{
	struct address_space *mapping = call->file.mapping;
	XA_STATE_ORDER(xas, &mapping->i_pages, table->index, HPAGE_PMD_ORDER);
	struct page *page = pmd_page(table->huge);
	int err = kz_tree_begin(&call->file, &xas);
	bool next;

	if (err)
		return err;
	next = is_next_huge(last, table->index);
	while (!next && xas_find_conflict(&xas))
		kz_tree_wait(&xas);
	kz_huge_leave_anon(page);
	adopt(page, mapping, table->index, HPAGE_PMD_NR);
	if (next) {
		store_next_huge(last, table->index, page);
	} else {
		kz_tree_store(&call->file, &xas, page);
		last->node = xas.xa_node;
		last->number = table->index >> (2 * XA_CHUNK_SHIFT);
	}
	nrpages_add(mapping, HPAGE_PMD_NR);
	run_add(run, page);
	run->huge += HPAGE_PMD_NR;
	kz_tree_end(&call->file, &xas);
	return 0;
}

static __always_inline void *tree_entry(struct kz_table *table, unsigned int i)
{
	struct kz_entry *entry = table->entries + i;

	if (entry->page)
		return entry->page;
	if (table->kinds[i] == KERNELZERO_MOVED_SWAP)
		return swp_to_radix_entry(pte_to_swp_entry(entry->pte));
	return NULL;
}

/* Prepares an entry's page, if it has one, right before it is stored at @index. */
static __always_inline void prepare(struct kz_call *call, struct kz_table *table, unsigned int i,
				    pgoff_t index, struct run *run)
{
	struct page *page = table->entries[i].page;

	if (!page)
		return;
	run_add(run, page);
	if (table->kinds[i] == KERNELZERO_MOVED) {
		adopt_small(page, call->file.mapping, index);
		run->moved++;
	} else {
		page->mapping = call->file.mapping;
		page->index = index;
		run->copied++;
	}
}

/* Stores an entry in a node it knows: as xas_store() would, but without going down the tree again. */
static __always_inline void store_next(struct xa_node *node, pgoff_t index, void *entry)
{
	void __rcu **slot = &node->slots[index & XA_CHUNK_MASK];

	rcu_assign_pointer(*slot, entry);
	node->count++;
	node->nr_values += xa_is_value(entry);
}

static __always_inline bool is_empty(struct xa_node *node, pgoff_t index)
{
	return !rcu_access_pointer(node->slots[index & XA_CHUNK_MASK]);
}

static int publish_pages(struct kz_call *call, struct kz_table *table, struct run *run)
{
	struct address_space *mapping = call->file.mapping;
	XA_STATE(xas, &mapping->i_pages, table->index);
	struct xa_node *node = NULL;
	unsigned int i;
	int err;

	if (!(table->moved + table->swapped + table->copied))
		return 0;
	err = kz_tree_begin(&call->file, &xas);
	if (err)
		return err;
	for (i = 0; i < table->count; i++) {
		pgoff_t index = table->index + i;
		void *entry = tree_entry(table, i);

		if (!(index & XA_CHUNK_MASK))
			node = NULL;
		if (!entry)
			continue;
		if (likely(node && is_empty(node, index))) {
			prepare(call, table, i, index, run);
			store_next(node, index, entry);
			continue;
		}
		xas_set(&xas, index);
		while (xas_load(&xas))
			kz_tree_wait(&xas);
		prepare(call, table, i, index, run);
		kz_tree_store(&call->file, &xas, entry);
		/* A tree with one entry at 0 has no node. */
		node = xas.xa_node && !xas.xa_node->shift ? xas.xa_node : NULL;
	}
	nrpages_add(mapping, table->moved + table->copied);
	kz_tree_end(&call->file, &xas);
	return 0;
}

/* swapoff(8) finds the file's swap entries through a list, from which it drops files that have none. */
static void swaplist_join(struct kz_call *call)
{
	struct shmem_inode_info *info = SHMEM_I(call->file.inode);

	if (!call->counts[KERNELZERO_MOVED_SWAP])
		return;
	mutex_lock(kz_data.shmem_swaplist_mutex);
	if (list_empty(&info->swaplist) && !kz_mutated(skip_swaplist))
		list_add(&info->swaplist, kz_data.shmem_swaplist);
	spin_lock_irq(&info->lock);
	info->swapped += call->counts[KERNELZERO_MOVED_SWAP];
	spin_unlock_irq(&info->lock);
	mutex_unlock(kz_data.shmem_swaplist_mutex);
}

static void swaplist_leave(struct kz_call *call)
{
	struct shmem_inode_info *info = SHMEM_I(call->file.inode);

	spin_lock_irq(&info->lock);
	info->swapped -= call->counts[KERNELZERO_MOVED_SWAP];
	spin_unlock_irq(&info->lock);
}

/* Stores everything in the tree, in the order of the file. Only the very first store may return an error. */
static int store_all(struct kz_call *call)
{
	struct kz_table *table = list_first_entry(&call->tables, struct kz_table, list);
	struct huge_node last = {};
	struct run run = {};
	unsigned int i;
	int err = 0;

	for (i = 0; i < call->ranges_count && !err; i++) {
		struct kz_range *range = &call->ranges[i];
		pgoff_t end = range->index + range->pages;

		if (range->head)
			err = publish_edge(call, range->head, range->index, &run);
		while (!err && !list_entry_is_head(table, &call->tables, list) &&
		       table->index < end) {
			if (table->entries)
				err = publish_pages(call, table, &run);
			else
				err = publish_huge(call, table, &run, &last);
			table = list_next_entry(table, list);
			cond_resched();
		}
		if (!err && range->tail)
			err = publish_edge(call, range->tail, end - 1, &run);
	}
	run_end(&run);
	return err;
}

/* A copy is in the file for good. */
static void finish_copy(struct page *page)
{
	folio_add_lru(page_folio(page));
	unlock_page(page);
}

/* The old page of a copy: no longer the caller's. */
static void finish_replaced(struct kz_table *table, struct page *old)
{
	preempt_disable();
	kz_rmap_remove(old, table->vma);
	preempt_enable();
	KZ_CALL(free_page_and_swap_cache)(old);
}

/*
 * Where the caller never wrote it goes on seeing the zero page. Without it a read would make a page of the file, for which
 * there may be no room.
 */
static pte_t zero_entry(struct kz_table *table, unsigned int i)
{
	pte_t pte = table->entries[i].pte;

	if (!pte_none(pte))
		return pte;
	return pte_mkspecial(pfn_pte(my_zero_pfn(table->address), table->vma->vm_page_prot));
}

/* Writes the entries of kept pages back, and those of the zero page. */
static void finish_staying(struct kz_call *call, struct kz_table *table)
{
	spinlock_t *lock = pte_lockptr(call->mm, table->pmd);
	unsigned int i;

	spin_lock(lock);
	for (i = 0; i < table->count; i++) {
		pte_t *pte = table->ptes + i;
		unsigned long address = table->address + i * PAGE_SIZE;

		if (kz_is_kept(table->kinds[i]))
			set_pte_at(call->mm, address, pte, table->entries[i].pte);
		else if (table->kinds[i] == KERNELZERO_HOLE && !kz_mutated(skip_zero_page))
			set_pte_at(call->mm, address, pte, zero_entry(table, i));
	}
	spin_unlock(lock);
}

static void finish_pages(struct kz_call *call, struct kz_table *table)
{
	unsigned int i;

	for (i = 0; i < table->count; i++) {
		struct kz_entry *entry = table->entries + i;
		struct page *page = entry->page;

		if (likely(table->kinds[i] == KERNELZERO_MOVED)) {
			unlock_page(page);
		} else if (page) {
			finish_copy(page);
			if (!kz_is_kept(table->kinds[i]))
				finish_replaced(table, pte_page(entry->pte));
		}
	}
	if (table->kept || table->holes)
		finish_staying(call, table);
}

/* The table of page-table entries that the kernel keeps for splitting a huge page. */
static void finish_huge(struct kz_call *call, struct kz_table *table)
{
	spinlock_t *lock;
	pgtable_t pgtable;

	unlock_page(pmd_page(table->huge));
	if (kz_mutated(skip_pgtable_free))
		return;
	lock = pmd_lock(call->mm, table->pmd);
	pgtable = KZ_CALL(pgtable_trans_huge_withdraw)(call->mm, table->pmd);
	spin_unlock(lock);
	pte_free(call->mm, pgtable);
	mm_dec_nr_ptes(call->mm);
}

/* The file has its new size: lets go of all pages, and of the old ones that were copied. */
static void finish_all(struct kz_call *call)
{
	struct kz_table *table;
	long anon = 0;
	unsigned int i;

	list_for_each_entry (table, &call->tables, list) {
		if (table->entries) {
			finish_pages(call, table);
			anon += table->moved + table->copied - table->kept;
		} else {
			finish_huge(call, table);
			anon += HPAGE_PMD_NR;
		}
		cond_resched();
	}
	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];

		if (range->head)
			finish_copy(range->head);
		if (range->tail)
			finish_copy(range->tail);
	}
	if (kz_mutated(skip_rss))
		return;
	update_hiwater_rss(call->mm);
	kz_mm_counter_add(call->mm, MM_ANONPAGES, -anon);
	kz_mm_counter_add(call->mm, MM_SWAPENTS, -(long)call->counts[KERNELZERO_MOVED_SWAP]);
}

/**
 * kz_publish() - gives all that has been taken and copied to the file.
 * @call: reserved and prepared; the file's and the mmap lock are held. Its tables' pages belong to the file afterwards.
 *
 * Return: 0, or -EAGAIN when the file's end is just being collapsed into a huge page and nothing has happened.
 */
int kz_publish(struct kz_call *call)
{
	int err;

	if (kz_mutated(early_size))
		i_size_write(call->file.inode, call->file.bytes);
	swaplist_join(call);
	err = store_all(call);
	if (err) {
		swaplist_leave(call);
		return err;
	}
	kz_file_grow(call);
	finish_all(call);
	return 0;
}
