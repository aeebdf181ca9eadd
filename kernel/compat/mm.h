/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations on memory that kernels do in different ways. */
#ifndef KZ_COMPAT_MM_H
#define KZ_COMPAT_MM_H

#include "../symbols.h"

/* VMA flags that forbid a conversion, of those that not every kernel has. */
#ifdef VM_SEALED
#define KZ_VM_SEALED VM_SEALED
#else
#define KZ_VM_SEALED 0
#endif
#ifdef VM_DROPPABLE
#define KZ_VM_DROPPABLE VM_DROPPABLE
#else
#define KZ_VM_DROPPABLE 0
#endif
#ifdef VM_SHADOW_STACK
#define KZ_VM_SHADOW_STACK VM_SHADOW_STACK
#else
#define KZ_VM_SHADOW_STACK 0
#endif
#define KZ_COMPAT_VM_REFUSED (KZ_VM_SEALED | KZ_VM_DROPPABLE | KZ_VM_SHADOW_STACK)

/* Keeps page faults out of @vma until the mmap lock is released. Without locks of VMAs that one does it itself. */
static inline void kz_vma_lock(struct vm_area_struct *vma)
{
#ifdef KZ_HAS_VMA_LOCKS
	vma_start_write(vma);
#endif
}

/* @vma has been locked by kz_vma_lock(). */
static inline void kz_vma_flags_change(struct vm_area_struct *vma, unsigned long set,
				       unsigned long clear)
{
#ifdef KZ_HAS_VMA_FLAGS_PRIVATE
	ACCESS_PRIVATE(vma, __vm_flags) = (vma->vm_flags | set) & ~clear;
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

static inline int kz_vma_split(struct vm_area_struct *vma, unsigned long address, int new_below)
{
#ifdef KZ_HAS_SPLIT_VMA_OF_MM
	return KZ_CALL(split_vma)(vma->vm_mm, vma, address, new_below);
#else
	VMA_ITERATOR(vmi, vma->vm_mm, vma->vm_start);

	return KZ_CALL(split_vma)(&vmi, vma, address, new_below);
#endif
}

/* Adds to the statistic @item of the page's node and control group. Interrupts or preemption are off. */
static inline void kz_stat_add(struct page *page, enum node_stat_item item, int count)
{
	__lruvec_stat_mod_folio(page_folio(page), item, count);
}

static inline void kz_mm_counter_add(struct mm_struct *mm, int member, long value)
{
#ifdef KZ_HAS_RSS_PER_CPU
	percpu_counter_add(&mm->rss_stat[member], value);
#else
	atomic_long_add(value, &mm->rss_stat.count[member]);
#endif
}

#ifdef KZ_RMAP_OF_PAGES

/* How many page tables map @page, alone or with the large page it is in. */
static inline int kz_page_mapcount(struct page *page)
{
	return page_mapcount(page);
}

/* Takes one mapping of a page away that has lost its page-table entry. Preemption is off. */
static inline void kz_rmap_remove(struct page *page, struct vm_area_struct *vma)
{
	KZ_CALL(page_remove_rmap)(page, vma, false);
}

/* Whether no page-table entry of a process maps a part of the huge page alone, nor has done so. */
static inline bool kz_huge_is_whole(struct page *page)
{
	return !PageDoubleMap(page);
}

/*
 * Takes a huge page, mapped whole and only once and now frozen, out of the anonymous ones; the caller counts it in the
 * node's statistics.
 */
static inline void kz_huge_leave_anon(struct page *page)
{
	atomic_set(compound_mapcount_ptr(page), -1);
}

/* The page of @entry, in the swap cache, with a reference; NULL without memory. It may still have to be read. */
static inline struct folio *kz_swap_read(swp_entry_t entry, gfp_t gfp, struct vm_area_struct *vma,
					 unsigned long address)
{
	struct page *page = KZ_CALL(read_swap_cache_async)(entry, gfp, vma, address, false, NULL);

	return page ? page_folio(page) : NULL;
}

#else

static inline int kz_page_mapcount(struct page *page)
{
	struct folio *folio = page_folio(page);
	int count = atomic_read(&page->_mapcount) + 1;

	return folio_test_large(folio) ? count + folio_entire_mapcount(folio) : count;
}

static inline void kz_rmap_remove(struct page *page, struct vm_area_struct *vma)
{
	KZ_CALL(folio_remove_rmap_ptes)(page_folio(page), page, 1, vma);
}

/* Here the reference count tells. */
static inline bool kz_huge_is_whole(struct page *page)
{
	return true;
}

static inline void kz_huge_leave_anon(struct page *page)
{
	struct folio *folio = page_folio(page);

	atomic_set(&folio->_entire_mapcount, -1);
	atomic_set(&folio->_large_mapcount, -1);
	atomic_set(&folio->_nr_pages_mapped, 0);
	if (!list_empty(&folio->_deferred_list))
		KZ_CALL(__folio_unqueue_deferred_split)(folio);
	this_cpu_dec(kz_data.mthp_stats->stats[HPAGE_PMD_ORDER][MTHP_STAT_NR_ANON]);
}

static inline struct folio *kz_swap_read(swp_entry_t entry, gfp_t gfp, struct vm_area_struct *vma,
					 unsigned long address)
{
	return KZ_CALL(read_swap_cache_async)(entry, gfp, vma, address, NULL);
}

#endif

/* Splits the large page that @page is in. It is locked, and the caller holds a reference. */
static inline int kz_page_split(struct page *page)
{
#ifdef KZ_HAS_SPLIT_HUGE_PAGE_TO_ORDER
	return KZ_CALL(split_huge_page_to_list_to_order)(page, NULL, 0);
#else
	return KZ_CALL(split_huge_page_to_list)(page, NULL);
#endif
}

static inline void kz_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address)
{
	KZ_CALL(__split_huge_pmd)(vma, pmd, address, false, NULL);
}

