// SPDX-License-Identifier: GPL-2.0-only
/* Walks the ranges' page tables. Their entries go into the call's tables (take_pages.c, take_huge.c). */
#include "take.h"

#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"

/* mm/shmem.c: "deny" in transparent_hugepage/shmem_enabled */
#define SHMEM_HUGE_DENY (-1)

#define CHUNK_TABLES ((PAGE_SIZE - sizeof(struct kz_chunk)) / sizeof(struct kz_table))

/* Room for one more table, all zero. */
static struct kz_table *table_new(struct kz_call *call)
{
	struct kz_chunk *chunk = call->chunks;

	if (!chunk || chunk->used == CHUNK_TABLES) {
		chunk = kzalloc(PAGE_SIZE, KZ_GFP);
		if (!chunk)
			return NULL;
		chunk->next = call->chunks;
		call->chunks = chunk;
	}
	return &chunk->tables[chunk->used++];
}

/**
 * kz_table_add() - adds an empty table to the call. It is freed by kz_take_free().
 *
 * Return: the table, or NULL without memory.
 */
struct kz_table *kz_table_add(struct kz_call *call, struct vm_area_struct *vma,
			      unsigned long address, pgoff_t index, u8 *kinds, unsigned int count,
			      pmd_t *pmd)
{
	struct kz_table *table;

	if (kz_fault(-ENOMEM))
		return NULL;
	table = table_new(call);
	if (!table)
		return NULL;
	table->vma = vma;
	table->address = address;
	table->index = index;
	table->kinds = kinds;
	table->count = count;
	table->pmd = pmd;
	list_add_tail(&table->list, &call->tables);
	return table;
}

/* Removes the table that was added last, and stayed empty. */
void kz_table_drop(struct kz_call *call, struct kz_table *table)
{
	list_del(&table->list);
	memset(table, 0, sizeof(*table));
	call->chunks->used--;
}

/* Where the page table for @address is entered; NULL where none can be. The mmap lock is held. */
pmd_t *kz_find_pmd(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud))
		return NULL;
	return pmd_offset(pud, address);
}

static void take_untouched(struct kz_call *call, u8 *kinds, unsigned int count)
{
	memset(kinds, KZ_HOLE_UNTOUCHED, count);
	call->counts[KERNELZERO_HOLE] += count;
	call->untouched += count;
}

/*
 * Whether a huge page can go into the file whole: its place there is one for a huge page, and shared memory has not been
 * forbidden to have any. (What shared memory is told to *allocate* is another matter: this page is there already.)
 */
static bool is_place_for_huge(unsigned long address, pgoff_t index, unsigned int count)
{
	return count == HPAGE_PMD_NR && !((index ^ (address >> PAGE_SHIFT)) & (HPAGE_PMD_NR - 1)) &&
	       (READ_ONCE(*kz_data.shmem_huge) != SHMEM_HUGE_DENY || kz_mutated(skip_huge_deny));
}

/* Takes @count pages that one page table maps, or may map. Return: 0 or an error. */
static int take_pmd(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
		    pgoff_t index, u8 *kinds, unsigned int count)
{
	pmd_t *pmd = kz_find_pmd(call->mm, address);
	struct kz_table *table;
	unsigned int tries;
	int err;

	for (tries = 0;; tries++) {
		pmd_t value = pmd ? READ_ONCE(*pmd) : __pmd(0);

		if (pmd_none(value)) {
			take_untouched(call, kinds, count);
			return 0;
		}
		if (pmd_present(value) && !pmd_trans_huge(value))
			break;
		if (!pmd_present(value)) {
			err = kz_table_settle(call, vma, address, KZ_FAULT, tries);
			if (err)
				return err;
			continue;
		}
		if (is_place_for_huge(address, index, count)) {
			err = kz_take_huge(call, vma, address, index, kinds, pmd);
			if (err <= 0)
				return err;
		}
		kz_pmd_split(vma, pmd, address);
	}

	table = kz_table_add(call, vma, address, index, kinds, count, pmd);
	if (!table)
		return -ENOMEM;
	return kz_take_pages(call, table);
}

static int take_range(struct kz_call *call, struct kz_range *range)
{
	unsigned long first = range->address & PAGE_MASK;
	unsigned long address = range->start;
	struct vm_area_struct *vma = NULL;
	int err;

	while (address < range->end) {
		unsigned long page = (address - first) >> PAGE_SHIFT;
		unsigned long end;

		if (!vma || address >= vma->vm_end)
			vma = find_vma(call->mm, address);
		end = min3(range->end, vma->vm_end, (address & HPAGE_PMD_MASK) + HPAGE_PMD_SIZE);
		err = take_pmd(call, vma, address, range->index + page, range->kinds + page,
			       (end - address) >> PAGE_SHIFT);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		if (!err)
			err = kz_fault(-EINTR);
		if (err)
			return err;
		cond_resched();
		address = end;
	}
	return 0;
}

/**
 * kz_take() - takes the whole pages of all ranges out of the page tables.
 * @call: the mmap lock is held for writing and the VMAs are locked, so that nobody can put anything back.
 *
 * Return: 0, -ENOMEM, -EFAULT or -EINTR; then kz_take_undo() has to be called.
 */
int kz_take(struct kz_call *call)
{
	unsigned int i;
	int err;

	for (i = 0; i < call->ranges_count; i++) {
		err = take_range(call, &call->ranges[i]);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Makes all CPUs forget the pages that have been taken: until then other threads can still write to them. One flush for
 * the whole call, since nobody can see the pages yet.
 */
void kz_take_flush(struct kz_call *call)
{
	unsigned long start = ULONG_MAX;
	unsigned long end = 0;
	struct kz_table *table;

	list_for_each_entry (table, &call->tables, list) {
		start = min(start, table->address);
		end = max(end, table->address + table->count * PAGE_SIZE);
	}
	if (start < end && !kz_mutated(skip_tlb_flush))
		KZ_CALL(flush_tlb_mm_range)(call->mm, start, end, PAGE_SHIFT, false);
}

/* Puts everything back. Needs no memory: the page tables are still there, as the mmap lock is. */
void kz_take_undo(struct kz_call *call)
{
	struct kz_table *table;

	list_for_each_entry (table, &call->tables, list) {
		if (table->entries)
			kz_take_pages_undo(call, table);
		else
			kz_take_huge_undo(call, table);
		cond_resched();
	}
}

void kz_take_free(struct kz_call *call)
{
	struct kz_table *table;
	struct kz_chunk *chunk;

	list_for_each_entry (table, &call->tables, list)
		kfree(table->entries);
	INIT_LIST_HEAD(&call->tables);
	while ((chunk = call->chunks)) {
		call->chunks = chunk->next;
		kfree(chunk);
	}
}
