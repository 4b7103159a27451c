/*
 * Tokens that must not be accepted: those that broke other verifiers, and those that would break a sloppy
 * one. Each is the accepted token with one thing wrong, so that nothing else can be what refuses it.
 */
#include <criterion/criterion.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "protocol/base64url.h"
#include "protocol/buffer.h"
#include "tests/unit/support/gate_case.h"

#define GOOD_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define GOOD_CLAIMS "{\"sub\":\"alice\",\"exp\":1795287600}"

static struct ft_auth *gate; /* a secret, issuer and audience unset */

static void begin(void)
{
    gate = gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .secret = GATE_SECRET});
}

static void end(void)
{
    ft_auth_free(gate);
}

TestSuite(auth_hostile, .init = begin, .fini = end);

static char *made(const char *header, const char *claims)
{
    return token_hmac("HS256", ft_slice_str(GATE_SECRET), header, claims);
}

static char *good(void)
{
    return made(GOOD_HEADER, GOOD_CLAIMS);
}

/* Refused, for a reason that holds these words, and that shows nothing of the token. */
static void refuses(struct ft_auth *auth, char *token, const char *words)
{
    struct ft_identity *who = gate_ask(auth, token);
    cr_expect_null(who, "accepted, but should be refused: %s", words);
    cr_expect(strstr(gate_why(), words), "\"%s\" does not say \"%s\"", gate_why(), words);
    if (strlen(token) >= 40)
        cr_expect_null(strstr(gate_why(), token + strlen(token) - 20), "%s", gate_why());
    ft_identity_unref(who);
    free(token);
}

/* ---- headers ---- */

static const struct {
    const char *header, *words;
} headers[] = {
    {"{\"alg\":\"none\"}", "\"none\""},
    {"{\"alg\":\"None\"}", "\"None\""},
    {"{\"alg\":\"nOnE\"}", "\"nOnE\""},
    {"{\"alg\":\"\"}", "not accepted"},
    {"{\"alg\":\"hs256\"}", "not accepted"},
    {"{\"alg\":\"HS256 \"}", "not accepted"},
    {"{\"alg\":\"HS256\\u0000\"}", "JSON object"},
    {"{\"alg\":\"HS1\"}", "not accepted"},
    {"{\"alg\":\"HS384\"}", "not the key's"},
    {"{\"alg\":\"HS512\"}", "not the key's"},
    {"{\"alg\":\"RS256\"}", "not the key's"},
    {"{\"alg\":\"PS256\"}", "not the key's"},
    {"{\"alg\":\"ES256\"}", "not the key's"},
    {"{\"alg\":\"EdDSA\"}", "not the key's"},
    {"{\"alg\":\"dir\",\"enc\":\"A256GCM\"}", "not accepted"},
    {"{\"alg\":256}", "no \"alg\""},
    {"{\"alg\":null}", "no \"alg\""},
    {"{\"alg\":[\"HS256\"]}", "no \"alg\""},
    {"{\"alg\":{\"HS256\":1}}", "no \"alg\""},
    {"{}", "no \"alg\""},
    {"{\"typ\":\"JWT\"}", "no \"alg\""},
    {"{\"Alg\":\"HS256\"}", "no \"alg\""},
    {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "each key once"},
    {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "each key once"},
    {"{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}", "each key once"},
    {"{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"b\"}", "each key once"},
    {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "crit"},
    {"{\"alg\":\"HS256\",\"crit\":[]}", "crit"},
    {"{\"alg\":\"HS256\",\"crit\":null}", "crit"},
    {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", "b64"},
    {"{\"alg\":\"HS256\",\"b64\":false}", "b64"},
    {"{\"alg\":\"HS256\",\"cty\":\"JWT\"}", "another token"},
    {"{\"alg\":\"HS256\",\"cty\":\"jwt\"}", "another token"},
    {"{\"alg\":\"HS256\",\"kid\":7}", "no string"},
    {"{\"alg\":\"HS256\",\"kid\":null}", "no string"},
    {"{\"alg\":\"HS256\",\"typ\":1}", "no string"},
    {"[{\"alg\":\"HS256\"}]", "JSON object"},
    {"\"HS256\"", "JSON object"},
    {"null", "JSON object"},
    {"", "JSON object"},
    {"{\"alg\":\"HS256\"", "JSON object"},
    {"{\"alg\":\"HS256\"}x", "JSON object"},
    {"{\"alg\":\"HS256\"}{}", "JSON object"},
    {"{\"alg\":\"HS256\",}", "JSON object"},
    {"{'alg':'HS256'}", "JSON object"},
    {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "JSON object"},
    {"{\"alg\":\"HS256\",\"x\":\"\\ud800\"}", "JSON object"},
    {"\xef\xbb\xbf{\"alg\":\"HS256\"}", "JSON object"},
    {"{\"alg\":\"HS256\",\"x\":" /* 33 levels */
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
     "JSON object"},
};

Test(auth_hostile, headers_are_refused_although_the_signature_is_right)
{
    cr_assert(gate_accepts(gate, good()));
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        refuses(gate, made(headers[i].header, GOOD_CLAIMS), headers[i].words);
}

/* Keys and addresses that a token brings along are not looked at: neither used, nor in the way. */
Test(auth_hostile, keys_in_the_header_count_for_nothing)
{
    static const char *const more[] = {
        "\"jku\":\"http://127.0.0.1:1/keys\"",
        "\"x5u\":\"http://127.0.0.1:1/cert\"",
        "\"x5c\":[\"MIIB\"]",
        "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "\"kid\":\"../../../../dev/null\"",
        "\"kid\":\"' UNION SELECT 'x\"",
        "\"kid\":\"/proc/self/environ\"",
        "\"kid\":\"\"",
    };
    static const uint8_t zeros[32];
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        char header[256];
        snprintf(header, sizeof(header), "{\"alg\":\"HS256\",%s}", more[i]);
        refuses(gate, token_hmac("HS256", ft_slice(zeros, 32), header, GOOD_CLAIMS), "signature");
        refuses(gate, token_hmac("HS256", ft_slice(zeros, 0), header, GOOD_CLAIMS), "signature");
        cr_expect(gate_accepts(gate, made(header, GOOD_CLAIMS)), "%s", header);
    }
}

