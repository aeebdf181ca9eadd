/* SPDX-License-Identifier: GPL-2.0-only */
/* Anonymous large folios are counted by their size. */
#include <linux/mm.h>

int probe(struct mthp_stat *stat);
int probe(struct mthp_stat *stat)
{
	return stat->stats[HPAGE_PMD_ORDER][MTHP_STAT_NR_ANON];
}
