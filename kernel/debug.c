// SPDX-License-Identifier: GPL-2.0-only
#include "debug.h"

#include <linux/module.h>
#include <linux/string.h>

enum kz_mutation kz_mutation_now;

static const char *const names[] = {[KZ_MUTATION_none] = "",
#define KZ_MUTATION_NAME(name) [KZ_MUTATION_##name] = #name,
				    KZ_MUTATIONS(KZ_MUTATION_NAME)};

static int mutation_set(const char *value, const struct kernel_param *param)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (sysfs_streq(value, names[i])) {
			WRITE_ONCE(kz_mutation_now, i);
			return 0;
		}
	}
	return -EINVAL;
}

static int mutation_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n", names[READ_ONCE(kz_mutation_now)]);
}

static const struct kernel_param_ops mutation_ops = {.set = mutation_set, .get = mutation_get};
module_param_cb(mutation, &mutation_ops, NULL, 0644);
MODULE_PARM_DESC(mutation, "the deliberate mistake to make, or empty");

static unsigned int fail_at;
module_param(fail_at, uint, 0644);
MODULE_PARM_DESC(
	fail_at,
	"which fallible step of the next call fails, from 1; 0: none. Reset when it fired");

static int fail_errno;
module_param(fail_errno, int, 0644);
MODULE_PARM_DESC(fail_errno,
		 "the error of that step, positive; 0: the one that the step would have by itself");

static unsigned int fail_points;
module_param(fail_points, uint, 0444);
MODULE_PARM_DESC(fail_points, "fallible steps that the last call passed");

static unsigned int ticks;
module_param(ticks, uint, 0444);
MODULE_PARM_DESC(ticks, "for how many ticks the last call slept under its locks");

void kz_fault_begin(void)
{
	WRITE_ONCE(fail_points, 0);
	WRITE_ONCE(ticks, 0);
}

void kz_note_tick(void)
{
	WRITE_ONCE(ticks, READ_ONCE(ticks) + 1);
}

int kz_fault(int error)
{
	unsigned int step = READ_ONCE(fail_points) + 1;

	WRITE_ONCE(fail_points, step);
	if (READ_ONCE(fail_at) != step)
		return 0;
	WRITE_ONCE(fail_at, 0);
	return fail_errno ? -fail_errno : error;
}
