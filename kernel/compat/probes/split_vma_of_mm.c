/* SPDX-License-Identifier: GPL-2.0-only */
/* split_vma() is declared for all, and finds the mapping's neighbours by itself. */
#include <linux/mm.h>

int probe(struct vm_area_struct *vma);
int probe(struct vm_area_struct *vma)
{
	return split_vma(vma->vm_mm, vma, 0, 1);
}
