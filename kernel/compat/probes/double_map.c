/* SPDX-License-Identifier: GPL-2.0-only */
/* A large page has a mark for being mapped whole and in parts, and one count of the former. */
#include <linux/mm.h>

int probe(struct page *page);
int probe(struct page *page)
{
	atomic_set(compound_mapcount_ptr(page), -1);
	return PageDoubleMap(page);
}
