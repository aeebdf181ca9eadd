/* SPDX-License-Identifier: GPL-2.0-only */
/* Linux 6.1: which of its symbols the module uses that are not exported */
#ifndef KZ_COMPAT_SYMBOLS_6_1_H
#define KZ_COMPAT_SYMBOLS_6_1_H

/* What a page table's lock belongs to. */
#define KZ_PTLOCK_OWNER struct page

#define KZ_COMPAT_FUNCTIONS(FUNCTION) \
	FUNCTION(page_remove_rmap)    \
	FUNCTION(split_huge_page_to_list)

#define KZ_COMPAT_DATA
#define KZ_COMPAT_FIND(FIND)

#endif
