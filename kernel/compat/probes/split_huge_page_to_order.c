/* SPDX-License-Identifier: GPL-2.0-only */
/* A large page is split into pages of any order. */
#include <linux/mm.h>

int probe(struct page *page);
int probe(struct page *page)
{
	return split_huge_page_to_list_to_order(page, NULL, 0);
}
