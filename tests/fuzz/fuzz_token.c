/*
 * Credentials and the files of keys. The first byte says what the rest is:
 *
 *     t   a token        s   HEADER \n CLAIMS, to be signed with the right key first
 *     k   a key file     a   a file of API keys
 */
#include <openssl/hmac.h>

#include "broker/auth/api_keys.h"
#include "broker/auth/claims.h"
#include "broker/auth/jws.h"
#include "broker/base/log.h"
#include "protocol/base64url.h"
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

static const char secret[] = "0123456789abcdef0123456789abcdef";

/* A secret, an RSA key of RFC 7520, one of P-256 and one of Ed25519 of RFC 8037. */
#define N                                                                                    \
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQH" \
    "z_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFE" \
    "HYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-t" \
    "VTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
#define X "04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY"
#define Y "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw"

static const char *const key_files[] = {
    "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\",\"kid\":\"s\"}",
    "{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":\"" N "\"}",
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X "\",\"y\":\"" Y "\"}",
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
};

static const struct ft_keys *keys(void)
{
    static struct ft_keys made;
    if (made.count == 0) {
        ft_log_set_level(FT_LOG_ERROR);
        for (size_t i = 0; i < sizeof(key_files) / sizeof(key_files[0]); i++)
            CHECK(ft_keys_read_bytes(&made, ft_slice_str(key_files[i]), NULL) == FT_OK);
    }
    return &made;
}

/* What is refused is refused with a sentence that can be shown. */
static void check_problem(enum ft_err err, enum ft_err wanted, const struct ft_problem *problem)
{
    CHECK(err == FT_OK || err == wanted);
    CHECK((err == FT_OK) == (problem->text[0] == '\0'));
    CHECK(ft_utf8_is_valid(ft_slice_str(problem->text)));
}

static void check_claims(struct ft_slice payload)
{
    struct ft_problem problem = {.text = ""};
    struct ft_claims *claims;
    enum ft_err err = ft_claims_read(payload, &(struct ft_claims_wanted){0}, &claims, &problem);
    check_problem(err, FT_ERR_UNAUTHORIZED, &problem);
    if (err)
        return;
    struct ft_identity *who = ft_claims_identity(claims, false);
    uint64_t expires_ms = ft_identity_expires_ms(who);
    CHECK(ft_identity_user(who).len <= FT_USER_MAX);
    CHECK(expires_ms < 1ULL << 53);
    if (expires_ms)
        CHECK(ft_claims_check_time(claims, expires_ms, 0, NULL) == FT_ERR_UNAUTHORIZED);
    CHECK(!ft_identity_may_pub(who, ft_slice_str("$sys/x")));
    ft_identity_unref(who);
    ft_claims_unref(claims);
}

static bool check_token(struct ft_slice token)
{
    uint8_t out[FT_TOKEN_PART_MAX];
    struct ft_slice payload;
    struct ft_problem problem = {.text = ""};
    enum ft_err err = ft_jws_verify(keys(), token, out, &payload, &problem);
    check_problem(err, FT_ERR_UNAUTHORIZED, &problem);
    if (!err)
        check_claims(payload);
    return err == FT_OK;
}

/* A signature that is right, over whatever comes. */
static void check_signed(struct ft_slice text)
{
    const uint8_t *split = text.len ? memchr(text.ptr, '\n', text.len) : NULL;
    static char token[4 * FT_TOKEN_MAX];
    uint8_t mac[32];
    if (!split || text.len > FT_TOKEN_MAX)
        return;
    size_t header_len = (size_t)(split - text.ptr);
    size_t len = ft_base64url_encode(ft_slice(text.ptr, header_len), token);
    token[len++] = '.';
    len += ft_base64url_encode(ft_slice(split + 1, text.len - header_len - 1), token + len);
    CHECK(HMAC(EVP_sha256(), secret, 32, (uint8_t *)token, len, mac, NULL));
    token[len++] = '.';
    len += ft_base64url_encode(ft_slice(mac, sizeof(mac)), token + len);
    if (!check_token(ft_slice(token, len)))
        return;
    /* Accepted, so each bit of the signature counts. */
    token[len - 5] = token[len - 5] == 'A' ? 'B' : 'A';
    CHECK(!check_token(ft_slice(token, len)));
}

static void check_key_file(struct ft_slice text)
{
    struct ft_keys read = {.count = 0};
    struct ft_problem problem = {.text = ""};
    enum ft_err err = ft_keys_read_bytes(&read, text, &problem);
    check_problem(err, FT_ERR_BAD_FIELD, &problem);
    CHECK(err || (read.count > 0 && read.count <= FT_KEYS_MAX));
    ft_keys_fini(&read);
}

static void check_api_keys(struct ft_slice text)
{
    struct ft_api_keys *read;
    struct ft_problem problem = {.text = ""};
    enum ft_err err = ft_api_keys_read_bytes(text, &read, &problem);
    check_problem(err, FT_ERR_BAD_FIELD, &problem);
    if (err)
        return;
    CHECK(ft_api_keys_count(read) <= FT_API_KEYS_MAX);
    CHECK(!ft_api_keys_find(read, text, false));
    ft_api_keys_free(read);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    struct ft_slice rest = ft_slice(bytes + 1, len - 1);
    keys();
    if (bytes[0] == 's')
        check_signed(rest);
    else if (bytes[0] == 'k')
        check_key_file(rest);
    else if (bytes[0] == 'a')
        check_api_keys(rest);
    else
        check_token(rest);
    return 0;
}
