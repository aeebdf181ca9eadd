/* SPDX-License-Identifier: GPL-2.0-only */
/* A large folio remembers which processes map it, each with a count. No kernel that the module knows does. */
#include <linux/mm.h>

void *probe(struct folio *folio);
void *probe(struct folio *folio)
{
	return &folio->_mm_ids;
}
