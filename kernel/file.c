// SPDX-License-Identifier: GPL-2.0-only
/* The file that is appended to: whether it may be, where in it, and all limits that hold for it. */
#include "file.h"

#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fsnotify.h>
#include <linux/iversion.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>

#include "call.h"
#include "compat/mm.h"
#include "debug.h"

#define HUGE_PAGES ((pgoff_t)HPAGE_PMD_NR)

/*
 * An ordinary file of shmem. The other users of its pages (System V shared memory, graphics buffers, overlayfs) have
 * rules of their own for them.
 */
static bool is_shared_memory(struct file *file)
{
	struct inode *inode = file_inode(file);

	return S_ISREG(inode->i_mode) && file->f_mapping == &inode->i_data &&
	       shmem_mapping(file->f_mapping) && file->f_op == kz_data.shmem_file_operations;
}

/**
 * kz_file_open() - takes the caller's descriptor and checks what the caller may do with the file.
 * @file: out; to be closed with kz_file_close().
 * @fd: the descriptor.
 *
 * Return: 0, -EBADF, -EOPNOTSUPP, -EACCES, or what a security module says.
 */
int kz_file_open(struct kz_file *file, int fd)
{
	int err = -EBADF;

	file->file = fget(fd);
	if (!file->file)
		return -EBADF;
	file->inode = file_inode(file->file);
	file->mapping = file->file->f_mapping;
	if (!(file->file->f_mode & FMODE_WRITE))
		goto refused;
	err = -EOPNOTSUPP;
	if (!is_shared_memory(file->file))
		goto refused;
	/* The mapping lets the caller read the file, as mmap(2) would. */
	err = -EACCES;
	if (!(file->file->f_mode & FMODE_READ))
		goto refused;
	err = KZ_CALL(security_file_permission)(file->file, MAY_WRITE);
	if (err)
		goto refused;
	err = KZ_CALL(security_mmap_file)(file->file, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	if (err)
		goto refused;
	err = mnt_want_write_file(file->file);
	if (err)
		goto refused;
	return 0;

refused:
	fput(file->file);
	file->file = NULL;
	return err;
}

void kz_file_close(struct kz_file *file)
{
	mnt_drop_write_file(file->file);
	fput(file->file);
	file->file = NULL;
}

/**
 * kz_file_lock() - locks the inode: keeps out writes, truncation, hole punching and new seals.
 *
 * Return: 0, -EPERM when the file is sealed, -EINTR.
 */
int kz_file_lock(struct kz_file *file)
{
	int err = kz_fault(-EINTR);

	if (err)
		return err;
	if (down_write_killable(&file->inode->i_rwsem))
		return -EINTR;
	err = -EPERM;
	if (SHMEM_I(file->inode)->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW) &&
	    !kz_mutated(skip_seals))
		goto refused;
	err = file_remove_privs(file->file);
	if (err)
		goto refused;
	return 0;

refused:
	inode_unlock(file->inode);
	return err;
}

void kz_file_unlock(struct kz_file *file)
{
	inode_unlock(file->inode);
}

/* Tells those who watch the file, as write(2) would. No lock is held. */
void kz_file_notify(struct kz_file *file)
{
	if (!kz_mutated(skip_notify))
		fsnotify_modify(file->file);
}

