/* SPDX-License-Identifier: GPL-2.0-only */
/* A large folio counts its mappings in all, those of the whole, and its mapped pages. */
#include <linux/mm.h>

void probe(struct folio *folio);
void probe(struct folio *folio)
{
	atomic_set(&folio->_large_mapcount, -1);
	atomic_set(&folio->_entire_mapcount, -1);
	atomic_set(&folio->_nr_pages_mapped, 0);
	INIT_LIST_HEAD(&folio->_deferred_list);
}
