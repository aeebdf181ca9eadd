/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences between kernels: which symbols the module uses that are not exported.
 *
 * Nothing asks for the version. KZ_HAS_... says what this kernel's headers have, found out by compiling the files of
 * `probes`. Parts that are private to the kernel have no header to compile against: they go by what came with them.
 */
#ifndef KZ_COMPAT_H
#define KZ_COMPAT_H

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

#include "probed.h"

#if !defined(CONFIG_X86_64) || !defined(CONFIG_TRANSPARENT_HUGEPAGE) || !defined(CONFIG_SHMEM) || \
	!defined(CONFIG_SWAP) || !defined(CONFIG_MEMCG)
#error "KernelZero needs x86-64 and a kernel with THP, shmem, swap and memory control groups"
#endif

/*
 * How anonymous memory is counted decides whether pages can be taken at all: a kernel that does it in a third way may have
 * everything else, and would still be ruined. docs/kernelzero.md says what such a kernel needs.
 */
#if defined(KZ_HAS_RMAP_OF_PAGE) && defined(KZ_HAS_DOUBLE_MAP) && !defined(KZ_HAS_LARGE_MAPCOUNT)
#define KZ_RMAP_OF_PAGES 1
#elif defined(KZ_HAS_RMAP_OF_FOLIO) && defined(KZ_HAS_LARGE_MAPCOUNT) && \
	defined(KZ_HAS_MTHP_STAT_ANON) && !defined(KZ_HAS_MAPCOUNT_BY_PROCESS)
#define KZ_RMAP_OF_FOLIOS 1
#else
#error "KernelZero does not know how this kernel counts who maps a page: docs/kernelzero.md, \"Supported kernels\""
#endif

/* asm/tlbflush.h, hidden from modules */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int stride_shift, bool freed_tables);

/* mm/swap.h */
struct swap_iocb;
struct folio *swap_cache_get_folio(swp_entry_t entry, struct vm_area_struct *vma,
				   unsigned long address);
#ifdef KZ_RMAP_OF_PAGES
struct page *read_swap_cache_async(swp_entry_t entry, gfp_t gfp, struct vm_area_struct *vma,
				   unsigned long address, bool polls, struct swap_iocb **plug);
#else
struct folio *read_swap_cache_async(swp_entry_t entry, gfp_t gfp, struct vm_area_struct *vma,
				    unsigned long address, struct swap_iocb **plug);
#endif

/* mm/vma.h */
#ifndef KZ_HAS_SPLIT_VMA_OF_MM
int split_vma(struct vma_iterator *vmi, struct vm_area_struct *vma, unsigned long address,
	      int new_below);
#endif

/* mm/internal.h */
#ifdef KZ_RMAP_OF_FOLIOS
bool __folio_unqueue_deferred_split(struct folio *folio);
#endif

/* The type that a page table's lock belongs to. */
#ifdef KZ_HAS_PTLOCK_OF_PTDESC
#define KZ_PTLOCK_OWNER struct ptdesc
#else
#define KZ_PTLOCK_OWNER struct page
#endif

#ifdef KZ_RMAP_OF_PAGES
#define KZ_RMAP_FUNCTIONS(FUNCTION) FUNCTION(page_remove_rmap)
#define KZ_COMPAT_DATA
#define KZ_COMPAT_FIND(FIND)
#else
#define KZ_RMAP_FUNCTIONS(FUNCTION)      \
	FUNCTION(folio_remove_rmap_ptes) \
	FUNCTION(__folio_unqueue_deferred_split)
#define KZ_COMPAT_DATA	     struct mthp_stat __percpu *mthp_stats;
#define KZ_COMPAT_FIND(FIND) FIND(mthp_stats)
#endif

#ifdef KZ_HAS_SPLIT_HUGE_PAGE_TO_ORDER
#define KZ_SPLIT_FUNCTIONS(FUNCTION) FUNCTION(split_huge_page_to_list_to_order)
#else
#define KZ_SPLIT_FUNCTIONS(FUNCTION) FUNCTION(split_huge_page_to_list)
#endif

#ifdef KZ_HAS_COUNTER_LIMITED_ADD
#define KZ_BLOCK_FUNCTIONS(FUNCTION) FUNCTION(__percpu_counter_limited_add)
#else
#define KZ_BLOCK_FUNCTIONS(FUNCTION)
#endif

#define KZ_COMPAT_FUNCTIONS(FUNCTION) \
	KZ_RMAP_FUNCTIONS(FUNCTION)   \
	KZ_SPLIT_FUNCTIONS(FUNCTION)  \
	KZ_BLOCK_FUNCTIONS(FUNCTION)

#endif
