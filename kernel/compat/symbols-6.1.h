/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux 6.1: which of its symbols the module uses that are not exported */
#ifndef KZ_COMPAT_SYMBOLS_6_1_H
#define KZ_COMPAT_SYMBOLS_6_1_H

#include <linux/fs.h>
#include <linux/ksm.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/vmstat.h>

/* asm/tlbflush.h, hidden from modules */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int stride_shift, bool freed_tables);

/* mm/swap.h */
struct folio *swap_cache_get_folio(swp_entry_t entry, struct vm_area_struct *vma,
				   unsigned long address);

/* What a page table's lock belongs to. */
#define KZ_PTLOCK_OWNER struct page

#define KZ_COMPAT_FUNCTIONS(FUNCTION) \
	FUNCTION(page_remove_rmap)    \
	FUNCTION(split_huge_page_to_list)

#define KZ_COMPAT_DATA
#define KZ_COMPAT_FIND(FIND)

#endif
