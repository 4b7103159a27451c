/* The gate: who comes out of good credentials, and what it may do; keys by id, reload, modes. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support/gate_case.h"

#define HS256 "{\"alg\":\"HS256\"}"

static char *texts(const char *text)
{
    return (char *)(uintptr_t)text;
}

static char *made(const char *claims)
{
    return token_hmac("HS256", ft_slice_str(GATE_SECRET), HS256, claims);
}

/* Asks with a token that must be accepted, and frees it. */
static struct ft_identity *who_is(struct ft_auth *auth, char *token)
{
    struct ft_identity *who = gate_ask(auth, token);
    cr_assert(who, "%s", gate_why());
    free(token);
    return who;
}

static bool may_sub(const struct ft_identity *who, const char *filter)
{
    return ft_identity_may_sub(who, ft_slice_str(filter));
}

static bool may_pub(const struct ft_identity *who, const char *topic)
{
    return ft_identity_may_pub(who, ft_slice_str(topic));
}

static struct ft_auth *secret_gate(void)
{
    return gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .secret = GATE_SECRET});
}

Test(auth_gate, a_token_says_who_what_and_until_when)
{
    struct ft_auth *auth = secret_gate();
    struct ft_identity *who = who_is(
        auth,
        made("{\"sub\":\"alice\",\"exp\":1795287600.5,\"nbf\":1795283000,\"iat\":0,\"other\":[1],"
             "\"fantail\":{\"sub\":[\"chat/#\",\"to/%u/+\"],\"pub\":[\"from/%u\"],\"x\":1}}"));

    cr_expect(ft_slice_equal(ft_identity_user(who), ft_slice_str("alice")));
    cr_expect_eq(ft_identity_expires_ms(who), 1795287600500ULL);
    cr_expect(!ft_identity_is_admin(who));
    cr_expect(may_sub(who, "chat/#") && may_sub(who, "to/alice/+") && may_sub(who, "to/alice/x"));
    cr_expect(!may_sub(who, "#") && !may_sub(who, "to/bob/+") && !may_sub(who, "from/alice"));
    cr_expect(may_pub(who, "from/alice") && !may_pub(who, "from/bob") && !may_pub(who, "chat/1"));
    cr_expect(!may_sub(who, "$sys/#"));
    ft_identity_unref(who);
    ft_auth_free(auth);
}

Test(auth_gate, an_empty_token_is_nobody_who_may_nothing_for_ever)
{
    struct ft_auth *auth = secret_gate();
    struct ft_identity *who = who_is(auth, made("{}"));
    cr_expect_null(ft_identity_user(who).ptr);
    cr_expect_eq(ft_identity_expires_ms(who), 0);
    cr_expect(!may_sub(who, "a") && !may_pub(who, "a") && !ft_identity_is_admin(who));
    ft_identity_unref(who);
    ft_auth_free(auth);
}

Test(auth_gate, an_admin_is_one_by_claim)
{
    struct ft_auth *auth = secret_gate();
    struct ft_identity *who = who_is(auth, made("{\"fantail\":{\"admin\":true}}"));
    cr_expect(ft_identity_is_admin(who) && may_sub(who, "$sys/#") && !may_sub(who, "a"));
    ft_identity_unref(who);
    who = who_is(auth, made("{\"fantail\":{\"admin\":false,\"sub\":[],\"pub\":[]}}"));
    cr_expect(!ft_identity_is_admin(who));
    ft_identity_unref(who);
    ft_auth_free(auth);
}

Test(auth_gate, the_operators_rules_hold_for_everybody_with_a_token)
{
    char *sub[] = {texts("public/#"), texts("to/%u")}, *pub[] = {texts("from/%u/#")};
    struct ft_auth *auth = gate_new(&(struct ft_auth_options){
        .mode = FT_AUTH_TOKEN, .secret = GATE_SECRET, .user_sub = {sub, 2}, .user_pub = {pub, 1}});
    struct ft_identity *who =
        who_is(auth, made("{\"sub\":\"bob\",\"fantail\":{\"sub\":[\"extra\"]}}"));
    cr_expect(may_sub(who, "public/x") && may_sub(who, "to/bob") && may_sub(who, "extra"));
    cr_expect(!may_sub(who, "to/alice") && may_pub(who, "from/bob/1"));
    ft_identity_unref(who);
    /* %u of somebody who is no level, or nobody, grants nothing. */
    static const char *const others[] = {"{\"sub\":\"a/b\"}", "{\"sub\":\"+\"}", "{\"sub\":\"#\"}",
                                         "{}"};
    for (size_t i = 0; i < 4; i++) {
        who = who_is(auth, made(others[i]));
        cr_expect(may_sub(who, "public/x") && !may_sub(who, "to/a/b") && !may_sub(who, "to/c"));
        cr_expect(!may_sub(who, "to/+") && !may_sub(who, "to/%u") && !may_pub(who, "from/c/d"));
        ft_identity_unref(who);
    }
    cr_expect_null(ft_auth_gate_ops()->anonymous(auth, true));
    ft_auth_free(auth);
}

