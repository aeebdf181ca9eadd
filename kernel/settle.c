// SPDX-License-Identifier: GPL-2.0-only
/*
 * Settling: the step that an entry of a page table may need before it can be taken: to be read in, to be split, or that
 * somebody else releases its page. No step waits for long, because the file and all of the caller's memory are locked.
 */
#include <linux/delay.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"
#include "take.h"

/* Each fault brings a page in or waits for a migration. If all of them were undone again, memory is very short. */
#define FAULTS_MAX 100

/* How often to look, at intervals much shorter than a tick, whether the other processors have drained their caches. */
#define DRAIN_LOOKS_MAX 20

static void wait_a_tick(struct kz_call *call)
{
	call->ticks++;
	kz_note_tick();
	schedule_timeout_uninterruptible(1);
}

/*
 * Never sleeps on the page's own lock: this call holds the locks of other pages. Nor for long in all, however many pages
 * there are to wait for: while it waits for one, the others get ready as well.
 */
static void wait_a_little(struct kz_call *call, unsigned int tries)
{
	if (tries && (call->ticks < KZ_TICKS_MAX || kz_mutated(wait_for_each)))
		wait_a_tick(call);
	else
		cond_resched();
}

/*
 * Draining the caches of the other processors. The kernel's own lru_add_drain_all() waits for all of them: for ever, where
 * one is busy with a real-time task. The works are the module's, as they may outlive a call.
 */
static DEFINE_PER_CPU(struct work_struct, drain_works);

static void drain_here(struct work_struct *work)
{
	KZ_CALL(lru_add_drain)();
}

void __init kz_drain_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) INIT_WORK(per_cpu_ptr(&drain_works, cpu), drain_here);
}

void kz_drain_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) cancel_work_sync(per_cpu_ptr(&drain_works, cpu));
}

static void drain(struct kz_call *call)
{
	if (!kz_mutated(skip_drain))
		KZ_CALL(lru_add_drain)();
}

static void drain_all(struct kz_call *call)
{
	unsigned int looks = 0;
	int cpu;

	if (call->drained || kz_mutated(skip_drain))
		return;
	call->drained = true;
	if (kz_mutated(drain_waits)) {
		KZ_CALL(lru_add_drain_all)();
		return;
	}
	for_each_online_cpu(cpu)
		queue_work_on(cpu, system_highpri_wq, per_cpu_ptr(&drain_works, cpu));
	for_each_online_cpu(cpu)
	{
		while (work_busy(per_cpu_ptr(&drain_works, cpu))) {
			if (looks++ < DRAIN_LOOKS_MAX)
				usleep_range(50, 100);
			else if (call->ticks < KZ_TICKS_MAX)
				wait_a_tick(call);
			else
				return;
		}
	}
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
		wait_a_little(call, tries);
	} else {
		if (kz_page_split(page) && tries)
			call->unsplittable = compound_head(page);
		unlock_page(page);
	}
	put_page(page);
}

/* The swap entry at @address; zero where there is something else. */
static swp_entry_t swap_entry(struct mm_struct *mm, unsigned long address)
{
	pmd_t *pmd = kz_find_pmd(mm, address);
	pmd_t value = pmd ? READ_ONCE(*pmd) : __pmd(0);
	swp_entry_t entry = {};
	pte_t pte;

	if (!pmd_present(value) || pmd_trans_huge(value))
		return entry;
	pte = READ_ONCE(*pte_offset_kernel(pmd, address));
	if (pte_none(pte) || pte_present(pte) || non_swap_entry(pte_to_swp_entry(pte)))
		return entry;
	return pte_to_swp_entry(pte);
}

/**
 * kz_swap_in() - reads a swapped-out page into the swap cache, so that a page fault need not get memory for it.
 * @call: the mmap lock is held.
 * @folio: out; to be given back after the fault, or NULL.
 *
 * A page fault that finds no memory, or none within the control group's limit, makes the kernel kill a process. Pages
 * that this call has taken can't be swapped out meanwhile, so that could well be the caller.
 *
 * Return: 0 or -ENOMEM.
 */
int kz_swap_in(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
	       struct folio **folio)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	swp_entry_t entry = swap_entry(call->mm, address);

	*folio = NULL;
	if (!entry.val || kz_mutated(swap_in_may_kill))
		return 0;
	*folio = kz_swap_read(entry, gfp, vma, address);
	/* Beside the ranges' whole pages another thread may have been faster. */
	return *folio || swap_entry(call->mm, address).val != entry.val ? 0 : -ENOMEM;
}

/* A page fault of the caller, which reads. The mmap lock is held for writing, which faults don't mind. */
static int fault_in(struct kz_call *call, struct vm_area_struct *vma, unsigned long address)
{
	struct folio *folio;
	vm_fault_t fault;
	int err = kz_fault(-ENOMEM);

	if (!err)
		err = kz_swap_in(call, vma, address, &folio);
	if (err)
		return err;
	fault = handle_mm_fault(vma, address, 0, NULL);
	if (folio)
		folio_put(folio);
	if (!(fault & VM_FAULT_ERROR))
		return 0;
	return fault & VM_FAULT_OOM ? -ENOMEM : -EFAULT;
}

/**
 * kz_table_settle() - does the step that an entry needs before it can be looked at again.
 * @step: the step.
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
		return tries < FAULTS_MAX ? fault_in(call, vma, address) : -ENOMEM;
	case KZ_WAIT:
		wait_a_little(call, tries);
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
