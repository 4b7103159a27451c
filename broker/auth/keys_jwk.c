/*
 * Keys from JSON: a JWK or a JWKS (RFC 7517, RFC 7518 section 6, RFC 8037). What a set holds for other
 * purposes is passed by; what is for us and broken is an error. The main thread.
 */
#include <stdlib.h>

#include "broker/auth/json.h"
#include "broker/auth/keys.h"
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "protocol/base64url.h"
#include "protocol/quote.h"

/* Longest member: the modulus of the largest RSA key, in base64url, with room. */
enum { MEMBER_BYTES_MAX = 4096 };

/* `kty` and, where it has curves, `crv`; then the members that make the key. */
static const struct {
    const char *kty, *crv;
    enum ft_key_type type;
    const char *first, *second;
} kinds[] = {
    {"oct", NULL, FT_KEY_OCT, "k", NULL},   {"RSA", NULL, FT_KEY_RSA, "n", "e"},
    {"EC", "P-256", FT_KEY_P256, "x", "y"}, {"EC", "P-384", FT_KEY_P384, "x", "y"},
    {"EC", "P-521", FT_KEY_P521, "x", "y"}, {"OKP", "Ed25519", FT_KEY_ED25519, "x", NULL},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static bool is_text(const json_t *value, const char *text)
{
    return ft_slice_equal(ft_auth_json_text(value), ft_slice_str(text));
}

static size_t find_kind(const json_t *jwk)
{
    size_t i = 0;
    while (i < KINDS && !(is_text(json_object_get(jwk, "kty"), kinds[i].kty) &&
                          (!kinds[i].crv || is_text(json_object_get(jwk, "crv"), kinds[i].crv))))
        i++;
    return i;
}

/* Says whether the key may verify signatures (RFC 7517 sections 4.2 and 4.3). */
static bool may_verify(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use");
    if (use && !is_text(use, "sig"))
        return false;
    const json_t *ops = json_object_get(jwk, "key_ops");
    if (!ops)
        return true;
    for (size_t i = 0; i < json_array_size(ops); i++)
        if (is_text(json_array_get(ops, i), "verify"))
            return true;
    return false;
}

/* Reads `alg`. False: it is one that signs nothing here. "ES521" is what RFC 7520's keys are given in
 * some collections; P-521 leaves no doubt about what is meant. */
static bool read_alg(const json_t *jwk, enum ft_key_type type, enum ft_alg *alg)
{
    const json_t *value = json_object_get(jwk, "alg");
    *alg = FT_ALGS;
    if (!value || (type == FT_KEY_P521 && is_text(value, "ES521")))
        return true;
    if (!json_is_string(value))
        return false;
    *alg = ft_alg_find(ft_auth_json_text(value));
    return *alg < FT_ALGS;
}

static enum ft_err read_member(const json_t *jwk, const char *name, uint8_t *out,
                               struct ft_slice *bytes, struct ft_problem *problem)
{
    if (!name)
        return FT_OK;
    struct ft_slice text = ft_auth_json_text(json_object_get(jwk, name));
    size_t len;
    if (!text.ptr || text.len > MEMBER_BYTES_MAX || !ft_base64url_decode(text, out, &len))
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "the member \"%s\" of a key is not base64url (RFC 7518 section 6)",
                              name);
    *bytes = ft_slice(out, len);
    return FT_OK;
}

static enum ft_err add(struct ft_keys *keys, const json_t *jwk, size_t kind, enum ft_alg alg,
                       struct ft_problem *problem)
{
    uint8_t first[MEMBER_BYTES_MAX], second[MEMBER_BYTES_MAX];
    struct ft_key_spec spec = {.type = kinds[kind].type, .alg = alg};
    const json_t *kid = json_object_get(jwk, "kid");
    if (kid && !json_is_string(kid))
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "the \"kid\" of a key is not a string");
    spec.kid = ft_auth_json_text(kid);
    enum ft_err err = read_member(jwk, kinds[kind].first, first, &spec.first, problem);
    if (!err)
        err = read_member(jwk, kinds[kind].second, second, &spec.second, problem);
    if (!err)
        err = ft_keys_add(keys, &spec, problem);
    if (!err && spec.type != FT_KEY_OCT && json_object_get(jwk, "d"))
        ft_log(FT_LOG_WARN, "private_key",
               "note=\"a file of auth.keys holds a private key; the public half is enough\"");
    return err;
}

/* Adds one key, or passes it by. */
static enum ft_err read_one(struct ft_keys *keys, const json_t *jwk, struct ft_problem *problem)
{
    enum ft_alg alg;
    size_t kind = find_kind(jwk);
    if (kind < KINDS && may_verify(jwk) && read_alg(jwk, kinds[kind].type, &alg))
        return add(keys, jwk, kind, alg, problem);
    char quoted[FT_QUOTE_MAX];
    ft_log(FT_LOG_INFO, "key_passed_by", "kid=%s note=\"it is not for verifying signatures here\"",
           ft_quote(ft_auth_json_text(json_object_get(jwk, "kid")), quoted));
    return FT_OK;
}

enum ft_err ft_keys_read_jwk(struct ft_keys *keys, struct ft_slice bytes,
                             struct ft_problem *problem)
{
    json_t *top = ft_auth_json(bytes);
    if (!top)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "it is neither PEM (-----BEGIN PUBLIC KEY-----) nor a JWK or JWKS, "
                              "which would be a JSON object");
    size_t before = keys->count;
    const json_t *set = json_object_get(top, "keys");
    enum ft_err err = FT_OK;
    if (!set)
        err = read_one(keys, top, problem);
    else if (!json_is_array(set))
        err = ft_problem_set(problem, FT_ERR_BAD_FIELD, "its \"keys\" is not an array");
    for (size_t i = 0; !err && i < json_array_size(set); i++)
        err = read_one(keys, json_array_get(set, i), problem);
    json_decref(top);
    if (!err && keys->count == before)
        err = ft_problem_set(problem, FT_ERR_BAD_FIELD,
                             "it holds no key that could verify tokens: oct, RSA, EC P-256, P-384, "
                             "P-521 or OKP Ed25519, \"use\" sig, \"alg\" one of RFC 7518");
    return err;
}