/* The first page that has no page behind it: beyond the end there may be some from fallocate(2) or in a huge page. */
static pgoff_t find_end(struct kz_file *file)
{
	pgoff_t end = DIV_ROUND_UP(i_size_read(file->inode), PAGE_SIZE);
	XA_STATE(xas, &file->mapping->i_pages, end);

	rcu_read_lock();
	while (xas_find(&xas, ULONG_MAX)) {
		unsigned int order = xa_get_order(&file->mapping->i_pages, xas.xa_index);

		end = round_down(xas.xa_index, 1UL << order) + (1UL << order);
		xas_set(&xas, end);
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	return end;
}

/**
 * kz_file_place() - decides where in the file each range goes.
 * @call: its file is locked. file.beyond says that the 2 MiB window at the file's end turned out to be in use.
 *
 * Return: 0 or -EFBIG.
 */
int kz_file_place(struct kz_call *call)
{
	struct kz_file *file = &call->file;
	pgoff_t index = find_end(file);
	unsigned int i;

	if (file->beyond)
		index = round_up(index, HUGE_PAGES);
	file->placed = IS_ALIGNED(index, HUGE_PAGES);
	file->first = index;
	file->window = round_up(index, HUGE_PAGES);
	for (i = 0; i < call->ranges_count; i++) {
		struct kz_range *range = &call->ranges[i];
		pgoff_t page = range->address >> PAGE_SHIFT;

		if ((call->flags & KERNELZERO_ALIGN_HUGE) &&
		    round_up(range->start, HPAGE_PMD_SIZE) + HPAGE_PMD_SIZE <= range->end)
			index += (page - index) & (HUGE_PAGES - 1);
		range->index = index;
		index += range->pages;
	}
	if (index > (file->inode->i_sb->s_maxbytes >> PAGE_SHIFT))
		return -EFBIG;
	file->bytes = (loff_t)index << PAGE_SHIFT;
	if ((unsigned long)file->bytes > rlimit(RLIMIT_FSIZE))
		return -EFBIG;
	return 0;
}

static unsigned long pages_stored(struct kz_call *call)
{
	unsigned long pages = 0;
	unsigned int kind;

	for (kind = 0; kind < ARRAY_SIZE(call->counts); kind++) {
		if (kind != KERNELZERO_HOLE)
			pages += call->counts[kind];
	}
	return pages;
}

static void unaccount(long pages)
{
	percpu_counter_add_batch(kz_data.vm_committed_as, -pages, *kz_data.vm_committed_as_batch);
}

/**
 * kz_file_reserve() - reserves blocks of the file system and memory under the commit limit.
 * @call: everything has been taken, so that it is known how many pages the file will get.
 *
 * Return: 0, -ENOMEM, -ENOSPC or -EDQUOT.
 */
int kz_file_reserve(struct kz_call *call)
{
	struct kz_file *file = &call->file;
	unsigned long blocks = pages_stored(call);
	unsigned long accounted = blocks;
	int err;

	/* An object with a fixed reservation pays for its size, not for its pages. */
	if (!(SHMEM_I(file->inode)->flags & VM_NORESERVE))
		accounted = (file->bytes >> PAGE_SHIFT) -
			    DIV_ROUND_UP(i_size_read(file->inode), PAGE_SIZE);
	err = kz_fault(-ENOMEM);
	if (err)
		return err;
	if (!kz_mutated(skip_vm_accounting)) {
		err = KZ_CALL(security_vm_enough_memory_mm)(call->mm, accounted);
		if (err)
			return err;
	}
	err = kz_fault(-ENOSPC);
	if (!err)
		err = kz_blocks_reserve(file->inode, blocks);
	if (err) {
		unaccount(accounted);
		return err;
	}
	file->blocks = blocks;
	file->accounted = accounted;
	return 0;
}

void kz_file_unreserve(struct kz_call *call)
{
	struct kz_file *file = &call->file;

	if (kz_mutated(skip_undo_reserve))
		return;
	kz_blocks_release(file->inode, file->blocks);
	unaccount(file->accounted);
	file->blocks = 0;
	file->accounted = 0;
}

/* All pages are in the tree, locked: from now on the file has them. */
void kz_file_grow(struct kz_call *call)
{
	struct kz_file *file = &call->file;
	struct shmem_inode_info *info = SHMEM_I(file->inode);

	spin_lock_irq(&info->lock);
	info->alloced += file->blocks;
	if (kz_mutated(skip_iblocks))
		kz_blocks_disown(file->inode, file->blocks);
	else
		kz_blocks_own(file->inode, file->blocks);
	spin_unlock_irq(&info->lock);
	i_size_write(file->inode, file->bytes);
	kz_inode_touch(file->inode);
	if (IS_I_VERSION(file->inode))
		inode_inc_iversion(file->inode);
}
