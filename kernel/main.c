// SPDX-License-Identifier: GPL-2.0-only
#include <generated/utsrelease.h>
#include <linux/module.h>
#include <linux/utsname.h>

#include "debug.h"
#include "device.h"
#include "symbols.h"
#include "take.h"
#include "version.h"

/*
 * The module relies on structures that the kernel keeps to itself and may change in any release, so it runs only on the
 * very kernel whose headers it was built with. The kernel's own check is less strict when it has symbol versions.
 */
static int __init kernel_check(void)
{
	if (!strcmp(init_utsname()->release, UTS_RELEASE))
		return 0;
	pr_err("built for Linux %s, but this is %s: build it again with this kernel's headers "
	       "(DKMS does)\n",
	       UTS_RELEASE, init_utsname()->release);
	return -EINVAL;
}

static int __init kz_init(void)
{
	int err;

	err = kernel_check();
	if (err)
		return err;
	err = kz_symbols_find();
	if (err)
		return err;
	kz_drain_init();
	err = kz_device_init();
	if (err) {
		pr_err("/dev/kernelzero can't be made (%d)\n", err);
		return err;
	}
#ifdef KERNELZERO_DEBUG
	pr_warn("KernelZero " KZ_VERSION ", a debug build: its tests may break it on purpose\n");
#else
	pr_info("KernelZero " KZ_VERSION "\n");
#endif
	return 0;
}

static void __exit kz_exit(void)
{
	kz_device_exit();
	kz_drain_exit();
}

module_init(kz_init);
module_exit(kz_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zerrow authors");
MODULE_DESCRIPTION("Moves anonymous memory into shared-memory files, without copying it");
MODULE_VERSION(KZ_VERSION);
