/* Reads queries as forms write them (application/x-www-form-urlencoded). Pure. */
#include "broker/http/query.h"

#include "protocol/envelope.h"
#include "protocol/quote.h"
#include "protocol/utf8.h"

void ft_query_begin(struct ft_query *query, const struct ft_http_head *head)
{
    query->rest_ = head->query;
    query->used_ = 0;
}

static bool decode(struct ft_query *query, struct ft_slice text, struct ft_slice *out)
{
    uint8_t *at = query->text_ + query->used_;
    size_t len;
    if (text.len > sizeof(query->text_) - query->used_ ||
        !ft_percent_decode(text, true, at, &len) || !ft_utf8_is_valid(ft_slice(at, len)))
        return false;
    query->used_ += len;
    *out = ft_slice(at, len);
    return true;
}

enum ft_err ft_query_read(struct ft_query *query, struct ft_slice *name, struct ft_slice *value,
                          struct ft_problem *problem)
{
    struct ft_slice raw_name, raw_value;
    if (!ft_query_next(&query->rest_, &raw_name, &raw_value))
        return FT_ERR_NOT_FOUND;
    if (!decode(query, raw_name, name))
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                              "the query has a name that is not percent-encoded UTF-8");
    query->raw_ = raw_value;
    if (decode(query, raw_value, value))
        return FT_OK;
    char quoted[FT_QUOTE_MAX]; /* the name only: a value may be a secret */
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                          "the query parameter %s is not percent-encoded UTF-8",
                          ft_quote(*name, quoted));
}

enum ft_err ft_query_walk(struct ft_query *query, const struct ft_http_head *head,
                          enum ft_err (*take)(void *context, struct ft_slice name,
                                              struct ft_slice value, struct ft_problem *problem),
                          void *context, struct ft_problem *problem)
{
    struct ft_slice name, value;
    enum ft_err err;
    ft_query_begin(query, head);
    while ((err = ft_query_read(query, &name, &value, problem)) == FT_OK) {
        err = take(context, name, value, problem);
        if (err != FT_OK)
            return err;
    }
    return err == FT_ERR_NOT_FOUND ? FT_OK : err;
}

void ft_query_keep_wildcards(struct ft_query *query, struct ft_slice filter)
{
    struct ft_slice raw = query->raw_;
    uint8_t *out = query->text_ + query->used_ - filter.len; /* it was decoded last */
    for (size_t i = 0, at = 0; i < raw.len; i += raw.ptr[i] == '%' ? 3 : 1, at++) {
        bool begins = at == 0 || out[at - 1] == '/',
             ends = at + 1 == filter.len || out[at + 1] == '/';
        if (raw.ptr[i] == '+' && begins && ends)
            out[at] = '+';
    }
}

enum ft_err ft_query_uint(const char *name, struct ft_slice value, uint64_t *out,
                          struct ft_problem *problem)
{
    uint64_t number = 0;
    bool is_good = value.len > 0;
    for (size_t i = 0; i < value.len && is_good; i++) {
        is_good = value.ptr[i] >= '0' && value.ptr[i] <= '9';
        number = number * 10 + (uint64_t)(value.ptr[i] - '0');
        is_good = is_good && number <= FT_INT_MAX;
    }
    if (is_good) {
        *out = number;
        return FT_OK;
    }
    char quoted[FT_QUOTE_MAX];
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                          "%s must be an integer from 0 to 9007199254740991, not %s", name,
                          ft_quote(value, quoted));
}

enum ft_err ft_query_limit(struct ft_slice value, uint32_t most, uint64_t *out,
                           struct ft_problem *problem)
{
    enum ft_err err = ft_query_uint("limit", value, out, problem);
    if (err != FT_OK || (*out > 0 && *out <= most))
        return err;
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "limit must be from 1 to %u", most);
}

enum ft_err ft_query_bool(const char *name, struct ft_slice value, bool *out,
                          struct ft_problem *problem)
{
    char quoted[FT_QUOTE_MAX];
    if (ft_slice_equal(value, ft_slice_str("1")) || ft_slice_equal(value, ft_slice_str("true")))
        *out = true;
    else if (ft_slice_equal(value, ft_slice_str("0")) ||
             ft_slice_equal(value, ft_slice_str("false")))
        *out = false;
    else
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "%s must be 1, 0, true or false, not %s",
                              name, ft_quote(value, quoted));
    return FT_OK;
}

enum ft_err ft_query_once(const char *name, bool is_there, struct ft_problem *problem)
{
    if (!is_there)
        return FT_OK;
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                          "the query has %s more than once, where it takes one", name);
}
