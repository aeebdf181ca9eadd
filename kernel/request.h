/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_REQUEST_H
#define KZ_REQUEST_H

#include "call.h"

/* A piece of the caller's memory that the answer is written to. */
struct kz_window {
	unsigned long address;
	unsigned long bytes;
	/* Held while the call is being published: writing to them can't fail. */
	struct page **pages;
	unsigned long pages_count;
};

/* The call's arguments, and the memory for its answer. */
struct kz_request {
	struct kernelzero_deanonymize arguments;
	struct kernelzero_range *ranges;
	struct kz_window window_arguments;
	struct kz_window window_ranges;
	struct kz_window window_kinds;
	struct kz_call call;
};

int kz_request_read(struct kz_request *request, void __user *address);
void kz_request_free(struct kz_request *request);
int kz_request_probe(struct kz_request *request);
int kz_request_hold(struct kz_request *request);
void kz_request_answer(struct kz_request *request);
void kz_request_release(struct kz_request *request);
void kz_request_finish(struct kz_request *request);

#endif
