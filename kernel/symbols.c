// SPDX-License-Identifier: GPL-2.0-only
#include "symbols.h"

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>

struct kz_data kz_data __ro_after_init;

/* The one function that finds all others. */
DEFINE_STATIC_CALL_NULL(kz_call_lookup, kallsyms_lookup_name);

#define KZ_DEFINE(name) DEFINE_STATIC_CALL_NULL(kz_call_##name, name);
KZ_FUNCTIONS(KZ_DEFINE)
#undef KZ_DEFINE

#if ALLOC_SPLIT_PTLOCKS
/* The inline pte_free() calls it by this name. */
void ptlock_free(KZ_PTLOCK_OWNER *owner)
{
	KZ_CALL(ptlock_free)(owner);
}
#endif

/* kallsyms_lookup_name() is itself not exported, but a probe on it tells where it is. */
static int __init find_lookup(void)
{
	struct kprobe probe = {.symbol_name = "kallsyms_lookup_name"};
	int err = register_kprobe(&probe);

	if (err) {
		pr_err("the kernel's symbols can't be looked up (%d): it needs CONFIG_KPROBES and "
		       "CONFIG_KALLSYMS\n",
		       err);
		return err;
	}
	static_call_update(kz_call_lookup, (typeof(&kallsyms_lookup_name))probe.addr);
	unregister_kprobe(&probe);
	return 0;
}

static void *__init find(const char *name)
{
	unsigned long address = static_call(kz_call_lookup)(name);

	if (!address)
		pr_err("this kernel has no symbol %s: it is not one that this module knows\n",
		       name);
	return (void *)address;
}

/**
 * kz_symbols_find() - finds all that the kernel does not export.
 *
 * Return: 0, or -ENOENT when the kernel lacks one (which the log names).
 */
int __init kz_symbols_find(void)
{
	void *address;
	int err = find_lookup();

	if (err)
		return err;

#define KZ_FIND(name)           \
	address = find(#name);  \
	if (!address)           \
		return -ENOENT; \
	static_call_update(kz_call_##name, (typeof(&name))address);
	KZ_FUNCTIONS(KZ_FIND)
#undef KZ_FIND

#define KZ_FIND(name)               \
	kz_data.name = find(#name); \
	if (!kz_data.name)          \
		return -ENOENT;
	KZ_FIND(shmem_swaplist)
	KZ_FIND(shmem_swaplist_mutex)
	KZ_FIND(shmem_file_operations)
	KZ_FIND(vm_committed_as)
	KZ_FIND(vm_committed_as_batch)
	KZ_FIND(sysctl_max_map_count)
	KZ_FIND(shmem_huge)
	KZ_COMPAT_FIND(KZ_FIND)
#undef KZ_FIND
	return 0;
}
