/* What the operator writes: secrets, key files, API keys, rules. What is wrong is named. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/auth/api_keys.h"
#include "tests/unit/support/gate_case.h"

/* printf %s fk_… | sha256sum */
#define API_KEY  "fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define API_HASH "sha256:cb200e40c61ca860796634c9ea6bf2663d769a7e964799a3c3b91a4999cae12a"

static char *texts(const char *text)
{
    return (char *)(uintptr_t)text;
}

static void refuses(struct ft_auth_options options, const char *words)
{
    options.mode = FT_AUTH_TOKEN;
    const char *why = gate_refused(&options);
    cr_expect(strstr(why, words), "\"%s\" does not say \"%s\"", why, words);
}

Test(auth_files, a_broker_that_could_let_nobody_in_does_not_start)
{
    refuses((struct ft_auth_options){0}, "auth.mode");
    refuses((struct ft_auth_options){.secret = "", .issuer = "", .api_keys = ""}, "auth.mode");
}

Test(auth_files, secrets_have_16_bytes_and_are_no_public_keys)
{
    refuses((struct ft_auth_options){.secret = "0123456789abcde"},
            "auth.secret: the secret has 15");
    char *pem = token_public_pem(TOKEN_P256);
    refuses((struct ft_auth_options){.secret = pem}, "auth.secret: it is PEM");
    free(pem);
    struct ft_auth *auth =
        gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .secret = "0123456789abcdef"});
    ft_auth_free(auth);
}

static void refuses_keys(const char *text, const char *words)
{
    char *files[] = {texts(gate_file(text))};
    refuses((struct ft_auth_options){.key_files = {files, 1}}, words);
    refuses((struct ft_auth_options){.secret = GATE_SECRET, .key_files = {files, 1}},
            "auth.keys: ");
}

Test(auth_files, key_files_that_are_none)
{
    char *files[] = {texts("/nonexistent/key.pem")};
    refuses((struct ft_auth_options){.key_files = {files, 1}}, "No such file");
    files[0] = texts("/");
    refuses((struct ft_auth_options){.key_files = {files, 1}}, "cannot be read");
    refuses_keys("", "neither PEM");
    refuses_keys("ssh-ed25519 AAAA", "neither PEM");
    refuses_keys("[]", "neither PEM");
    refuses_keys("{}", "no key");
    refuses_keys("{\"keys\":[]}", "no key");
    refuses_keys("{\"keys\":{}}", "not an array");
    refuses_keys("{\"kty\":\"oct\",\"kty\":\"oct\",\"k\":\"AA\"}", "neither PEM");
    refuses_keys("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "PUBLIC KEY");
    refuses_keys("-----BEGIN PUBLIC KEY-----\nAAAA\n", "cut off");
    refuses_keys("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n", "DH PARAM");
}

Test(auth_files, keys_that_are_weak_or_broken)
{
    char *pem = token_public_pem(TOKEN_RSA_1024), *jwk = token_jwk(TOKEN_RSA_1024, "");
    refuses_keys(pem, "1024 bits");
    refuses_keys(jwk, "1024 bits");
    free(pem);
    free(jwk);
    refuses_keys("{\"kty\":\"oct\",\"k\":\"AAAA\"}", "3 bytes");
    refuses_keys("{\"kty\":\"oct\"}", "\"k\"");
    refuses_keys("{\"kty\":\"oct\",\"k\":\"AAAA====\"}", "base64url");
    refuses_keys("{\"kty\":\"oct\",\"k\":7}", "\"k\"");
    refuses_keys("{\"kty\":\"RSA\",\"n\":\"AAAA\"}", "\"e\"");
    refuses_keys("{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}", "0 bits");
    refuses_keys("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"AQ\"}", "point");
    refuses_keys("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"\",\"y\":\"\"}", "point");
    refuses_keys("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQ\"}", "32 bytes");
    refuses_keys("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AQ\",\"y\":\"AQ\"}", "no key");
    char *wrong = token_jwk(TOKEN_P256, ",\"alg\":\"RS256\"");
    refuses_keys(wrong, "not for RS256");
    free(wrong);
    wrong = token_jwk(TOKEN_P256, ",\"kid\":1");
    refuses_keys(wrong, "\"kid\"");
    free(wrong);
}

Test(auth_files, keys_for_something_else_are_passed_by)
{
    static const char *const others[] = {
        ",\"use\":\"enc\"",        ",\"use\":1",
        ",\"key_ops\":[\"sign\"]", ",\"key_ops\":[]",
        ",\"key_ops\":\"verify\"", ",\"alg\":\"ECDH-ES\"",
        ",\"alg\":\"none\"",       ",\"alg\":1",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char *jwk = token_jwk(TOKEN_P256, others[i]);
        refuses_keys(jwk, "no key");
        free(jwk);
    }
    char *jwk = token_jwk(TOKEN_P256, ",\"key_ops\":[\"sign\",\"verify\"],\"use\":\"sig\"");
    char *files[] = {texts(gate_file(jwk))};
    struct ft_auth *auth =
        gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .key_files = {files, 1}});
    ft_auth_free(auth);
    free(jwk);
}