/* ---- claims ---- */

static const struct {
    const char *claims, *words;
} claims[] = {
    {"{\"exp\":1795283999}", "expired 1 s ago"},
    {"{\"exp\":1795284000}", "expired 0 s ago"},
    {"{\"exp\":1}", "expired"},
    {"{\"exp\":0}", "expired"},
    {"{\"exp\":-1}", "expired"},
    {"{\"exp\":-1e300}", "expired"},
    {"{\"exp\":1.5}", "expired"},
    {"{\"exp\":1795283999.9}", "expired"},
    {"{\"exp\":\"1795287600\"}", "\"exp\""},
    {"{\"exp\":\"never\"}", "\"exp\""},
    {"{\"exp\":null}", "\"exp\""},
    {"{\"exp\":true}", "\"exp\""},
    {"{\"exp\":[1795287600]}", "\"exp\""},
    {"{\"exp\":{}}", "\"exp\""},
    {"{\"exp\":NaN}", "JSON object"},
    {"{\"exp\":Infinity}", "JSON object"},
    {"{\"exp\":1e400}", "JSON object"},
    {"{\"exp\":1795287600,\"exp\":1}", "each key once"},
    {"{\"exp\":1,\"exp\":1795287600}", "each key once"},
    {"{\"nbf\":1795284001}", "only in 1 s"},
    {"{\"nbf\":1e300}", "nbf"},
    {"{\"nbf\":\"1\"}", "\"nbf\""},
    {"{\"nbf\":null}", "\"nbf\""},
    {"{\"iat\":\"now\"}", "\"iat\""},
    {"{\"iss\":1}", "\"iss\""},
    {"{\"iss\":[\"a\"]}", "\"iss\""},
    {"{\"aud\":\"other\"}", "\"aud\""},
    {"{\"aud\":[]}", "\"aud\""},
    {"{\"aud\":1}", "\"aud\""},
    {"{\"aud\":null}", "\"aud\""},
    {"{\"jti\":1}", "\"jti\""},
    {"{\"sub\":1}", "\"sub\""},
    {"{\"sub\":\"\"}", "\"sub\""},
    {"{\"sub\":null}", "\"sub\""},
    {"{\"sub\":[\"alice\"]}", "\"sub\""},
    {"{\"sub\":{\"a\":1}}", "\"sub\""},
    {"{\"sub\":\"a\\u0000b\"}", "JSON object"},
    {"{\"sub\":\"alice\",\"sub\":\"bob\"}", "each key once"},
    {"{\"fantail\":null}", "\"fantail\""},
    {"{\"fantail\":[]}", "\"fantail\""},
    {"{\"fantail\":\"#\"}", "\"fantail\""},
    {"{\"fantail\":true}", "\"fantail\""},
    {"{\"fantail\":{\"sub\":\"#\"}}", "fantail.sub"},
    {"{\"fantail\":{\"pub\":\"#\"}}", "fantail.pub"},
    {"{\"fantail\":{\"sub\":{\"#\":1}}}", "fantail.sub"},
    {"{\"fantail\":{\"sub\":null}}", "fantail.sub"},
    {"{\"fantail\":{\"sub\":[1]}}", "fantail.sub"},
    {"{\"fantail\":{\"sub\":[\"a\",[\"#\"]]}}", "fantail.sub"},
    {"{\"fantail\":{\"sub\":[\"\"]}}", "fantail.sub"},
    {"{\"fantail\":{\"sub\":[\"a/#/b\"]}}", "fantail.sub"},
    {"{\"fantail\":{\"pub\":[\"a+\"]}}", "fantail.pub"},
    {"{\"fantail\":{\"pub\":[\"a\\nb\"]}}", "fantail.pub"},
    {"{\"fantail\":{\"admin\":1}}", "fantail.admin"},
    {"{\"fantail\":{\"admin\":\"true\"}}", "fantail.admin"},
    {"{\"fantail\":{\"admin\":null}}", "fantail.admin"},
    {"{\"fantail\":{\"admin\":true,\"admin\":false}}", "each key once"},
    {"[]", "JSON object"},
    {"[{\"sub\":\"alice\"}]", "JSON object"},
    {"null", "JSON object"},
    {"\"alice\"", "JSON object"},
    {"1", "JSON object"},
    {"", "JSON object"},
    {" ", "JSON object"},
    {"{\"sub\":\"alice\"} trailing", "JSON object"},
    {"{\"sub\":\"\xc3\x28\"}", "JSON object"},
    {"{\"sub\":\"\\ud800\"}", "JSON object"},
    {"{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", "JSON object"},
};

