#include "abi_layout.h"

#include "../WorkerABI/zerrow_worker.h"
#include "worker_sandbox.h"

#include <stddef.h>

#define WHOLE(type) {#type, "", 0, sizeof(struct type)}
#define FIELD(type, name) {#type, #name, offsetof(struct type, name), sizeof(((struct type *)0)->name)}

static const struct zerrow_layout layout[] = {
    WHOLE(zerrow_counts),
    FIELD(zerrow_counts, rows),
    FIELD(zerrow_counts, batches),
    FIELD(zerrow_counts, bytes),
    FIELD(zerrow_counts, reshared_bytes),
    FIELD(zerrow_counts, born_shared_bytes),
    FIELD(zerrow_counts, deanonymized_bytes),
    FIELD(zerrow_counts, packed_bytes),
    FIELD(zerrow_counts, copied_bytes),
    WHOLE(zerrow_pages),
    FIELD(zerrow_pages, ranges),
    FIELD(zerrow_pages, refused_ranges),
    FIELD(zerrow_pages, refusal),
    FIELD(zerrow_pages, moved_pages),
    FIELD(zerrow_pages, moved_huge_pages),
    FIELD(zerrow_pages, moved_swap_pages),
    FIELD(zerrow_pages, hole_pages),
    FIELD(zerrow_pages, copied_edge_pages),
    FIELD(zerrow_pages, copied_shared_pages),
    FIELD(zerrow_pages, copied_pinned_pages),
    FIELD(zerrow_pages, copied_other_pages),
    WHOLE(zerrow_rebuilt_folder),
    FIELD(zerrow_rebuilt_folder, path),
    FIELD(zerrow_rebuilt_folder, shown),
    WHOLE(zerrow_worker_spec),
    FIELD(zerrow_worker_spec, uid),
    FIELD(zerrow_worker_spec, has_network),
    FIELD(zerrow_worker_spec, tmp_bytes_max),
    FIELD(zerrow_worker_spec, tmp_entries),
    FIELD(zerrow_worker_spec, rebuilt),
    FIELD(zerrow_worker_spec, covered),
    FIELD(zerrow_worker_spec, overlaid),
    FIELD(zerrow_worker_spec, scratch),
    {NULL, NULL, 0, 0},
};

const struct zerrow_layout *zerrow_abi_layout(void) { return layout; }
