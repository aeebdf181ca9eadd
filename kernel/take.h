/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking pages out of the page tables, and putting them back. */
#ifndef KZ_TAKE_H
#define KZ_TAKE_H

#include <linux/mm.h>

struct kz_call;
struct kz_table;

/* The step that has to happen before an entry can be looked at again. */
enum kz_step {
	KZ_DONE, /* nothing: it has been taken, or will be copied */
	KZ_AGAIN, /* nothing, look again */
	KZ_FAULT, /* a page fault: swapped out in a way that cannot move, or migrating */
	KZ_WAIT, /* somebody holds the page's lock */
	KZ_DRAIN, /* somebody holds a reference: perhaps a CPU's cache of pages on their way to a list */
	KZ_SPLIT, /* it is part of a large page: call->pending */
	KZ_POISONED, /* the memory is broken */
};

/* How often to try before a page is copied instead. */
#define KZ_TRIES 5

int kz_take(struct kz_call *call);
void kz_take_flush(struct kz_call *call);
void kz_take_undo(struct kz_call *call);
void kz_take_free(struct kz_call *call);

struct kz_table *kz_table_add(struct kz_call *call, struct vm_area_struct *vma,
			      unsigned long address, pgoff_t index, u8 *kinds, unsigned int count,
			      pmd_t *pmd);
void kz_table_drop(struct kz_call *call, struct kz_table *table);
pmd_t *kz_find_pmd(struct mm_struct *mm, unsigned long address);

/* Before an entry is looked at again (settle.c) */
int kz_table_settle(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
		    enum kz_step step, unsigned int tries);
int kz_swap_in(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
	       struct folio **folio);
void kz_drain_init(void);
void kz_drain_exit(void);

/* Page-table entries (take_pages.c) */
int kz_take_pages(struct kz_call *call, struct kz_table *table);
void kz_take_pages_undo(struct kz_call *call, struct kz_table *table);

/* Huge pages (take_huge.c) */
int kz_take_huge(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
		 pgoff_t index, u8 *kinds, pmd_t *pmd);
void kz_take_huge_undo(struct kz_call *call, struct kz_table *table);

#endif
