/*
 * How the structs are laid out that callers of libzerrow_worker.so declare by themselves: they compare, and refuse a
 * library of another layout.
 */
#ifndef ZERROW_ABI_LAYOUT_H
#define ZERROW_ABI_LAYOUT_H

#include <stdint.h>

struct zerrow_layout {
    /* The struct's name. */
    const char *type;
    /* A field of it; "" for the struct itself. */
    const char *field;
    uint32_t offset;
    uint32_t size;
};

/* Each struct, followed by its fields in order; ends with a type of NULL. Static. */
const struct zerrow_layout *zerrow_abi_layout(void);

#endif
