/* SPDX-License-Identifier: GPL-2.0-only */
/* Mappings of a page are taken away by folio. */
#include <linux/rmap.h>

void probe(struct folio *folio, struct page *page, struct vm_area_struct *vma);
void probe(struct folio *folio, struct page *page, struct vm_area_struct *vma)
{
	folio_remove_rmap_ptes(folio, page, 1, vma);
}
