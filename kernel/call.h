/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One call of KERNELZERO_DEANONYMIZE: its arguments, and the steps that it has done so far, with everything that is
 * needed to undo them.
 *
 * It has two halves. In the first, everything that can fail happens: pages leave the page tables, frozen and locked, and
 * are written down in tables; copies, blocks, accounting and nodes of the file's tree are got. Nobody else sees any of
 * it, and kz_take_undo() and friends put it back without needing memory. The second half (publish.c) cannot fail.
 */
#ifndef KZ_CALL_H
#define KZ_CALL_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/xarray.h>

#include "uapi/kernelzero.h"

#define KZ_RANGES_MAX (1UL << 16)
#define KZ_BYTES_MAX  (64UL << 30)

/*
 * All memory of a call is charged to the caller. A call that gets none fails, which harms nobody: it must not make the
 * kernel kill a process instead.
 */
#define KZ_GFP (GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* So many mappings are left to the caller below vm.max_map_count: it has to go on after the call. */
#define KZ_MAPPINGS_SPARE 64

/* So many ticks may a call sleep under its locks, for all its pages together. */
#define KZ_TICKS_MAX 25

/*
 * A page that was never written and has no page table. It stays anonymous memory, and is a hole in the file: the caller
 * is told KERNELZERO_HOLE.
 */
#define KZ_HOLE_UNTOUCHED (KERNELZERO_HOLE + 1)

/* A range of the caller's memory, and its place in the file. */
struct kz_range {
	unsigned long address;
	unsigned long bytes;
	/* Whole pages, which are converted: [start, end), possibly empty. */
	unsigned long start;
	unsigned long end;
	/* All pages the range touches. */
	unsigned long pages;
	/* Of the first of them, in the file. */
	pgoff_t index;
	u8 *kinds;
	/* Copies of the parts of the first and the last page, or NULL; owned by the call until published. */
	struct page *head;
	struct page *tail;
};

/* The content of one page-table entry, and the page that goes into the file for it. */
struct kz_entry {
	pte_t pte;
	/* The page itself, or a copy of it; NULL for a swap entry or a hole. */
	struct page *page;
};

/* The entries that were taken out of (a part of) one page table, or one huge page. */
struct kz_table {
	struct list_head list;
	struct vm_area_struct *vma;
	unsigned long address;
	pgoff_t index;
	unsigned int count;
	u8 *kinds;
	pmd_t *pmd;
	/* A huge page: what was in the PMD. Its page-table entries: NULL. */
	pmd_t huge;
	pte_t *ptes;
	struct kz_entry *entries;
	/* Entries of each sort. */
	unsigned int moved;
	unsigned int swapped;
	unsigned int copied;
	unsigned int holes;
	/* Of the copied: the caller keeps its page. */
	unsigned int kept;
};

/* Tables are got by the page: one at a time, they would cost a tenth of what moving a huge page does. */
struct kz_chunk {
	struct kz_chunk *next;
	unsigned int used;
	struct kz_table tables[];
};

/* The file that is appended to. */
struct kz_file {
	struct file *file;
	struct inode *inode;
	struct address_space *mapping;
	/* Where the call's first page goes. Up to `window`, khugepaged may fill holes until the call's first store. */
	pgoff_t first;
	pgoff_t window;
	bool beyond;
	bool placed;
	loff_t bytes;
	/* Reserved: blocks, and pages of the commit limit. */
	unsigned long blocks;
	unsigned long accounted;
	/* Nodes for the file's tree, chained by ->parent. */
	struct xa_node *nodes;
};

struct kz_call {
	struct mm_struct *mm;
	struct kz_file file;
	struct kz_request *request;
	u32 flags;
	unsigned int ranges_count;
	struct kz_range *ranges;
	/* The same in the order of their addresses. */
	struct kz_range **sorted;
	/* enum kernelzero_page of each page, range by range. */
	u8 *kinds;
	unsigned long pages;
	/* Taken so far, in the order of the file. */
	struct list_head tables;
	/* Where the tables are; the first has room, or is NULL. */
	struct kz_chunk *chunks;
	bool drained;
	/* Slept under the locks so far. */
	unsigned int ticks;
	/* Pages of KZ_HOLE_UNTOUCHED. */
	unsigned long untouched;
	/* A large page that can't be split, so as not to try again for each part of it. Only compared. */
	struct page *unsplittable;
	/* A large page of which others map every part, so as not to look at all parts again for each. Only compared. */
	struct page *shared;
	/* A large page that shall be split, with a reference. */
	struct page *pending;
	/* Pages of 4 KiB, by enum kernelzero_page. */
	unsigned long counts[KERNELZERO_COPIED_OTHER + 1];
};

/*
 * Whether a copied page stays where it is, in an anonymous mapping, instead of being replaced by its copy: somebody may
 * be writing to it, as direct I/O does, and the caller has to see that.
 */
static inline bool kz_is_kept(u8 kind)
{
	return kind == KERNELZERO_COPIED_PINNED || kind == KERNELZERO_COPIED_OTHER;
}

/* Whether the mapping of a page stays anonymous. */
static inline bool kz_stays(u8 kind)
{
	return kind == KZ_HOLE_UNTOUCHED || kz_is_kept(kind);
}

int kz_call_run(struct kz_call *call);

#endif