Test(auth_gate, without_a_token_the_anonymous_rules_hold)
{
    char *sub[] = {texts("public/#")}, *pub[] = {texts("inbox/%u")};
    struct ft_auth *auth = gate_new(&(struct ft_auth_options){
        .mode = FT_AUTH_TOKEN, .anonymous_sub = {sub, 1}, .anonymous_pub = {pub, 1}});
    struct ft_identity *who = ft_auth_gate_ops()->anonymous(auth, true);
    cr_assert(who);
    cr_expect(may_sub(who, "public/1") && !may_sub(who, "private") && !ft_identity_is_admin(who));
    cr_expect(!may_pub(who, "inbox/%u") && !may_pub(who, "inbox/x"));
    ft_identity_unref(who);
    cr_expect(!gate_accepts(auth, made("{}")), "a bad token is never anonymous");
    ft_auth_free(auth);
}

Test(auth_gate, in_mode_none_everybody_may_everything)
{
    struct ft_auth *auth = gate_new(&(struct ft_auth_options){.mode = FT_AUTH_NONE});
    for (int is_local = 0; is_local < 2; is_local++) {
        struct ft_identity *who = ft_auth_gate_ops()->anonymous(auth, is_local);
        cr_expect(may_sub(who, "#") && may_pub(who, "a"));
        cr_expect_eq(ft_identity_is_admin(who), is_local);
        ft_identity_unref(who);
    }
    struct ft_identity *who = who_is(auth, made("{\"sub\":\"x\",\"fantail\":{\"admin\":true}}"));
    cr_expect(may_sub(who, "#") && !ft_identity_is_admin(who) && !ft_identity_user(who).ptr);
    ft_identity_unref(who);
    ft_auth_free(auth);

    /* With a key there are users. */
    auth = gate_new(&(struct ft_auth_options){.mode = FT_AUTH_NONE, .secret = GATE_SECRET});
    who = who_is(auth, made("{\"sub\":\"x\",\"fantail\":{\"admin\":true}}"));
    cr_expect(may_sub(who, "#") && ft_identity_is_admin(who) && ft_identity_user(who).ptr);
    ft_identity_unref(who);
    cr_expect(!gate_accepts(auth, made("{\"exp\":1}")));
    ft_auth_free(auth);
}

Test(auth_gate, leeway_is_for_both_ends)
{
    struct ft_auth *auth = gate_new(&(struct ft_auth_options){
        .mode = FT_AUTH_TOKEN, .secret = GATE_SECRET, .leeway_s = 10, .grace_s = 30});
    cr_expect(gate_accepts(auth, made("{\"exp\":1795283991}")));
    cr_expect(!gate_accepts(auth, made("{\"exp\":1795283990}")));
    cr_expect(gate_accepts(auth, made("{\"nbf\":1795284010}")));
    cr_expect(!gate_accepts(auth, made("{\"nbf\":1795284011}")));
    cr_expect_eq(ft_auth_gate_ops()->grace_ms(auth), 30000);
    ft_auth_free(auth);
}

Test(auth_gate, times_may_be_fractions_and_huge)
{
    static const char *const good[] = {
        "{\"exp\":1795284000.001}",          "{\"exp\":1.7952840e10}", "{\"exp\":1e300}",
        "{\"exp\":99999999999999999999999}", "{\"nbf\":-5}",           "{\"nbf\":0,\"iat\":-1e300}",
        "{\"exp\":1795287600,\"iat\":1e10}"};
    struct ft_auth *auth = secret_gate();
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(gate_accepts(auth, made(good[i])), "%s: %s", good[i], gate_why());
    struct ft_identity *who = who_is(auth, made("{\"exp\":1e300}"));
    cr_expect_eq(ft_identity_expires_ms(who), (1ULL << 53) - 1);
    ft_identity_unref(who);
    ft_auth_free(auth);
}