#ifdef KZ_HAS_GET_USER_PAGES_VMAS
#define KZ_GET_USER_PAGES(address, count, flags, pages) \
	get_user_pages(address, count, flags, pages, NULL)
#else
#define KZ_GET_USER_PAGES(address, count, flags, pages) get_user_pages(address, count, flags, pages)
#endif

/* Reads a page of the caller's memory, with the mmap lock held, and takes a reference. */
static inline long kz_page_get(unsigned long address, struct page **page)
{
	return KZ_GET_USER_PAGES(address, 1, 0, page);
}

/* Gets up to @count pages of the caller's memory for writing, with the mmap lock held, without page faults. */
static inline long kz_pages_hold(unsigned long address, unsigned long count, struct page **pages)
{
	return KZ_GET_USER_PAGES(address, count, FOLL_WRITE | FOLL_NOFAULT, pages);
}

/* Tells the kernel that the memory of a page is broken. */
static inline void kz_page_broken(struct page *page)
{
#ifdef CONFIG_MEMORY_FAILURE
	memory_failure_queue(page_to_pfn(page), 0);
#endif
}

#ifdef KZ_HAS_COUNTER_LIMITED_ADD

/* Reserves @pages blocks of the file system and of the owner's quota; they count as the inode's at once. */
static inline int kz_blocks_reserve(struct inode *inode, long pages)
{
	struct shmem_sb_info *sb = inode->i_sb->s_fs_info;
	int err;

	if (sb->max_blocks &&
	    !KZ_CALL(__percpu_counter_limited_add)(&sb->used_blocks, sb->max_blocks, pages,
						   percpu_counter_batch))
		return -ENOSPC;
	err = dquot_alloc_block_nodirty(inode, pages);
	if (err && sb->max_blocks)
		percpu_counter_sub(&sb->used_blocks, pages);
	return err;
}

static inline void kz_blocks_release(struct inode *inode, long pages)
{
	struct shmem_sb_info *sb = inode->i_sb->s_fs_info;

	dquot_free_block_nodirty(inode, pages);
	if (sb->max_blocks)
		percpu_counter_sub(&sb->used_blocks, pages);
}

/* Counts blocks that were reserved as the inode's: here the reservation has done that. */
static inline void kz_blocks_own(struct inode *inode, long pages)
{
}

/* A mistake made on purpose. */
static inline void kz_blocks_disown(struct inode *inode, long pages)
{
	inode_sub_bytes(inode, pages * PAGE_SIZE);
}

#else

/*
 * Reserves @pages blocks of the file system. As in this kernel's shmem itself, two callers at the same moment may pass
 * the limit by what the per-CPU counters hold back.
 */
static inline int kz_blocks_reserve(struct inode *inode, long pages)
{
	struct shmem_sb_info *sb = inode->i_sb->s_fs_info;

	if (!sb->max_blocks)
		return 0;
	if (percpu_counter_compare(&sb->used_blocks, (s64)sb->max_blocks - pages) > 0)
		return -ENOSPC;
	percpu_counter_add(&sb->used_blocks, pages);
	return 0;
}

static inline void kz_blocks_release(struct inode *inode, long pages)
{
	struct shmem_sb_info *sb = inode->i_sb->s_fs_info;

	if (sb->max_blocks)
		percpu_counter_sub(&sb->used_blocks, pages);
}

/* Counts blocks that were reserved as the inode's. shmem_inode_info.lock is held. */
static inline void kz_blocks_own(struct inode *inode, long pages)
{
	inode->i_blocks += pages * (PAGE_SIZE / 512);
}

static inline void kz_blocks_disown(struct inode *inode, long pages)
{
}

#endif

static inline void kz_inode_touch(struct inode *inode)
{
#ifdef KZ_HAS_INODE_CTIME_PRIVATE
	inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
#else
	inode->i_ctime = current_time(inode);
	inode->i_mtime = inode->i_ctime;
#endif
}

#endif
