/*
 * Heads of requests: a verdict never changes when more bytes come, nothing lies outside the bytes, a slow
 * twin reads the same; and whatever comes can be walked as a list, a query and cookies.
 */
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"
#include "tests/unit/support/http_twin.h"

/* Past this, prefixes are tried in steps, and the twin is too slow. */
#define SHORT 2000

static bool is_inside(struct ft_slice part, struct ft_slice whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static int read_exact(struct ft_slice bytes, struct ft_http_head *head)
{
    uint8_t *copy = malloc(bytes.len ? bytes.len : 1);
    CHECK(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    struct ft_problem problem = {.text = ""};
    int got = ft_http_head_read(ft_slice(copy, bytes.len), head, &problem);
    CHECK((got > FT_HTTP_HEAD_MORE) == (problem.text[0] != '\0'));
    CHECK(ft_utf8_is_valid(ft_slice_str(problem.text)));
    CHECK(got != FT_HTTP_HEAD_MORE || bytes.len < FT_HTTP_HEAD_MAX);
    if (got == FT_HTTP_HEAD_READ) {
        struct ft_slice whole = ft_slice(copy, head->size);
        CHECK(head->size <= bytes.len && head->size <= FT_HTTP_HEAD_MAX);
        CHECK(is_inside(head->method, whole) && is_inside(head->target, whole));
        CHECK(is_inside(head->path, head->target) && is_inside(head->query, head->target));
        CHECK(!head->host.ptr || is_inside(head->host, whole));
        CHECK(head->field_count <= FT_HTTP_FIELDS_MAX);
        for (uint32_t i = 0; i < head->field_count; i++)
            CHECK(is_inside(head->fields[i].name, whole) &&
                  is_inside(head->fields[i].value, whole));
    }
    free(copy);
    return got;
}

static void check_prefixes(struct ft_slice bytes, int whole)
{
    static struct ft_http_head head;
    int verdict = FT_HTTP_HEAD_MORE;
    for (size_t n = 0; n<bytes.len; n += bytes.len> SHORT ? 977 : 1) {
        int got = read_exact(ft_slice(bytes.ptr, n), &head);
        CHECK(verdict == FT_HTTP_HEAD_MORE || got == verdict);
        verdict = got;
    }
    CHECK(verdict == FT_HTTP_HEAD_MORE || verdict == whole);
}

static void check_twin(struct ft_slice bytes, int got)
{
    static struct ft_http_head head, twin;
    CHECK((got == FT_HTTP_HEAD_READ) == ft_http_twin(bytes, &twin));
    if (got != FT_HTTP_HEAD_READ)
        return;
    CHECK(ft_http_head_read(bytes, &head, NULL) == FT_HTTP_HEAD_READ);
    CHECK(ft_http_twin_agrees(&head, &twin));
}

static void check_decoding(struct ft_slice text)
{
    uint8_t *out = malloc(text.len + 1);
    CHECK(out);
    size_t len = 0;
    if (ft_percent_decode(text, true, out, &len))
        CHECK(len <= text.len && len >= text.len / 3);
    free(out);
}

static void check_walks(struct ft_slice text)
{
    struct ft_slice rest = text, name, value;
    while (ft_http_list_next(&rest, &name))
        CHECK(name.len > 0 && is_inside(name, text));
    CHECK(rest.len == 0);
    for (rest = text; ft_query_next(&rest, &name, &value);) {
        CHECK(is_inside(name, text) && is_inside(value, text));
        check_decoding(value);
    }
    CHECK(rest.len == 0);
    for (rest = text; ft_cookie_next(&rest, &name, &value);)
        CHECK(is_inside(name, text) && is_inside(value, text));
    CHECK(rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct ft_http_head head;
    struct ft_slice all = ft_slice(bytes, len);
    int got = read_exact(all, &head);
    check_prefixes(all, got);
    if (len > 0 && len <= SHORT)
        check_twin(all, got);
    check_walks(all);
    return 0;
}
