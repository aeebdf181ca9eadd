/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection and mutations, for the tests. Only a build with KERNELZERO_DEBUG=1 has them; in any other build all of
 * this is constant and the compiler removes it.
 */
#ifndef KZ_DEBUG_H
#define KZ_DEBUG_H

#include <linux/types.h>

/*
 * Deliberate mistakes, each of which the test suite has to catch. Two are none: window_taken plays a collapse at the file's
 * end, after which a call has to succeed all the same, and pause_held has a call sleep for a second under all its locks.
 */
#define KZ_MUTATIONS(MUTATION)        \
	MUTATION(skip_tlb_flush)      \
	MUTATION(skip_dirty)          \
	MUTATION(skip_rss)            \
	MUTATION(skip_rmap)           \
	MUTATION(skip_nr_shmem)       \
	MUTATION(skip_nr_anon)        \
	MUTATION(skip_iblocks)        \
	MUTATION(skip_nrpages)        \
	MUTATION(skip_vm_accounting)  \
	MUTATION(skip_swaplist)       \
	MUTATION(swap_in_cache_thp)   \
	MUTATION(swap_shared)         \
	MUTATION(edge_not_zeroed)     \
	MUTATION(skip_pin_check)      \
	MUTATION(skip_drain)          \
	MUTATION(skip_undo_pte)       \
	MUTATION(skip_undo_reserve)   \
	MUTATION(skip_seals)          \
	MUTATION(skip_charge)         \
	MUTATION(skip_pgtable_free)   \
	MUTATION(early_size)          \
	MUTATION(skip_zero_page)      \
	MUTATION(skip_mappings_count) \
	MUTATION(skip_vma_move)       \
	MUTATION(skip_notify)         \
	MUTATION(skip_huge_deny)      \
	MUTATION(may_grow)            \
	MUTATION(dirty_early)         \
	MUTATION(swap_in_may_kill)    \
	MUTATION(drain_waits)         \
	MUTATION(wait_for_each)       \
	MUTATION(split_late)          \
	MUTATION(pause_held)          \
	MUTATION(window_taken)

#define KZ_MUTATION_ID(name) KZ_MUTATION_##name,
enum kz_mutation {
	KZ_MUTATION_none,
	KZ_MUTATIONS(KZ_MUTATION_ID)
};
#undef KZ_MUTATION_ID

#ifdef KERNELZERO_DEBUG

extern enum kz_mutation kz_mutation_now;

/* Whether the module shall make the mistake @name. */
#define kz_mutated(name) unlikely(READ_ONCE(kz_mutation_now) == KZ_MUTATION_##name)

/* A new call begins: its fallible steps are counted from one. */
void kz_fault_begin(void);

/* A fallible step. Returns 0, or the error with which the step has to fail. */
int kz_fault(int error);

/* The call sleeps for a tick under its locks. */
void kz_note_tick(void);

#else

#define kz_mutated(name) false

static inline void kz_fault_begin(void)
{
}

static inline int kz_fault(int error)
{
	return 0;
}

static inline void kz_note_tick(void)
{
}

#endif
#endif
