/* SPDX-License-Identifier: GPL-2.0-only */
/* Blocks of a tmpfs are counted exactly, and its quotas hold. */
#include <linux/percpu_counter.h>
#include <linux/quotaops.h>
#include <linux/shmem_fs.h>

bool probe(struct shmem_sb_info *sb, struct inode *inode);
bool probe(struct shmem_sb_info *sb, struct inode *inode)
{
	return percpu_counter_limited_add(&sb->used_blocks, sb->max_blocks, 1) &&
	       !dquot_alloc_block_nodirty(inode, 1);
}