Test(auth_gate, issuer_and_audience_are_exact)
{
    char *audiences[] = {texts("chat"), texts("https://chat.example")};
    struct ft_auth *auth = gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN,
                                                              .secret = GATE_SECRET,
                                                              .issuer = "https://id.example",
                                                              .audiences = {audiences, 2}});
    static const struct {
        const char *claims;
        bool is_good;
    } rows[] = {
        {"{\"iss\":\"https://id.example\",\"aud\":\"chat\"}", true},
        {"{\"iss\":\"https://id.example\",\"aud\":[\"x\",\"https://chat.example\"]}", true},
        {"{\"iss\":\"https://id.example/\",\"aud\":\"chat\"}", false},
        {"{\"iss\":\"https://ID.example\",\"aud\":\"chat\"}", false},
        {"{\"iss\":\"\",\"aud\":\"chat\"}", false},
        {"{\"aud\":\"chat\"}", false},
        {"{\"iss\":\"https://id.example\"}", false},
        {"{\"iss\":\"https://id.example\",\"aud\":\"Chat\"}", false},
        {"{\"iss\":\"https://id.example\",\"aud\":\"\"}", false},
        {"{\"iss\":\"https://id.example\",\"aud\":[]}", false},
        {"{\"iss\":\"https://id.example\",\"aud\":[\"chat\",1]}", false},
        {"{\"iss\":\"https://id.example\",\"aud\":{\"chat\":1}}", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(gate_accepts(auth, made(rows[i].claims)), rows[i].is_good, "%s: %s",
                     rows[i].claims, gate_why());
    ft_auth_free(auth);
}

/* ---- keys ---- */

static char *signed_by(const char *alg, enum token_key key, const char *kid)
{
    char header[128];
    if (kid)
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg, kid);
    else
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", alg);
    return token_sign(alg, key, header, "{\"sub\":\"alice\"}");
}

Test(auth_gate, every_kind_of_key_verifies_its_algorithm)
{
    static const struct {
        enum token_key key;
        const char *alg;
    } rows[] = {{TOKEN_RSA, "RS256"},
                {TOKEN_RSA, "PS256"},
                {TOKEN_P256, "ES256"},
                {TOKEN_P384, "ES384"},
                {TOKEN_ED25519, "EdDSA"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *forms[] = {token_public_pem(rows[i].key), token_private_pem(rows[i].key),
                         token_jwk(rows[i].key, ",\"use\":\"sig\""),
                         rows[i].key == TOKEN_ED25519 ? token_public_pem(rows[i].key)
                                                      : token_certificate(rows[i].key)};
        for (size_t k = 0; k < 4; k++) {
            char *files[] = {texts(gate_file(forms[k]))};
            struct ft_auth *auth =
                gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .key_files = {files, 1}});
            cr_expect(gate_accepts(auth, signed_by(rows[i].alg, rows[i].key, NULL)), "%s %zu: %s",
                      rows[i].alg, k, gate_why());
            ft_auth_free(auth);
            free(forms[k]);
        }
    }
}

/* A JWKS of two keys with ids, a PEM file and a secret without. */
static struct ft_auth *mixed_gate(void)
{
    char set[4096];
    char *a = token_jwk(TOKEN_P256, ",\"kid\":\"a\""), *b = token_jwk(TOKEN_RSA, ",\"kid\":\"b\"");
    char *pem = token_public_pem(TOKEN_ED25519);
    snprintf(set, sizeof(set), "{\"keys\":[%s,{\"kty\":\"unknown\"},%s]}", a, b);
    char *files[] = {texts(gate_file(set)), texts(gate_file(pem))};
    free(a);
    free(b);
    free(pem);
    return gate_new(&(struct ft_auth_options){
        .mode = FT_AUTH_TOKEN, .secret = GATE_SECRET, .key_files = {files, 2}});
}

Test(auth_gate, a_key_id_chooses_the_key)
{
    struct ft_auth *auth = mixed_gate();
    cr_expect(gate_accepts(auth, signed_by("ES256", TOKEN_P256, "a")));
    cr_expect(gate_accepts(auth, signed_by("RS256", TOKEN_RSA, "b")));
    cr_expect(gate_accepts(auth, signed_by("ES256", TOKEN_P256, NULL)),
              "without one, all are tried");
    cr_expect(gate_accepts(auth, signed_by("EdDSA", TOKEN_ED25519, "c")), "the file gives no id");
    cr_expect(gate_accepts(auth, signed_by("EdDSA", TOKEN_ED25519, NULL)));
    cr_expect(!gate_accepts(auth, signed_by("ES256", TOKEN_P256, "b")), "another key's id");
    cr_expect(!gate_accepts(auth, signed_by("ES256", TOKEN_P256, "c")), "nobody's id");
    cr_expect(!gate_accepts(auth, signed_by("ES256", TOKEN_P256, "A")), "ids are exact");
    cr_expect(!gate_accepts(auth, signed_by("EdDSA", TOKEN_ED25519, "a")), "another key's id");
    cr_expect(!gate_accepts(auth, token_hmac("HS256", ft_slice_str(GATE_SECRET),
                                             "{\"alg\":\"HS256\",\"kid\":\"a\"}", "{}")));
    ft_auth_free(auth);

    auth = secret_gate();
    cr_expect(gate_accepts(auth, token_hmac("HS256", ft_slice_str(GATE_SECRET),
                                            "{\"alg\":\"HS256\",\"kid\":\"a\"}", "{}")));
    ft_auth_free(auth);
}

