// SPDX-License-Identifier: GPL-2.0-only
/* Walks the ranges' page tables. What is in them goes into the call's tables (take_pages.c, take_huge.c). */
#include "take.h"

#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"

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

/* Each fault brings a page in or waits for a migration. If all of them were undone again, memory is very short. */
#define FAULTS_MAX 100

/* Removes the table that was added last, and stayed empty. */
void kz_table_drop(struct kz_call *call, struct kz_table *table)
{
	list_del(&table->list);
	memset(table, 0, sizeof(*table));
	call->chunks->used--;
}

/* A page fault of the caller, which reads. The mmap lock is held for writing, which faults don't mind. */
static int fault_in(struct vm_area_struct *vma, unsigned long address)
{
	vm_fault_t fault;
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	fault = handle_mm_fault(vma, address, 0, NULL);
	if (!(fault & VM_FAULT_ERROR))
		return 0;
	return fault & VM_FAULT_OOM ? -ENOMEM : -EFAULT;
}

static void wait_a_little(unsigned int tries)
{
	/* Never sleeps on the page's own lock: this call holds the locks of other pages. */
	if (tries)
		schedule_timeout_uninterruptible(1);
	else
		cond_resched();
}

static void drain(struct kz_call *call)
{
	if (kz_mutated(skip_drain))
		return;
	KZ_CALL(lru_add_drain)();
}

static void drain_all(struct kz_call *call)
{
	if (call->drained || kz_mutated(skip_drain))
		return;
	call->drained = true;
	KZ_CALL(lru_add_drain_all)();
}

/* Splits call->pending into small pages; where that is impossible, its parts will be copied. */
static void split(struct kz_call *call, unsigned int tries)
{
	struct page *page = call->pending;

	call->pending = NULL;
	drain(call);
	if (tries)
		drain_all(call);
	if (!trylock_page(page)) {
		wait_a_little(tries);
	} else {
		if (kz_page_split(page) && tries)
			call->unsplittable = compound_head(page);
		unlock_page(page);
	}
	put_page(page);
}

/**
 * kz_table_settle() - does what an entry needs before it can be looked at again.
 * @step: what that is.
 * @tries: how often that has been done for this entry.
 *
 * Return: 0 to look again, -ENOMEM, -EFAULT (broken memory) or -EINTR.
 */
int kz_table_settle(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
		    enum kz_step step, unsigned int tries)
{
	if (fatal_signal_pending(current)) {
		if (step == KZ_SPLIT)
			put_page(call->pending);
		return -EINTR;
	}
	switch (step) {
	case KZ_FAULT:
		return tries < FAULTS_MAX ? fault_in(vma, address) : -ENOMEM;
	case KZ_WAIT:
		wait_a_little(tries);
		return 0;
	case KZ_DRAIN:
		drain(call);
		if (tries)
			drain_all(call);
		return 0;
	case KZ_SPLIT:
		split(call, tries);
		return 0;
	case KZ_POISONED:
		return -EFAULT;
	case KZ_DONE:
	case KZ_AGAIN:
		break;
	}
	return 0;
}

static pmd_t *find_pmd(struct mm_struct *mm, unsigned long address)
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

static void take_hole(struct kz_call *call, u8 *kinds, unsigned int count)
{
	memset(kinds, KERNELZERO_HOLE, count);
	call->counts[KERNELZERO_HOLE] += count;
}

/* Takes @count pages that one page table maps, or may map. Return: 0 or an error. */
static int take_pmd(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
		    pgoff_t index, u8 *kinds, unsigned int count)
{
	pmd_t *pmd = find_pmd(call->mm, address);
	struct kz_table *table;
	unsigned int tries;
	int err;

	for (tries = 0;; tries++) {
		pmd_t value = pmd ? READ_ONCE(*pmd) : __pmd(0);

		if (pmd_none(value)) {
			take_hole(call, kinds, count);
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
		if (count == HPAGE_PMD_NR &&
		    !((index ^ (address >> PAGE_SHIFT)) & (HPAGE_PMD_NR - 1))) {
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
