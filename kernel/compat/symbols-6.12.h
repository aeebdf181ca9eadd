/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux 6.12: which of its symbols the module uses that are not exported */
#ifndef KZ_COMPAT_SYMBOLS_6_12_H
#define KZ_COMPAT_SYMBOLS_6_12_H

#include <linux/quotaops.h>

/* mm/vma.h, mm/internal.h */
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
