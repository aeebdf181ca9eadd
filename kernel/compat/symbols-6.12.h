/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux 6.12: which of its symbols the module uses that are not exported */
#ifndef KZ_COMPAT_SYMBOLS_6_12_H
#define KZ_COMPAT_SYMBOLS_6_12_H

#include <linux/fs.h>
#include <linux/ksm.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/quotaops.h>
#include <linux/rmap.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/vmstat.h>

/* asm/tlbflush.h, hidden from modules */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int stride_shift, bool freed_tables);

/* mm/swap.h, mm/vma.h, mm/internal.h */
struct folio *swap_cache_get_folio(swp_entry_t entry, struct vm_area_struct *vma,
				   unsigned long address);
int split_vma(struct vma_iterator *vmi, struct vm_area_struct *vma, unsigned long address,
	      int new_below);
bool __folio_unqueue_deferred_split(struct folio *folio);

/* What a page table's lock belongs to. */
#define KZ_PTLOCK_OWNER struct ptdesc

#define KZ_COMPAT_FUNCTIONS(FUNCTION)            \
	FUNCTION(__folio_unqueue_deferred_split) \
	FUNCTION(__percpu_counter_limited_add)   \
	FUNCTION(folio_remove_rmap_ptes)         \
	FUNCTION(split_huge_page_to_list_to_order)

#define KZ_COMPAT_DATA                         \
	struct mthp_stat __percpu *mthp_stats; \
	atomic_long_t *ksm_zero_pages;
#define KZ_COMPAT_FIND(FIND) \
	FIND(mthp_stats)     \
	FIND(ksm_zero_pages)

#endif