Test(auth_files, there_are_not_any_number_of_keys)
{
    char *pem = token_public_pem(TOKEN_ED25519);
    char *all = malloc(65 * strlen(pem) + 1);
    all[0] = '\0';
    for (int i = 0; i < 64; i++)
        strcat(all, pem);
    char *files[] = {texts(gate_file(all))};
    struct ft_auth *auth =
        gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .key_files = {files, 1}});
    cr_expect(gate_accepts(auth, token_sign("EdDSA", TOKEN_ED25519, "{\"alg\":\"EdDSA\"}", "{}")));
    ft_auth_free(auth);
    refuses_keys(strcat(all, pem), "more than 64 keys");
    free(all);
    free(pem);
}

Test(auth_files, rules_are_filters)
{
    char *rules[] = {texts("fine/%u"), texts("a/#/b")};
    struct ft_auth_texts list = {rules, 2};
    refuses((struct ft_auth_options){.secret = GATE_SECRET, .user_sub = list}, "auth.user_sub: ");
    refuses((struct ft_auth_options){.secret = GATE_SECRET, .user_pub = list}, "auth.user_pub: ");
    refuses((struct ft_auth_options){.anonymous_sub = list}, "auth.anonymous_sub: ");
    refuses((struct ft_auth_options){.anonymous_pub = list}, "auth.anonymous_pub: ");
}

/* ---- API keys ---- */

static struct ft_auth *api_gate(const char *file)
{
    return gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .api_keys = gate_file(file)});
}

static bool may_sub(const struct ft_identity *who, const char *filter)
{
    return ft_identity_may_sub(who, ft_slice_str(filter));
}

static bool may_pub(const struct ft_identity *who, const char *topic)
{
    return ft_identity_may_pub(who, ft_slice_str(topic));
}

Test(auth_files, an_api_key_may_everything_or_what_its_line_says)
{
    struct ft_auth *auth = api_gate("# keys\n\nbackend " API_HASH "  # all\n");
    struct ft_identity *who = gate_ask(auth, API_KEY);
    cr_assert(who, "%s", gate_why());
    cr_expect(ft_slice_equal(ft_identity_user(who), ft_slice_str("backend")));
    cr_expect(!ft_identity_is_admin(who));
    cr_expect(may_sub(who, "#") && may_pub(who, "a") && !may_sub(who, "$sys/#"));
    cr_expect_eq(ft_identity_expires_ms(who), 0);
    ft_identity_unref(who);
    ft_auth_free(auth);

    auth = api_gate("b\t" API_HASH " admin pub=out/# pub=x sub=in/+ sub=%u/#\r\n");
    who = gate_ask(auth, API_KEY);
    cr_assert(who);
    cr_expect(ft_identity_is_admin(who) && may_pub(who, "out/1") && may_pub(who, "x"));
    cr_expect(may_sub(who, "in/1") && may_sub(who, "b/c") && may_sub(who, "$sys/#"));
    cr_expect(!may_pub(who, "in/1") && !may_sub(who, "#"));
    ft_identity_unref(who);
    ft_auth_free(auth);
}

Test(auth_files, an_api_key_comes_in_the_header_only)
{
    struct ft_auth *auth = api_gate("backend " API_HASH);
    for (enum ft_token_place place = FT_TOKEN_SUBPROTOCOL; place <= FT_TOKEN_ENVELOPE; place++) {
        cr_expect_null(gate_ask_at(auth, place, API_KEY, 0));
        cr_expect(strstr(gate_why(), "Authorization"), "%s", gate_why());
    }
    ft_auth_free(auth);
}

Test(auth_files, other_api_keys_are_unknown)
{
    static const char *const others[] = {
        "fk_",
        "fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        "fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "fk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "FK_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        API_HASH,
    };
    struct ft_auth *auth = api_gate("backend " API_HASH);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect_null(gate_ask(auth, others[i]), "%s", others[i]);
    ft_auth_free(auth);
    auth = gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .secret = GATE_SECRET});
    cr_expect_null(gate_ask(auth, API_KEY));
    cr_expect(strstr(gate_why(), "no API keys"), "%s", gate_why());
    ft_auth_free(auth);
}

static void refuses_api_keys(const char *text, const char *words)
{
    refuses((struct ft_auth_options){.api_keys = gate_file(text)}, words);
}

Test(auth_files, lines_that_are_no_api_keys)
{
    refuses((struct ft_auth_options){.api_keys = "/nonexistent"}, "auth.api_keys: ");
    refuses_api_keys("backend\n", "line 1: the name must be followed");
    refuses_api_keys("# x\nbackend " API_KEY "\n", "line 2: the name must be followed");
    refuses_api_keys("backend sha256:00\n", "64 hex digits");
    refuses_api_keys("back/end " API_HASH, "is no name");
    refuses_api_keys("a " API_HASH "\nb " API_HASH, "line 2: the same key");
    refuses_api_keys("a " API_HASH " root", "neither");
    refuses_api_keys("a " API_HASH " pub=a/#/b", "no filter");
    refuses_api_keys("a " API_HASH " sub=", "no filter");
    refuses_api_keys("a " API_HASH "0", "64 hex digits");
    refuses_api_keys("a sha256:gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg",
                     "64 hex digits");
}
