/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that this module knows. Nothing outside this folder looks at the version. */
#ifndef KZ_COMPAT_H
#define KZ_COMPAT_H

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
#include <linux/version.h>
#include <linux/vmstat.h>

/* asm/tlbflush.h, hidden from modules */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
			unsigned int stride_shift, bool freed_tables);

/* mm/swap.h */
struct folio *swap_cache_get_folio(swp_entry_t entry, struct vm_area_struct *vma,
				   unsigned long address);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#include "symbols-6.1.h"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#include "symbols-6.12.h"
#else
#error "KernelZero knows Linux 6.1 and 6.12 only: docs/kernelzero.md says what another version needs"
#endif

#if !defined(CONFIG_X86_64) || !defined(CONFIG_TRANSPARENT_HUGEPAGE) || !defined(CONFIG_SHMEM) || \
	!defined(CONFIG_SWAP) || !defined(CONFIG_MEMCG)
#error "KernelZero needs x86-64 and a kernel with THP, shmem, swap and memory control groups"
#endif

#endif
