// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kernelzero. Everybody may open it: it acts on the caller's memory alone, and on files whose descriptors the caller
 * has. An open descriptor keeps the module loaded, so that it can be unloaded at any time that this is possible.
 */
#include "device.h"

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call.h"
#include "debug.h"
#include "file.h"
#include "request.h"
#include "version.h"

#ifdef KERNELZERO_DEBUG
#define FEATURES_DEBUG KERNELZERO_FEATURE_MUTATIONS
#else
#define FEATURES_DEBUG 0
#endif

static long info(void __user *user)
{
	struct kernelzero_info answer = {
		.size = sizeof(answer),
		.abi = KERNELZERO_ABI,
		.features = KERNELZERO_FEATURE_HUGE | KERNELZERO_FEATURE_SWAP | FEATURES_DEBUG,
		.ranges_max = KZ_RANGES_MAX,
		.bytes_max = KZ_BYTES_MAX,
		.version = KZ_VERSION,
	};
	u32 size;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < offsetofend(struct kernelzero_info, abi))
		return -EINVAL;
	if (copy_to_user(user, &answer, min_t(size_t, size, sizeof(answer))))
		return -EFAULT;
	return 0;
}

static long deanonymize(void __user *user)
{
	struct kz_request *request;
	int err;

	kz_fault_begin();
	err = kz_fault(-ENOMEM);
	if (err)
		return err;
	request = kzalloc(sizeof(*request), KZ_GFP);
	if (!request)
		return -ENOMEM;
	err = kz_request_read(request, user);
	if (err)
		goto free;
	err = kz_file_open(&request->call.file, request->arguments.fd);
	if (err)
		goto free;
	err = kz_call_run(&request->call);
	kz_file_close(&request->call.file);
free:
	kz_request_free(request);
	kfree(request);
	return err;
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;

	switch (command) {
	case KERNELZERO_INFO:
		return info(user);
	case KERNELZERO_DEANONYMIZE:
		return deanonymize(user);
	}
	return -ENOTTY;
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kernelzero",
	.mode = 0666,
	.fops = &device_operations,
};

int __init kz_device_init(void)
{
	return misc_register(&device);
}

void kz_device_exit(void)
{
	misc_deregister(&device);
}
