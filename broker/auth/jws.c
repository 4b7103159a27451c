/*
 * The form of a token, the choice of its key, its signature. Everything is read strictly here before a
 * library sees it: libcjose takes base64 that ends in the middle, keys that stand twice in a header, and
 * decides by the header alone how to verify. Any thread; nothing is kept.
 */
#include "broker/auth/jws.h"

#include <strings.h>

#include "broker/auth/json.h"
#include "protocol/base64url.h"
#include "protocol/quote.h"

struct header {
    enum ft_alg alg;
    json_t *object;
    struct ft_slice kid; /* absent: none */
};

static enum ft_err refuse(struct ft_problem *problem, const char *why)
{
    return ft_problem_set(problem, FT_ERR_UNAUTHORIZED, "%s", why);
}

/* ---- the three parts ---- */

static enum ft_err split(struct ft_slice token, struct ft_slice part[3], struct ft_problem *problem)
{
    if (token.len > FT_TOKEN_MAX)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token has %zu bytes, %d are the most", token.len, FT_TOKEN_MAX);
    size_t count = 1, from = 0;
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] != '.')
            continue;
        if (count < 3)
            part[count - 1] = ft_slice(token.ptr + from, i - from);
        from = i + 1;
        count++;
    }
    if (count == 5)
        return refuse(problem, "the token is encrypted; it must be a signed one, of three parts");
    if (count != 3)
        return refuse(problem, "that is no token: it does not have three parts with dots between");
    part[2] = ft_slice(token.ptr + from, token.len - from);
    return FT_OK;
}

static enum ft_err decode(struct ft_slice text, const char *name, uint8_t *out,
                          struct ft_slice *bytes, struct ft_problem *problem)
{
    size_t len;
    if (!ft_base64url_decode(text, out, &len))
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token's %s is not base64url without padding", name);
    *bytes = ft_slice(out, len);
    return FT_OK;
}

/* ---- the header ---- */

static bool is_jwt(struct ft_slice cty)
{
    return cty.ptr && strcasecmp((const char *)cty.ptr, "JWT") == 0;
}

static enum ft_err check_alg(struct header *header, struct ft_problem *problem)
{
    char quoted[FT_QUOTE_MAX];
    const json_t *alg = json_object_get(header->object, "alg");
    if (!json_is_string(alg))
        return refuse(problem, "the token's header has no \"alg\" that is a string");
    header->alg = ft_alg_find(ft_auth_json_text(alg));
    if (header->alg == FT_ALGS)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED,
                              "the token's \"alg\" is %s, which is not accepted",
                              ft_quote(ft_auth_json_text(alg), quoted));
    return FT_OK;
}

static enum ft_err check_header(struct header *header, struct ft_problem *problem)
{
    const json_t *object = header->object;
    const json_t *kid = json_object_get(object, "kid");
    const json_t *typ = json_object_get(object, "typ");
    const json_t *cty = json_object_get(object, "cty");
    if ((kid && !json_is_string(kid)) || (typ && !json_is_string(typ)) ||
        (cty && !json_is_string(cty)))
        return refuse(problem, "\"kid\", \"typ\" or \"cty\" of the token's header is no string");
    if (json_object_get(object, "crit") || json_object_get(object, "b64"))
        return refuse(problem, "the token's header has \"crit\" or \"b64\": extensions that are "
                               "not understood");
    if (is_jwt(ft_auth_json_text(cty)))
        return refuse(problem, "the token holds another token");
    header->kid = ft_auth_json_text(kid);
    return check_alg(header, problem);
}

/* Reads the header; `header->object` is for json_decref() in any case. */
static enum ft_err read_header(struct ft_slice text, struct header *header,
                               struct ft_problem *problem)
{
    uint8_t bytes[FT_TOKEN_PART_MAX];
    struct ft_slice json;
    enum ft_err err = decode(text, "header", bytes, &json, problem);
    if (err)
        return err;
    header->object = ft_auth_json(json);
    if (!header->object)
        return refuse(problem, "the token's header is not a JSON object with each key once");
    return check_header(header, problem);
}

/* ---- keys ---- */

static bool is_candidate(const struct ft_key *key, struct ft_slice kid, bool is_known)
{
    struct ft_slice own = ft_key_kid(key);
    if (!kid.ptr)
        return true;
    return is_known ? own.ptr && ft_slice_equal(own, kid) : !own.ptr;
}

static enum ft_err verify(const struct ft_keys *keys, const struct header *header,
                          const struct ft_signed *parts, struct ft_problem *problem)
{
    bool is_known = false;
    for (size_t i = 0; i < keys->count && header->kid.ptr; i++)
        is_known |= ft_key_kid(keys->items[i]).ptr &&
                    ft_slice_equal(ft_key_kid(keys->items[i]), header->kid);
    size_t candidates = 0, tried = 0;
    for (size_t i = 0; i < keys->count; i++) {
        if (!is_candidate(keys->items[i], header->kid, is_known))
            continue;
        candidates++;
        if (!ft_key_is_for(keys->items[i], header->alg))
            continue;
        tried++;
        if (ft_key_verify(keys->items[i], header->alg, parts))
            return FT_OK;
    }
    char quoted[FT_QUOTE_MAX];
    if (candidates == 0)
        return ft_problem_set(problem, FT_ERR_UNAUTHORIZED, "no key has the token's \"kid\", %s",
                              ft_quote(header->kid, quoted));
    if (tried == 0)
        return refuse(problem, "the token's \"alg\" is not the key's");
    return refuse(problem, "the token's signature is not by a key that is known here");
}

enum ft_err ft_jws_verify(const struct ft_keys *keys, struct ft_slice token, uint8_t *out,
                          struct ft_slice *payload, struct ft_problem *problem)
{
    struct ft_slice part[3];
    uint8_t signature[FT_TOKEN_PART_MAX];
    struct header header = {.alg = FT_ALGS};
    struct ft_signed parts = {.token = token};
    enum ft_err err = split(token, part, problem);
    if (err)
        return err;
    parts.input = ft_slice(token.ptr, part[0].len + 1 + part[1].len);
    err = read_header(part[0], &header, problem);
    if (!err)
        err = decode(part[1], "payload", out, payload, problem);
    if (!err)
        err = decode(part[2], "signature", signature, &parts.signature, problem);
    if (!err)
        err = verify(keys, &header, &parts, problem);
    json_decref(header.object);
    return err;
}
