/*
 * What the two scanners share: where they stand, what they found, and what they found wrong.
 * protocol/json_scan.h and protocol/msgpack_scan.h read values; nothing here depends on which.
 */
#ifndef FT_PROTOCOL_SCAN_H
#define FT_PROTOCOL_SCAN_H

#include "protocol/slice.h"

/*
 * A place in foreign bytes. A scanner function that returns false leaves `at` where it saw the fault
 * and sets `fault` to a few words about it. `is_rule` says that the bytes are good JSON or
 * MessagePack but break a rule of ours (SPEC.md section 3), so that the value can be stepped over
 * and what stands after it still be read.
 */
struct ft_scan {
    const uint8_t *at;
    const uint8_t *end;
    const char *fault;
    bool is_rule;
    uint8_t deeper; /* levels more than FT_DEPTH_MAX that are taken, up to FT_DEEPER_MAX */
};

/* Items of a history are two levels down, in an array of maps, and may hold any data. */
#define FT_DEEPER_MAX 2

enum ft_value_kind {
    FT_VALUE_NULL,
    FT_VALUE_BOOL,
    FT_VALUE_UINT,   /* an integer from 0 to 2^64 - 1 */
    FT_VALUE_INT,    /* MessagePack: an integer below 0 (in JSON that is a NUMBER) */
    FT_VALUE_NUMBER, /* any other number */
    FT_VALUE_STR,
    FT_VALUE_BIN, /* MessagePack only */
    FT_VALUE_ARRAY,
    FT_VALUE_MAP,
    FT_VALUE_EXT /* MessagePack only, and always refused */
};

/* One value, whole. Which of the middle fields are set depends on `kind`; the rest is garbage. */
struct ft_value {
    enum ft_value_kind kind;
    bool is_true;         /* BOOL */
    bool has_escapes;     /* STR: `text` still has to be decoded (never in MessagePack) */
    uint64_t num;         /* UINT; INT in two's complement; in MessagePack elements or pairs too */
    double real;          /* NUMBER in MessagePack */
    struct ft_slice text; /* STR, BIN: the content, without quotes or header */
    struct ft_slice raw;  /* the whole value, as it was sent */
};

static inline struct ft_scan ft_scan_of(struct ft_slice bytes)
{
    return (struct ft_scan){.at = bytes.ptr, .end = bytes.len ? bytes.ptr + bytes.len : bytes.ptr};
}

/* Records that the bytes at scan->at are not what the encoding allows. Returns false. */
static inline bool ft_scan_broken(struct ft_scan *scan, const char *fault)
{
    scan->fault = fault;
    scan->is_rule = false;
    return false;
}

/* Records that the bytes are well-formed but break a rule of ours. Returns false. */
static inline bool ft_scan_refused(struct ft_scan *scan, const char *fault)
{
    scan->fault = fault;
    scan->is_rule = true;
    return false;
}

/* The words for what both encodings refuse. */
#define FT_FAULT_DEPTH "nesting deeper than 32 levels"
#define FT_FAULT_ENDS  "the bytes end inside a value"

#endif
