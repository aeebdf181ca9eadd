/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux 6.1: operations on memory */
#ifndef KZ_COMPAT_MM_6_1_H
#define KZ_COMPAT_MM_6_1_H

/* VMA flags of this kernel alone that forbid a conversion. */
#define KZ_COMPAT_VM_REFUSED 0

static inline bool kz_mapping_is_shmem(struct address_space *mapping)
{
	return mapping->a_ops == &shmem_aops;
}

/* Keeps page faults out of @vma until the mmap lock is released. Here the mmap lock does that itself. */
static inline void kz_vma_lock(struct vm_area_struct *vma)
{
}

/* @vma has been locked by kz_vma_lock(). */
static inline void kz_vma_flags_change(struct vm_area_struct *vma, unsigned long set,
				       unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}

static inline int kz_vma_split(struct vm_area_struct *vma, unsigned long address, int new_below)
{
	return KZ_CALL(split_vma)(vma->vm_mm, vma, address, new_below);
}

/* Adds to the statistic @item of the page's node and control group. Interrupts or preemption are off. */
static inline void kz_stat_add(struct page *page, enum node_stat_item item, int count)
{
	__mod_lruvec_page_state(page, item, count);
}

static inline void kz_mm_counter_add(struct mm_struct *mm, int member, long value)
{
	atomic_long_add(value, &mm->rss_stat.count[member]);
}

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

/* Splits the large page that @page is in. It is locked, and the caller holds a reference. */
static inline int kz_page_split(struct page *page)
{
	return KZ_CALL(split_huge_page_to_list)(page, NULL);
}

static inline void kz_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address)
{
	KZ_CALL(__split_huge_pmd)(vma, pmd, address, false, NULL);
}

/* A page-table entry of the zero page goes away. */
static inline void kz_zero_page_unmap(struct mm_struct *mm, pte_t pte)
{
}

/* Reads a page of the caller's memory, with the mmap lock held, and takes a reference. */
static inline long kz_page_get(unsigned long address, struct page **page)
{
	return get_user_pages(address, 1, 0, page, NULL);
}

/* Gets up to @count pages of the caller's memory for writing, with the mmap lock held, without page faults. */
static inline long kz_pages_hold(unsigned long address, unsigned long count, struct page **pages)
{
	return get_user_pages(address, count, FOLL_WRITE | FOLL_NOFAULT, pages, NULL);
}

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

/* A mistake made on purpose. */
static inline void kz_blocks_disown(struct inode *inode, long pages)
{
}

static inline void kz_inode_touch(struct inode *inode)
{
	inode->i_ctime = current_time(inode);
	inode->i_mtime = inode->i_ctime;
}

#endif
