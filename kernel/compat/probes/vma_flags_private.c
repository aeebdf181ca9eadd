/* SPDX-License-Identifier: GPL-2.0-only */
/* The flags of a mapping can't be assigned. */
#include <linux/mm.h>

vm_flags_t *probe(struct vm_area_struct *vma);
vm_flags_t *probe(struct vm_area_struct *vma)
{
	return &ACCESS_PRIVATE(vma, __vm_flags);
}
