/* Positions: whatever comes is refused with a sentence, or taken apart into what it was made of. */
#include "protocol/number.h"
#include "protocol/position.h"
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice text = ft_slice(bytes, len);
    struct ft_problem problem = {.text = ""};
    struct ft_position_parts parts = {.offset = 1};
    enum ft_err err = ft_position_read(text, &parts, &problem);
    CHECK(err == ft_position_read(text, &parts, NULL));
    CHECK(err == FT_OK || err == FT_ERR_BAD_FIELD);
    CHECK((err == FT_OK) == (problem.text[0] == '\0'));
    CHECK(ft_utf8_is_valid(ft_slice_str(problem.text)));
    if (err != FT_OK)
        return 0;
    CHECK(parts.stream.ptr == bytes && parts.stream.len >= 1);
    CHECK(parts.stream.len <= FT_STREAM_BYTES_MAX && bytes[parts.stream.len] == '.');
    struct ft_slice digits = ft_slice(bytes + parts.stream.len + 1, len - parts.stream.len - 1);
    char printed[FT_UINT_TEXT_MAX];
    CHECK(ft_slice_equal(digits, ft_slice(printed, ft_uint_print(parts.offset, printed))));
    return 0;
}
