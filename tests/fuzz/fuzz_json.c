/*
 * The JSON scanner against jansson: they accept the same documents, but for what is known to differ.
 * What the scanner accepts also goes to MessagePack and back.
 */
#include <jansson.h>

#include "protocol/json_scan.h"
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

static bool jansson_accepts(struct ft_slice bytes)
{
    json_t *root = json_loadb((const char *)bytes.ptr, bytes.len,
                              JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    json_decref(root);
    return root != NULL;
}

/* jansson takes a NUL after the end for the end, has no keys with U+0000, and nests deeper. */
static bool is_comparable(struct ft_slice bytes)
{
    if (memchr(bytes.ptr, 0, bytes.len) || memmem(bytes.ptr, bytes.len, "\\u0000", 6))
        return false;
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_value value;
    ft_json_skip_space(&scan);
    const uint8_t *from = scan.at;
    if (ft_json_value(&scan, &value) || !scan.is_rule)
        return true;
    bool is_deep = strcmp(scan.fault, FT_FAULT_DEPTH) == 0;
    scan.at = from;
    if (ft_json_step_over(&scan))
        CHECK(scan.at > from && scan.at <= scan.end);
    return !is_deep;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice document = ft_slice(bytes, len);
    bool is_good = ft_data_check(FT_JSON, document, NULL) == FT_OK;
    if (ft_utf8_is_valid(document) && is_comparable(document))
        CHECK(is_good == jansson_accepts(document));
    if (is_good)
        check_json_settles(document);
    return 0;
}
