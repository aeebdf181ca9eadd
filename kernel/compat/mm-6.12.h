/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux 6.12: operations on memory */
#ifndef KZ_COMPAT_MM_6_12_H
#define KZ_COMPAT_MM_6_12_H

/* VMA flags of this kernel alone that forbid a conversion. */
#define KZ_COMPAT_VM_REFUSED (VM_SEALED | VM_DROPPABLE | VM_SHADOW_STACK)

static inline bool kz_mapping_is_shmem(struct address_space *mapping)
{
	return shmem_mapping(mapping);
}

/* Keeps page faults out of @vma until the mmap lock is released. */
static inline void kz_vma_lock(struct vm_area_struct *vma)
{
	vma_start_write(vma);
}

/* @vma has been locked by kz_vma_lock(). */
static inline void kz_vma_flags_change(struct vm_area_struct *vma, unsigned long set,
				       unsigned long clear)
{
	ACCESS_PRIVATE(vma, __vm_flags) = (vma->vm_flags | set) & ~clear;
}

static inline int kz_vma_split(struct vm_area_struct *vma, unsigned long address, int new_below)
{
	VMA_ITERATOR(vmi, vma->vm_mm, vma->vm_start);

	return KZ_CALL(split_vma)(&vmi, vma, address, new_below);
}

/* Adds to the statistic @item of the page's node and control group. Interrupts or preemption are off. */
static inline void kz_stat_add(struct page *page, enum node_stat_item item, int count)
{
	__lruvec_stat_mod_folio(page_folio(page), item, count);
}

static inline void kz_mm_counter_add(struct mm_struct *mm, int member, long value)
{
	percpu_counter_add(&mm->rss_stat[member], value);
}

/* How many page tables map @page, alone or with the large page it is in. */
static inline int kz_page_mapcount(struct page *page)
{
	struct folio *folio = page_folio(page);
	int count = atomic_read(&page->_mapcount) + 1;

	return folio_test_large(folio) ? count + folio_entire_mapcount(folio) : count;
}

/* Takes one mapping of a page away that has lost its page-table entry. Preemption is off. */
static inline void kz_rmap_remove(struct page *page, struct vm_area_struct *vma)
{
	KZ_CALL(folio_remove_rmap_ptes)(page_folio(page), page, 1, vma);
}

/* Whether no page-table entry of a process maps a part of the huge page alone. Here the reference count tells. */
static inline bool kz_huge_is_whole(struct page *page)
{
	return true;
}

/*
 * Takes a huge page, mapped whole and only once and now frozen, out of the anonymous ones; the caller counts it in the
 * node's statistics.
 */
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

/* Splits the large page that @page is in. It is locked, and the caller holds a reference. */
static inline int kz_page_split(struct page *page)
{
	return KZ_CALL(split_huge_page_to_list_to_order)(page, NULL, 0);
}

static inline void kz_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address)
{
	KZ_CALL(__split_huge_pmd)(vma, pmd, address, false, NULL);
}

/* A page-table entry of the zero page goes away. */
static inline void kz_zero_page_unmap(struct mm_struct *mm, pte_t pte)
{
	if (pte_dirty(pte)) {
		atomic_long_dec(kz_data.ksm_zero_pages);
		atomic_long_dec(&mm->ksm_zero_pages);
	}
}

/* Reads a page of the caller's memory, with the mmap lock held, and takes a reference. */
static inline long kz_page_get(unsigned long address, struct page **page)
{
	return get_user_pages(address, 1, 0, page);
}

/* Gets up to @count pages of the caller's memory for writing, with the mmap lock held, without page faults. */
static inline long kz_pages_hold(unsigned long address, unsigned long count, struct page **pages)
{
	return get_user_pages(address, count, FOLL_WRITE | FOLL_NOFAULT, pages);
}

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

static inline void kz_inode_touch(struct inode *inode)
{
	inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
}

#endif
