/* SPDX-License-Identifier: GPL-2.0-only */
/* Mappings of a page are taken away page by page. */
#include <linux/rmap.h>

void probe(struct page *page, struct vm_area_struct *vma);
void probe(struct page *page, struct vm_area_struct *vma)
{
	page_remove_rmap(page, vma, false);
}
