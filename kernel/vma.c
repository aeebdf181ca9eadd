// SPDX-License-Identifier: GPL-2.0-only
/* The caller's mappings: which may be converted, and the conversion into private mappings of the file. */
#include "vma.h"

#include <linux/mmu_context.h>
#include <linux/mmu_notifier.h>
#include <linux/mount.h>
#include <linux/sched/signal.h>
#include <linux/userfaultfd_k.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"

/*
 * VM_WIPEONFORK: a child would see the file instead of zeroes. VM_EXEC: that would need the right to execute the file.
 * VM_SPECIAL: a device's, or the kernel's own pages.
 */
#define VM_REFUSED                                                                        \
	(VM_SHARED | VM_MAYSHARE | VM_HUGETLB | VM_SPECIAL | VM_LOCKED | VM_LOCKONFAULT | \
	 VM_GROWSDOWN | VM_GROWSUP | VM_WIPEONFORK | VM_EXEC | KZ_COMPAT_VM_REFUSED)

static int vma_check(struct vm_area_struct *vma)
{
	if (!vma_is_anonymous(vma) || vma->vm_file || (vma->vm_flags & VM_REFUSED))
		return -EOPNOTSUPP;
	if (userfaultfd_armed(vma))
		return -EOPNOTSUPP;
#ifdef CONFIG_USERFAULTFD
	/* Watched for being unmapped or moved alone. */
	if (vma->vm_userfaultfd_ctx.ctx)
		return -EOPNOTSUPP;
#endif
#ifdef CONFIG_ANON_VMA_NAME
	/* The name may share its place with the links of a file's mapping. */
	if (vma->anon_name)
		return -EOPNOTSUPP;
#endif
	if (!(vma->vm_flags & VM_READ) || !arch_vma_access_permitted(vma, false, false, false))
		return -EACCES;
	return 0;
}

static int range_check(struct kz_call *call, struct kz_range *range)
{
	unsigned long address = range->address & PAGE_MASK;
	unsigned long end = address + range->pages * PAGE_SIZE;
	struct vm_area_struct *vma;
	int err;

	while (address < end) {
		vma = find_vma(call->mm, address);
		if (!vma || vma->vm_start > address)
			return -EFAULT;
		err = vma_check(vma);
		if (err)
			return err;
		address = vma->vm_end;
	}
	return 0;
}

/**
 * kz_vmas_check() - whether all ranges are memory that can be taken. Changes nothing.
 * @call: the mmap lock is held.
 *
 * Return: 0, -EFAULT, -EACCES or -EOPNOTSUPP.
 */
int kz_vmas_check(struct kz_call *call)
{
	unsigned int i;
	int err;

	/* Subscribers learn of changed page tables through calls that this module can't make. */
	if (mm_has_notifiers(call->mm))
		return -EOPNOTSUPP;
	for (i = 0; i < call->ranges_count; i++) {
		err = range_check(call, &call->ranges[i]);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static int split_at(struct kz_call *call, unsigned long address, int new_below)
{
	struct vm_area_struct *vma = find_vma(call->mm, new_below ? address : address - 1);
	int err;

	if (new_below ? vma->vm_start == address : vma->vm_end == address)
		return 0;
	err = kz_fault(-ENOMEM);
	if (err)
		return err;
	return kz_vma_split(vma, address, new_below);
}

/**
 * kz_vmas_split() - makes the mappings begin and end where the ranges' whole pages do, and locks them.
 * @call: the mmap lock is held for writing.
 *
 * Splits that happened stay when a later one fails: no program can tell but by the number of its mappings.
 *
 * Return: 0 or -ENOMEM.
 */
int kz_vmas_split(struct kz_call *call)
{
	struct vm_area_struct *vma;
	unsigned int i;
	int err;

	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];
		unsigned long address;

		if (range->start >= range->end)
			continue;
		err = split_at(call, range->start, 1);
		if (!err)
			err = split_at(call, range->end, 0);
		if (err)
			return err;
		for (address = range->start; address < range->end; address = vma->vm_end) {
			vma = find_vma(call->mm, address);
			kz_vma_lock(vma);
		}
		cond_resched();
	}
	return 0;
}

/* Splits around those pages of @range that the caller keeps. */
static int range_keep(struct kz_call *call, struct kz_range *range)
{
	unsigned long first = range->address & PAGE_MASK;
	unsigned long address = range->start;
	bool kept_before = false;
	int err = 0;

	for (; address < range->end && !err; address += PAGE_SIZE) {
		bool kept = kz_is_kept(range->kinds[(address - first) >> PAGE_SHIFT]);

		if (kept != kept_before)
			err = split_at(call, address, 1);
		kept_before = kept;
	}
	return err;
}

/**
 * kz_vmas_keep() - gives the pages that the caller keeps mappings of their own, which will not be converted.
 * @call: everything has been taken.
 *
 * Return: 0 or -ENOMEM.
 */
int kz_vmas_keep(struct kz_call *call)
{
	unsigned int i;
	int err;

	if (!call->counts[KERNELZERO_COPIED_PINNED] && !call->counts[KERNELZERO_COPIED_OTHER])
		return 0;
	for (i = 0; i < call->ranges_count; i++) {
		err = range_keep(call, &call->ranges[i]);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/*
 * Makes @vma, in whose page tables nothing is left, a private mapping of the file from page @index on.
 *
 * Nothing here can fail: shmem's mmap refuses only shared writable mappings of sealed files.
 */
static void vma_convert(struct kz_call *call, struct vm_area_struct *vma, pgoff_t index)
{
	struct file *file = call->file.file;
	struct address_space *mapping = call->file.mapping;
	bool noexec = (file->f_path.mnt->mnt_flags & MNT_NOEXEC) ||
		      (file->f_path.mnt->mnt_sb->s_iflags & SB_I_NOEXEC);
	int err;

	KZ_CALL(unlink_anon_vmas)(vma);
	vma->vm_pgoff = index;
	vma->vm_file = get_file(file);
	err = call_mmap(file, vma);
	WARN_ON_ONCE(err);
	kz_vma_flags_change(vma, VM_SOFTDIRTY, noexec ? VM_MAYEXEC : 0);

	i_mmap_lock_write(mapping);
	flush_dcache_mmap_lock(mapping);
	KZ_CALL(vma_interval_tree_insert)(vma, &mapping->i_mmap);
	flush_dcache_mmap_unlock(mapping);
	i_mmap_unlock_write(mapping);
}

/**
 * kz_vmas_convert() - converts all whole pages of the ranges, except those that the caller keeps.
 * @call: kz_vmas_split() and kz_vmas_keep() have been called under the same mmap lock, and all pages are published.
 */
void kz_vmas_convert(struct kz_call *call)
{
	struct vm_area_struct *vma;
	unsigned int i;

	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];
		unsigned long first = range->address & PAGE_MASK;
		unsigned long address;

		for (address = range->start; address < range->end; address = vma->vm_end) {
			unsigned long page = (address - first) >> PAGE_SHIFT;

			vma = find_vma(call->mm, address);
			if (!kz_is_kept(range->kinds[page]))
				vma_convert(call, vma, range->index + page);
		}
		cond_resched();
	}
}
