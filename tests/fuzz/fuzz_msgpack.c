/*
 * The MessagePack scanner against msgpack-c, where it can be asked without reserving what a header
 * claims. What the scanner accepts also goes to JSON and back.
 */
#include "protocol/msgpack_scan.h"
#include "tests/fuzz/check.h"
#include "tests/unit/support/oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice document = ft_slice(bytes, len);
    bool is_good = ft_data_check(FT_MSGPACK, document, NULL) == FT_OK;
    enum ft_opinion theirs = ft_oracle_msgpack(document);
    if (theirs != FT_OPINION_NONE)
        CHECK(is_good == (theirs == FT_OPINION_GOOD));
    if (is_good)
        check_msgpack_settles(document);
    struct ft_scan scan = ft_scan_of(document);
    bool is_stepped_over = ft_msgpack_step_over(&scan);
    CHECK(scan.at <= scan.end);
    CHECK(is_stepped_over || !is_good);
    return 0;
}
