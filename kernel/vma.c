// SPDX-License-Identifier: GPL-2.0-only
/* The caller's mappings: which may be converted, and the conversion into private mappings of the file. */
#include "vma.h"

#include <linux/mmu_context.h>
#include <linux/mmu_notifier.h>
#include <linux/mount.h>
#include <linux/rmap.h>
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

/**
 * kz_vmas_lock() - keeps page faults out of the mappings of the ranges' whole pages, until the mmap lock is released.
 * @call: the mmap lock is held for writing.
 */
void kz_vmas_lock(struct kz_call *call)
{
	struct vm_area_struct *vma;
	unsigned int i;

	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];
		unsigned long address;

		for (address = range->start; address < range->end; address = vma->vm_end) {
			vma = find_vma(call->mm, address);
			kz_vma_lock(vma);
		}
		cond_resched();
	}
}

/* The places where a mapping has to end and another to begin. They are counted first, and then made. */
struct borders {
	bool counts;
	unsigned long count;
	unsigned long last;
};

static int border(struct kz_call *call, struct borders *borders, unsigned long address,
		  int new_below)
{
	struct vm_area_struct *vma = find_vma(call->mm, new_below ? address : address - 1);
	int err;

	if (new_below ? vma->vm_start == address : vma->vm_end == address)
		return 0;
	if (borders->counts) {
		/* Two ranges that touch have one between them. */
		borders->count += address != borders->last;
		borders->last = address;
		return 0;
	}
	err = kz_fault(-ENOMEM);
	if (err)
		return err;
	return kz_vma_split(vma, address, new_below);
}

/* Borders are where the whole pages that will be converted begin and end. */
static int range_borders(struct kz_call *call, struct borders *borders, struct kz_range *range)
{
	bool some_stay = call->untouched || call->counts[KERNELZERO_COPIED_PINNED] ||
			 call->counts[KERNELZERO_COPIED_OTHER];
	unsigned long first = range->address & PAGE_MASK;
	unsigned long address = range->start;
	bool stayed = true;
	int err = 0;

	if (range->start >= range->end)
		return 0;
	for (; some_stay && address < range->end && !err; address += PAGE_SIZE) {
		bool stays = kz_stays(range->kinds[(address - first) >> PAGE_SHIFT]);

		if (stays != stayed)
			err = border(call, borders, address, !stays);
		stayed = stays;
	}
	if (!some_stay)
		err = border(call, borders, range->start, 1);
	if (!err && (!some_stay || !stayed))
		err = border(call, borders, range->end, 0);
	return err;
}

static int all_borders(struct kz_call *call, struct borders *borders)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < call->ranges_count && !err; i++) {
		err = range_borders(call, borders, call->sorted[i]);
		cond_resched();
	}
	return err;
}

/**
 * kz_vmas_split() - makes mappings begin and end where what will be converted does.
 * @call: everything has been taken and the mmap lock is held for writing.
 *
 * Whether there may be so many mappings is found out before the first is split. Only when the kernel has no memory for one
 * of them do those that were split before it stay so: no program can tell but by their number.
 *
 * Return: 0 or -ENOMEM.
 */
int kz_vmas_split(struct kz_call *call)
{
	struct borders borders = {.counts = true};
	int err = kz_fault(-ENOMEM);

	if (err)
		return err;
	all_borders(call, &borders);
	if (!borders.count)
		return 0;
	if (call->mm->map_count + borders.count + KZ_MAPPINGS_SPARE >
		    READ_ONCE(*kz_data.sysctl_max_map_count) &&
	    !kz_mutated(skip_mappings_count))
		return -ENOMEM;
	borders.counts = false;
	return all_borders(call, &borders);
}

/*
 * Moves @vma to page @index of the file in the trees through which the kernel finds who maps an anonymous page. It stays in
 * them: that is how the kernel knows that a mapping of a file has pages of its own, which a child gets at fork(2) and a core
 * dump shows.
 */
static void vma_move(struct vm_area_struct *vma, pgoff_t index)
{
	struct anon_vma *anon_vma = vma->anon_vma;
	struct anon_vma_chain *link;

	if (!anon_vma || kz_mutated(skip_vma_move)) {
		vma->vm_pgoff = index;
		return;
	}
	/* All of them have one lock. */
	anon_vma_lock_write(anon_vma);
	list_for_each_entry (link, &vma->anon_vma_chain, same_vma)
		KZ_CALL(anon_vma_interval_tree_remove)(link, &link->anon_vma->rb_root);
	vma->vm_pgoff = index;
	list_for_each_entry (link, &vma->anon_vma_chain, same_vma)
		KZ_CALL(anon_vma_interval_tree_insert)(link, &link->anon_vma->rb_root);
	anon_vma_unlock_write(anon_vma);
}

/*
 * Makes @vma a private mapping of the file from page @index on. In its page tables nothing is left but the zero page.
 *
 * It must not grow: what is behind it in the file is another range, and no zeroes (VM_DONTEXPAND).
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

	vma_move(vma, index);
	vma->vm_file = get_file(file);
	err = call_mmap(file, vma);
	WARN_ON_ONCE(err);
	kz_vma_flags_change(vma, VM_SOFTDIRTY | (kz_mutated(may_grow) ? 0 : VM_DONTEXPAND),
			    noexec ? VM_MAYEXEC : 0);

	i_mmap_lock_write(mapping);
	flush_dcache_mmap_lock(mapping);
	KZ_CALL(vma_interval_tree_insert)(vma, &mapping->i_mmap);
	flush_dcache_mmap_unlock(mapping);
	i_mmap_unlock_write(mapping);
}

/**
 * kz_vmas_convert() - converts all whole pages of the ranges, except those that stay anonymous.
 * @call: kz_vmas_split() has been called under the same mmap lock, and all pages are published.
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
			if (!kz_stays(range->kinds[page]))
				vma_convert(call, vma, range->index + page);
		}
		cond_resched();
	}
}
