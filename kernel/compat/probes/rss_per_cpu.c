/* SPDX-License-Identifier: GPL-2.0-only */
/* A process's counters of pages are kept by processor. */
#include <linux/mm.h>

void probe(struct mm_struct *mm);
void probe(struct mm_struct *mm)
{
	percpu_counter_add(&mm->rss_stat[MM_ANONPAGES], 1);
}