Test(auth_hostile, claims_are_refused_although_the_signature_is_right)
{
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
        refuses(gate, made(GOOD_HEADER, claims[i].claims), claims[i].words);
}

Test(auth_hostile, a_user_is_no_longer_than_a_level_can_be)
{
    char text[512] = "{\"sub\":\"";
    size_t from = strlen(text);
    memset(text + from, 'u', 255);
    snprintf(text + from + 255, sizeof(text) - from - 255, "\"}");
    cr_expect(gate_accepts(gate, made(GOOD_HEADER, text)));
    memset(text + from, 'u', 256);
    snprintf(text + from + 256, sizeof(text) - from - 256, "\"}");
    refuses(gate, made(GOOD_HEADER, text), "\"sub\"");
}

/* ---- texts ---- */

/* Puts `with` in place of `cut` bytes at `at` of the accepted token (from its end where negative). */
static char *edited(long at, size_t cut, const char *with)
{
    char *token = good();
    size_t len = strlen(token);
    size_t from = at < 0 ? len - (size_t)-at : (size_t)at;
    char *text = ft_alloc(len + strlen(with) + 1);
    memcpy(text, token, from);
    strcpy(text + from, with);
    strcat(text, token + from + cut);
    free(token);
    return text;
}

Test(auth_hostile, a_text_is_refused_with_anything_added_or_missing)
{
    static const char *const strange[] = {"=",    "==", " ",    "\n", "\r\n", "\t", "+", "/",
                                          "\xff", "%",  "\x01", ".",  "..",   ".A", "~", "A"};
    char *token = good();
    long dot = strchr(token, '.') - token, last = strrchr(token, '.') - token;
    long len = (long)strlen(token);
    free(token);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        const long places[] = {0, 1, dot, dot + 1, last, last + 1, len};
        for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
            char *text = edited(places[k], 0, strange[i]);
            cr_expect(!gate_accepts(gate, text), "%zu at %zu", i, k);
        }
    }
    for (long n = 0; n < len; n++)
        cr_expect(!gate_accepts(gate, edited(n, 1, "")), "without byte %ld", n);
    for (long n = 0; n < len; n++)
        cr_expect(!gate_accepts(gate, edited(n, (size_t)(len - n), "")), "%ld bytes", n);
}

Test(auth_hostile, the_last_character_has_one_spelling)
{
    /* 32 bytes are 43 characters; of the last one, two bits stand for nothing. */
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *token = good();
    char *last = token + strlen(token) - 1;
    size_t value = (size_t)(strchr(alphabet, *last) - alphabet);
    cr_assert_eq(value % 4, 0);
    for (size_t i = 1; i < 4; i++) {
        *last = alphabet[value + i];
        refuses(gate, ft_strdup(token), "base64url");
    }
    free(token);
}

