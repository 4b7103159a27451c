/*
 * Workers that check tokens, with an HMAC and with two kinds of public keys, while the keys are reloaded: all
 * of them see every token accepted, and who was let in stays whole. For ThreadSanitizer, which unit tests
 * cannot run under.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/auth/gate.h"
#include "broker/base/alloc.h"
#include "tests/unit/support/token.h"

enum { THREADS = 3, USERS = 8, KINDS = 3, RELOADS = 30 };

#define SECRET "0123456789abcdef0123456789abcdef"

static struct ft_auth *gate;
static char *tokens[KINDS][USERS];
static atomic_bool is_over;
static atomic_uint checked;

static void *work(void *unused)
{
    (void)unused;
    for (unsigned i = 0; !atomic_load(&is_over); i++) {
        struct ft_identity *who;
        struct ft_problem problem;
        struct ft_slice token = ft_slice_str(tokens[i % KINDS][i / KINDS % USERS]);
        enum ft_err err =
            ft_auth_gate_ops()->check(gate, FT_TOKEN_HEADER, token, 1, &who, &problem);
        FT_ASSERT(err == FT_OK);
        FT_ASSERT(ft_identity_user(who).len == 6);
        FT_ASSERT(ft_identity_may_sub(who, ft_slice_str("a/b")));
        ft_identity_unref(who);
        atomic_fetch_add(&checked, 1);
    }
    return NULL;
}

static void make_tokens(void)
{
    for (unsigned i = 0; i < USERS; i++) {
        char claims[96];
        snprintf(claims, sizeof(claims), "{\"sub\":\"user-%u\",\"fantail\":{\"sub\":[\"a/#\"]}}",
                 i);
        tokens[0][i] = token_hmac("HS256", ft_slice_str(SECRET), "{\"alg\":\"HS256\"}", claims);
        tokens[1][i] = token_sign("ES256", TOKEN_P256, "{\"alg\":\"ES256\"}", claims);
        tokens[2][i] = token_sign("EdDSA", TOKEN_ED25519, "{\"alg\":\"EdDSA\"}", claims);
    }
}

/* Writes both public keys into one file. */
static void write_keys(char *path)
{
    int fd = mkstemp(path);
    FT_ASSERT(fd >= 0);
    for (int i = 0; i < 2; i++) {
        char *pem = token_public_pem(i ? TOKEN_P256 : TOKEN_ED25519);
        size_t len = strlen(pem);
        ssize_t n = write(fd, pem, len);
        FT_ASSERT(n == (ssize_t)len);
        free(pem);
    }
    close(fd);
}

int main(void)
{
    char path[] = "/tmp/fantail-race-XXXXXX";
    char *files[] = {path};
    struct ft_auth_options options = {
        .mode = FT_AUTH_TOKEN, .secret = SECRET, .key_files = {files, 1}};
    struct ft_problem problem;
    pthread_t threads[THREADS];
    make_tokens();
    write_keys(path);
    enum ft_err err = ft_auth_new(&options, &gate, &problem);
    FT_ASSERT(err == FT_OK);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (unsigned i = 0; i < RELOADS; i++) {
        unsigned from = atomic_load(&checked);
        while (atomic_load(&checked) - from < 100)
            continue; /* some were checked with these keys */
        err = ft_auth_configure(gate, &options, &problem);
        FT_ASSERT(err == FT_OK);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unlink(path);
    ft_auth_free(gate);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < USERS; i++)
            free(tokens[k][i]);
    FT_ASSERT(atomic_load(&checked) > 0);
    return 0;
}
