// SPDX-License-Identifier: GPL-2.0-only
/* Takes huge pages whole: one entry, one page, one place in the file. */
#include <linux/sched/signal.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"
#include "take.h"

/* The huge zero page is not anonymous: its PMD will be split into entries of the small zero page. */
static bool is_movable(struct page *page)
{
	return PageHead(page) && PageAnon(page) && !PageKsm(page) &&
	       folio_test_swapbacked(page_folio(page)) && !PageHWPoison(page) &&
	       compound_order(page) == HPAGE_PMD_ORDER && kz_huge_is_whole(page);
}

/* A locked huge page whose PMD, put back meanwhile, does not hold the only reference. Unlocks it. */
static enum kz_step referenced(struct page *page)
{
	enum kz_step step = KZ_DRAIN;

	if (kz_page_mapcount(page) > 1)
		step = KZ_DONE;
	else if (folio_test_swapcache(page_folio(page)))
		step = KZ_CALL(folio_free_swap)(page_folio(page)) ? KZ_AGAIN : KZ_DONE;
	unlock_page(page);
	return step;
}

/* Return: KZ_DONE with table->huge set when it has been taken, and without when it can't be. */
static enum kz_step take(struct kz_call *call, struct kz_table *table)
{
	struct page *page;
	pmd_t value = READ_ONCE(*table->pmd);

	if (!pmd_present(value) || !pmd_trans_huge(value))
		return KZ_DONE;
	page = pmd_page(value);
	if (!is_movable(page))
		return KZ_DONE;
	if (!trylock_page(page))
		return KZ_WAIT;
	value = pmdp_huge_get_and_clear(call->mm, table->address, table->pmd);
	if (!page_ref_freeze(page, 1)) {
		set_pmd_at(call->mm, table->address, table->pmd, value);
		return referenced(page);
	}
	table->huge = value;
	return KZ_DONE;
}

/**
 * kz_take_huge() - takes the huge page that @pmd maps.
 *
 * Return: 0, 1 when it can't be moved whole, -ENOMEM or -EINTR.
 */
int kz_take_huge(struct kz_call *call, struct vm_area_struct *vma, unsigned long address,
		 pgoff_t index, u8 *kinds, pmd_t *pmd)
{
	struct kz_table *table = kz_table_add(call, vma, address, index, kinds, HPAGE_PMD_NR, pmd);
	spinlock_t *lock;
	unsigned int tries;
	int err;

	if (!table)
		return -ENOMEM;
	for (tries = 0; tries < KZ_TRIES; tries++) {
		enum kz_step step;

		lock = pmd_lock(call->mm, pmd);
		step = take(call, table);
		spin_unlock(lock);
		if (!pmd_none(table->huge)) {
			memset(kinds, KERNELZERO_MOVED_HUGE, HPAGE_PMD_NR);
			call->counts[KERNELZERO_MOVED_HUGE] += HPAGE_PMD_NR;
			return 0;
		}
		if (step == KZ_DONE)
			break;
		err = kz_table_settle(call, vma, address, step, tries);
		if (err)
			return err;
	}
	kz_table_drop(call, table);
	return 1;
}

void kz_take_huge_undo(struct kz_call *call, struct kz_table *table)
{
	struct page *page = pmd_page(table->huge);
	spinlock_t *lock;

	if (pmd_none(table->huge) || kz_mutated(skip_undo_pte))
		return;
	page_ref_unfreeze(page, 1);
	unlock_page(page);
	lock = pmd_lock(call->mm, table->pmd);
	set_pmd_at(call->mm, table->address, table->pmd, table->huge);
	spin_unlock(lock);
}
