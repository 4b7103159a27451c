/* A gate for tests. One thread. */
#include "tests/unit/support/gate_case.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/support/input.h"

enum { FILES = 64 };

static char paths[FILES][64];
static size_t path_count;
static struct ft_problem problem;

static void remove_files(void)
{
    while (path_count > 0)
        unlink(paths[--path_count]);
}

const char *gate_file(const char *text)
{
    if (path_count == 0)
        atexit(remove_files);
    cr_assert_lt(path_count, FILES);
    char *path = paths[path_count++];
    snprintf(path, sizeof(paths[0]), "/tmp/fantail-auth-XXXXXX");
    int fd = mkstemp(path);
    size_t len = strlen(text);
    cr_assert(fd >= 0 && write(fd, text, len) == (ssize_t)len);
    close(fd);
    return path;
}

struct ft_auth *gate_new(const struct ft_auth_options *options)
{
    struct ft_auth *auth = NULL;
    enum ft_err err = ft_auth_new(options, &auth, &problem);
    cr_assert_eq(err, FT_OK, "%s", problem.text);
    return auth;
}

const char *gate_refused(const struct ft_auth_options *options)
{
    struct ft_auth *auth = NULL;
    problem.text[0] = '\0';
    cr_assert_eq(ft_auth_new(options, &auth, &problem), FT_ERR_BAD_FIELD);
    cr_assert_null(auth);
    return problem.text;
}

struct ft_identity *gate_ask_at(struct ft_auth *auth, enum ft_token_place place, const char *token,
                                uint64_t now_ms)
{
    struct ft_identity *who = NULL;
    struct ft_slice exact = ft_input_exact(ft_slice_str(token));
    problem.text[0] = '\0';
    enum ft_err err = ft_auth_gate_ops()->check(auth, place, exact, now_ms, &who, &problem);
    ft_input_free(exact);
    cr_assert_eq(err == FT_OK, who != NULL);
    cr_assert(err == FT_OK || err == FT_ERR_UNAUTHORIZED);
    cr_assert_eq(err == FT_OK, problem.text[0] == '\0', "%s", problem.text);
    return who;
}

struct ft_identity *gate_ask(struct ft_auth *auth, const char *token)
{
    return gate_ask_at(auth, FT_TOKEN_HEADER, token, GATE_NOW_S * 1000ULL);
}

const char *gate_why(void)
{
    return problem.text;
}

bool gate_accepts(struct ft_auth *auth, char *token)
{
    struct ft_identity *who = gate_ask(auth, token);
    bool is_accepted = who != NULL;
    ft_identity_unref(who);
    free(token);
    return is_accepted;
}
