/*
 * Looks for a token in a request's head. Two tokens in one place are refused rather than one of them picked:
 * whoever stands in front of the broker may have picked the other. Pure.
 */
#include "broker/http/credentials.h"

#define BEARER_LEN (sizeof(FT_SUBPROTOCOL_BEARER) - 1)

bool ft_credentials_is_bearer(struct ft_slice subprotocol)
{
    return subprotocol.len >= BEARER_LEN &&
           memcmp(subprotocol.ptr, FT_SUBPROTOCOL_BEARER, BEARER_LEN) == 0;
}

static enum ft_err take(struct ft_credentials *found, enum ft_token_place place,
                        struct ft_slice text, struct ft_problem *problem)
{
    static const char *const names[] = {
        [FT_TOKEN_HEADER] = "Authorization",
        [FT_TOKEN_SUBPROTOCOL] = "a subprotocol with a token",
        [FT_TOKEN_COOKIE] = "the token's cookie",
        [FT_TOKEN_QUERY] = "the query parameter token",
    };
    if (found->text.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                              "the request has %s more than once, but it must be clear who asks",
                              names[place]);
    *found = (struct ft_credentials){place, text};
    return FT_OK;
}

/* RFC 9110 section 11.6.2, RFC 6750 section 2.1. */
static enum ft_err find_header(const struct ft_http_head *head, struct ft_credentials *found,
                               struct ft_problem *problem)
{
    uint32_t count;
    struct ft_slice value = ft_http_field(head, "authorization", &count);
    if (count == 0)
        return FT_OK;
    if (count > 1) {
        *found = (struct ft_credentials){FT_TOKEN_HEADER, value};
        return take(found, FT_TOKEN_HEADER, value, problem);
    }
    size_t scheme = 0;
    while (scheme < value.len && value.ptr[scheme] != ' ')
        scheme++;
    if (!ft_http_is(ft_slice(value.ptr, scheme), "bearer"))
        return FT_OK; /* it is for somebody else: a proxy that asks for a password, say */
    return take(found, FT_TOKEN_HEADER,
                ft_http_trim(ft_slice(value.ptr + scheme, value.len - scheme)), problem);
}

static enum ft_err find_subprotocol(const struct ft_http_head *head, struct ft_credentials *found,
                                    struct ft_problem *problem)
{
    enum ft_err err = FT_OK;
    for (uint32_t i = 0; i < head->field_count && err == FT_OK; i++) {
        struct ft_slice rest = head->fields[i].value, offered;
        if (!ft_http_is(head->fields[i].name, "sec-websocket-protocol"))
            continue;
        while (err == FT_OK && ft_http_list_next(&rest, &offered)) {
            if (ft_credentials_is_bearer(offered))
                err = take(found, FT_TOKEN_SUBPROTOCOL,
                           ft_slice(offered.ptr + BEARER_LEN, offered.len - BEARER_LEN), problem);
        }
    }
    return err;
}

/* A browser sends cookies of one name, set for different paths, the most specific first: that counts. */
static enum ft_err find_cookie(const struct ft_http_head *head, const char *cookie,
                               struct ft_credentials *found)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct ft_slice rest = head->fields[i].value, name, value;
        if (!ft_http_is(head->fields[i].name, "cookie"))
            continue;
        while (ft_cookie_next(&rest, &name, &value)) {
            if (!ft_slice_equal(name, ft_slice_str(cookie)))
                continue;
            *found = (struct ft_credentials){FT_TOKEN_COOKIE, value};
            return FT_OK;
        }
    }
    return FT_OK;
}

static enum ft_err find_query(const struct ft_http_head *head, uint8_t *decoded,
                              struct ft_credentials *found, struct ft_problem *problem)
{
    enum ft_err err = FT_OK;
    struct ft_slice rest = head->query, name, value;
    while (err == FT_OK && ft_query_next(&rest, &name, &value)) {
        size_t len;
        if (!ft_percent_decode(name, true, decoded, &len) ||
            !ft_slice_equal(ft_slice(decoded, len), ft_slice_str("token")))
            continue;
        if (!ft_percent_decode(value, true, decoded, &len))
            return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                                  "the query parameter token has a %% without two hexadecimal "
                                  "digits");
        err = take(found, FT_TOKEN_QUERY, ft_slice(decoded, len), problem);
        decoded += len;
    }
    return err;
}

enum ft_err ft_credentials_find(const struct ft_http_head *head,
                                const struct ft_credentials_places *places, uint8_t *decoded,
                                struct ft_credentials *found, struct ft_problem *problem)
{
    *found = (struct ft_credentials){0};
    enum ft_err err = find_header(head, found, problem);
    if (err == FT_OK && !found->text.ptr && places->subprotocols)
        err = find_subprotocol(head, found, problem);
    if (err == FT_OK && !found->text.ptr && places->cookie)
        err = find_cookie(head, places->cookie, found);
    if (err == FT_OK && !found->text.ptr)
        err = find_query(head, decoded, found, problem);
    return err;
}