Test(auth_hostile, signatures_of_any_other_length_are_refused)
{
    uint8_t signature[600] = {0};
    for (size_t len = 0; len < sizeof(signature); len += len < 70 ? 1 : 97)
        refuses(gate, token_parts(GOOD_HEADER, GOOD_CLAIMS, ft_slice(signature, len)), "signature");
    refuses(gate, token_parts("{\"alg\":\"none\"}", GOOD_CLAIMS, ft_slice(signature, 0)), "none");
}

Test(auth_hostile, other_shapes_are_no_tokens)
{
    static const char *const shapes[] = {
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c.d",
        "null",
        "Bearer",
        "e30.",
        "e30.e30",
        "e30.e30.",
        ".e30.e30",
        "e30..e30",
        "fk",
        "{}",
        "[]",
        "undefined",
        "{\"payload\":\"e30\",\"protected\":\"e30\",\"signature\":\"AA\"}",
        "{\"payload\":\"e30\",\"signatures\":[{\"protected\":\"e30\",\"signature\":\"AA\"}]}",
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        cr_expect(!gate_accepts(gate, ft_strdup(shapes[i])), "%s", shapes[i]);
    refuses(gate, ft_strdup("e30.e30.e30.e30.e30"), "encrypted");
}

/* A token of so many bytes: claims with a string that fills it. */
static char *sized(size_t bytes)
{
    char *filler = ft_alloc(20000), *text = ft_alloc(20100), *token = NULL;
    for (size_t n = bytes * 3 / 4 - 120; !token || strlen(token) < bytes; n++) {
        free(token);
        memset(filler, 'x', n);
        filler[n] = '\0';
        snprintf(text, 20100, "{\"x\":\"%s\"}", filler);
        token = made(GOOD_HEADER, text);
    }
    free(filler);
    free(text);
    return token;
}

Test(auth_hostile, a_token_has_8192_bytes_at_most)
{
    char *token = sized(8190);
    cr_assert_leq(strlen(token), 8192);
    cr_expect(gate_accepts(gate, token));
    refuses(gate, sized(8193), "8192 are the most");
    refuses(gate, sized(12000), "8192 are the most");
}

/* ---- keys that are public ---- */

static struct ft_auth *gate_of(const char *file)
{
    char *files[] = {(char *)(uintptr_t)gate_file(file)};
    return gate_new(&(struct ft_auth_options){.mode = FT_AUTH_TOKEN, .key_files = {files, 1}});
}

/* The classic: what everybody knows of an RSA key, as an HMAC's secret. */
Test(auth_hostile, a_public_key_is_no_secret)
{
    static const enum token_key keys[] = {TOKEN_RSA, TOKEN_P256, TOKEN_ED25519};
    for (size_t i = 0; i < 3; i++) {
        char *pem = token_public_pem(keys[i]), *jwk = token_jwk(keys[i], "");
        struct ft_auth *auth = gate_of(pem);
        struct ft_slice secrets[] = {ft_slice_str(pem), ft_slice(pem, strlen(pem) - 1),
                                     ft_slice_str(jwk), ft_slice_str("")};
        static const char *const algs[] = {"HS256", "HS384", "HS512"};
        for (size_t k = 0; k < 4; k++)
            for (size_t n = 0; n < 3; n++) {
                char header[64];
                snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", algs[n]);
                refuses(auth, token_hmac(algs[n], secrets[k], header, GOOD_CLAIMS),
                        "not the key's");
            }
        ft_auth_free(auth);
        free(pem);
        free(jwk);
    }
}

Test(auth_hostile, an_ecdsa_signature_is_two_numbers_of_32_bytes_above_zero)
{
    char *pem = token_public_pem(TOKEN_P256);
    struct ft_auth *auth = gate_of(pem);
    uint8_t pair[66] = {0};
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    /* DER of two ones, zero and zero (CVE-2022-21449), the order and the order. */
    static const uint8_t der[] = {0x30, 6, 2, 1, 1, 2, 1, 1};
    refuses(auth, token_parts("{\"alg\":\"ES256\"}", GOOD_CLAIMS, ft_slice(pair, 64)), "signature");
    refuses(auth, token_parts("{\"alg\":\"ES256\"}", GOOD_CLAIMS, ft_slice(der, 8)), "signature");
    refuses(auth, token_parts("{\"alg\":\"ES256\"}", GOOD_CLAIMS, ft_slice(pair, 0)), "signature");
    memcpy(pair, order, 32);
    memcpy(pair + 32, order, 32);
    refuses(auth, token_parts("{\"alg\":\"ES256\"}", GOOD_CLAIMS, ft_slice(pair, 64)), "signature");
    ft_auth_free(auth);
    free(pem);
}

/* Decodes the signature of a token into `raw`, and cuts the token off before it. */
static size_t take_signature(char *token, uint8_t *raw)
{
    size_t len;
    char *dot = strrchr(token, '.');
    cr_assert(ft_base64url_decode(ft_slice_str(dot + 1), raw, &len));
    dot[1] = '\0';
    return len;
}

static char *with_signature(const char *signed_text, const uint8_t *raw, size_t len)
{
    char *text = ft_alloc(strlen(signed_text) + FT_BASE64URL_ROOM(len) + 1);
    strcpy(text, signed_text);
    size_t from = strlen(text);
    text[from + ft_base64url_encode(ft_slice(raw, len), text + from)] = '\0';
    return text;
}

/* libcjose alone would take each of these. */
Test(auth_hostile, a_right_signature_has_one_length)
{
    static const struct {
        const char *alg;
        enum token_key key;
    } rows[] = {{"ES256", TOKEN_P256},
                {"RS256", TOKEN_RSA},
                {"PS256", TOKEN_RSA},
                {"EdDSA", TOKEN_ED25519}};
    for (size_t i = 0; i < 4; i++) {
        char header[64];
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", rows[i].alg);
        char *pem = token_public_pem(rows[i].key);
        struct ft_auth *auth = gate_of(pem);
        char *token = token_sign(rows[i].alg, rows[i].key, header, GOOD_CLAIMS);
        uint8_t raw[1024], padded[1024] = {0};
        size_t len = take_signature(token, raw);
        cr_assert(gate_accepts(auth, with_signature(token, raw, len)));
        memcpy(padded + 1, raw, len); /* a zero in front of it */
        refuses(auth, with_signature(token, padded, len + 1), "signature");
        memset(padded, 0, sizeof(padded)); /* zeros in front of both its halves */
        memcpy(padded + 1, raw, len / 2);
        memcpy(padded + 2 + len / 2, raw + len / 2, len / 2);
        refuses(auth, with_signature(token, padded, len + 2), "signature");
        refuses(auth, with_signature(token, raw, len - 1), "signature");
        raw[len] = 0;
        refuses(auth, with_signature(token, raw, len + 1), "signature");
        raw[len / 2] ^= 1;
        refuses(auth, with_signature(token, raw, len), "signature");
        ft_auth_free(auth);
        free(token);
        free(pem);
    }
}

/* An algorithm of the same family, with the right private key, is still not the key's. */
Test(auth_hostile, the_key_decides_about_the_algorithm)
{
    char *p256 = token_public_pem(TOKEN_P256), *p384 = token_public_pem(TOKEN_P384);
    char *rsa = token_jwk(TOKEN_RSA, ",\"alg\":\"RS256\"");
    struct ft_auth *auth = gate_of(p256);
    refuses(auth, token_sign("ES384", TOKEN_P256, "{\"alg\":\"ES384\"}", GOOD_CLAIMS), "key's");
    ft_auth_free(auth);
    auth = gate_of(p384);
    refuses(auth, token_sign("ES256", TOKEN_P384, "{\"alg\":\"ES256\"}", GOOD_CLAIMS), "key's");
    ft_auth_free(auth);
    auth = gate_of(rsa);
    cr_expect(
        gate_accepts(auth, token_sign("RS256", TOKEN_RSA, "{\"alg\":\"RS256\"}", GOOD_CLAIMS)));
    refuses(auth, token_sign("PS256", TOKEN_RSA, "{\"alg\":\"PS256\"}", GOOD_CLAIMS), "key's");
    refuses(auth, token_sign("RS512", TOKEN_RSA, "{\"alg\":\"RS512\"}", GOOD_CLAIMS), "key's");
    refuses(auth, token_sign("PS256", TOKEN_RSA, "{\"alg\":\"RS256\"}", GOOD_CLAIMS), "signature");
    refuses(auth, token_sign("RS512", TOKEN_RSA, "{\"alg\":\"RS256\"}", GOOD_CLAIMS), "signature");
    ft_auth_free(auth);
    free(p256);
    free(p384);
    free(rsa);
}