/* ---- reload ---- */

Test(auth_gate, a_reload_forgets_what_the_old_keys_verified)
{
    struct ft_auth *auth = secret_gate();
    struct ft_problem problem;
    char *token = made("{\"sub\":\"alice\"}");
    struct ft_identity *who = gate_ask(auth, token), *again = gate_ask(auth, token);
    cr_assert(who && again);
    ft_identity_unref(again);

    struct ft_auth_options wrong = {.mode = FT_AUTH_TOKEN, .secret = "short"};
    cr_expect_eq(ft_auth_configure(auth, &wrong, &problem), FT_ERR_BAD_FIELD);
    again = gate_ask(auth, token);
    cr_expect(again, "what is wrong changes nothing");
    ft_identity_unref(again);

    struct ft_auth_options other = {.mode = FT_AUTH_TOKEN,
                                    .secret = "another secret of some bytes"};
    cr_expect_eq(ft_auth_configure(auth, &other, &problem), FT_OK);
    cr_expect_null(gate_ask(auth, token));
    cr_expect(ft_slice_equal(ft_identity_user(who), ft_slice_str("alice")), "who is in stays in");
    ft_identity_unref(who);
    ft_auth_free(auth);
    free(token);
}

Test(auth_gate, a_remembered_token_still_expires)
{
    struct ft_auth *auth = secret_gate();
    char *token = made("{\"sub\":\"alice\",\"exp\":1795284010}");
    for (int i = 0; i < 3; i++) {
        struct ft_identity *who = gate_ask(auth, token);
        cr_expect(who);
        ft_identity_unref(who);
    }
    cr_expect_null(gate_ask_at(auth, FT_TOKEN_HEADER, token, 1795284010000ULL));
    cr_expect(strstr(gate_why(), "expired 0 s ago"), "%s", gate_why());
    ft_auth_free(auth);
    free(token);
}

Test(auth_gate, more_tokens_than_are_remembered)
{
    struct ft_auth *auth = secret_gate();
    for (int i = 0; i < 6000; i++) {
        char claims[64];
        snprintf(claims, sizeof(claims), "{\"sub\":\"user-%d\"}", i);
        struct ft_identity *who = who_is(auth, made(claims));
        snprintf(claims, sizeof(claims), "user-%d", i);
        cr_assert(ft_slice_equal(ft_identity_user(who), ft_slice_str(claims)));
        ft_identity_unref(who);
    }
    ft_auth_free(auth);
}

struct crowd {
    struct ft_auth *auth;
    char *tokens[8];
    atomic_bool is_over;
    atomic_uint wrong;
};

static void *ask_for_long(void *shared)
{
    struct crowd *crowd = shared;
    for (size_t i = 0; !atomic_load(&crowd->is_over); i++) {
        struct ft_identity *who = NULL;
        enum ft_err err = ft_auth_gate_ops()->check(
            crowd->auth, FT_TOKEN_HEADER, ft_slice_str(crowd->tokens[i % 8]), 0, &who, NULL);
        if (err != FT_OK || ft_identity_user(who).len != 6)
            atomic_fetch_add(&crowd->wrong, 1);
        ft_identity_unref(who);
    }
    return NULL;
}

Test(auth_gate, workers_ask_while_it_is_reloaded)
{
    struct ft_auth_options options = {.mode = FT_AUTH_TOKEN, .secret = GATE_SECRET};
    struct crowd crowd = {.auth = gate_new(&options)};
    struct ft_problem problem;
    pthread_t threads[3];
    for (int i = 0; i < 8; i++) {
        char claims[64];
        snprintf(claims, sizeof(claims), "{\"sub\":\"user-%d\"}", i);
        crowd.tokens[i] = made(claims);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_for_long, &crowd), 0);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(ft_auth_configure(crowd.auth, &options, &problem), FT_OK);
    atomic_store(&crowd.is_over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(atomic_load(&crowd.wrong), 0);
    for (int i = 0; i < 8; i++)
        free(crowd.tokens[i]);
    ft_auth_free(crowd.auth);
}
