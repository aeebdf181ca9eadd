/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions and data of the kernel that it does not export to modules.
 *
 * A function is called as KZ_CALL(name)(arguments). This is a static call: the kernel patches a direct call into the
 * module. A call through a pointer would fault on machines with indirect branch tracking, because the kernel removes
 * the landing pads of functions whose address it never takes.
 */
#ifndef KZ_SYMBOLS_H
#define KZ_SYMBOLS_H

#include <linux/static_call.h>

#include "compat/compat.h"

#define KZ_CALL(name) static_call(kz_call_##name)

/* Kernels with lock debugging allocate the locks of page tables, and pte_free() frees them. */
#if ALLOC_SPLIT_PTLOCKS
#define KZ_PTLOCK_FUNCTIONS(FUNCTION) FUNCTION(ptlock_free)
#else
#define KZ_PTLOCK_FUNCTIONS(FUNCTION)
#endif

#define KZ_FUNCTIONS(FUNCTION)                  \
	FUNCTION(__mem_cgroup_charge)           \
	FUNCTION(__split_huge_pmd)              \
	FUNCTION(__swap_count)                  \
	FUNCTION(anon_vma_interval_tree_insert) \
	FUNCTION(anon_vma_interval_tree_remove) \
	FUNCTION(flush_tlb_mm_range)            \
	FUNCTION(folio_free_swap)               \
	FUNCTION(free_page_and_swap_cache)      \
	FUNCTION(lru_add_drain)                 \
	FUNCTION(lru_add_drain_all)             \
	FUNCTION(pgtable_trans_huge_withdraw)   \
	FUNCTION(read_swap_cache_async)         \
	FUNCTION(security_file_permission)      \
	FUNCTION(security_mmap_file)            \
	FUNCTION(security_vm_enough_memory_mm)  \
	FUNCTION(split_vma)                     \
	FUNCTION(swap_cache_get_folio)          \
	FUNCTION(vma_interval_tree_insert)      \
	KZ_PTLOCK_FUNCTIONS(FUNCTION)           \
	KZ_COMPAT_FUNCTIONS(FUNCTION)

#define KZ_DECLARE(name) DECLARE_STATIC_CALL(kz_call_##name, name);
KZ_FUNCTIONS(KZ_DECLARE)
#undef KZ_DECLARE

struct file_operations;
struct list_head;
struct mutex;
struct percpu_counter;

/* The kernel's data, found at load. */
struct kz_data {
	struct list_head *shmem_swaplist;
	struct mutex *shmem_swaplist_mutex;
	const struct file_operations *shmem_file_operations;
	struct percpu_counter *vm_committed_as;
	s32 *vm_committed_as_batch;
	int *sysctl_max_map_count;
	int *shmem_huge;
	KZ_COMPAT_DATA
};
extern struct kz_data kz_data;

int kz_symbols_find(void);

#endif
