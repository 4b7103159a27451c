/*
 * `fantail token`: makes a JSON Web Token, for development and for tests. The broker needs none of this: an
 * application makes its tokens itself. The main thread.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "clients/cli/command.h"
#include "clients/cli/flags.h"
#include "clients/cli/secret_file.h"
#include "clients/cli/signer.h"
#include "protocol/quote.h"
#include "protocol/topic.h"
#include "protocol/utf8.h"

struct wishes {
    const char *user, *ttl, *issuer;
    struct ft_flag_texts subs, pubs, audiences;
    const char *secret, *secret_file, *key, *kid, *alg;
    bool is_admin, is_help;
};

static int complain(const char *text)
{
    fprintf(stderr, "fantail token: %s\n", text);
    return FT_EXIT_USAGE;
}

/* Reads "90s", "15m", "1h", "7d", "3600"; false: it is none. */
static bool read_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    uint64_t number = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].unit) == 0 && number > 0 && number <= UINT32_MAX) {
            *seconds = number * units[i].seconds;
            return true;
        }
    return false;
}

/* ---- what the token says ---- */

static json_t *array_of(const struct ft_flag_texts *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < texts->count; i++)
        json_array_append_new(array, json_string(texts->items[i]));
    return array;
}

static json_t *permissions(const struct wishes *wishes)
{
    json_t *own = json_object();
    if (wishes->subs.count > 0)
        json_object_set_new(own, "sub", array_of(&wishes->subs));
    if (wishes->pubs.count > 0)
        json_object_set_new(own, "pub", array_of(&wishes->pubs));
    if (wishes->is_admin)
        json_object_set_new(own, "admin", json_true());
    return own;
}

static char *make_claims(const struct wishes *wishes, uint64_t ttl_s)
{
    json_int_t now_s = (json_int_t)(ft_clock_wall_ms() / 1000);
    json_t *claims = json_object();
    if (wishes->user)
        json_object_set_new(claims, "sub", json_string(wishes->user));
    if (wishes->issuer)
        json_object_set_new(claims, "iss", json_string(wishes->issuer));
    if (wishes->audiences.count == 1)
        json_object_set_new(claims, "aud", json_string(wishes->audiences.items[0]));
    else if (wishes->audiences.count > 1)
        json_object_set_new(claims, "aud", array_of(&wishes->audiences));
    json_object_set_new(claims, "iat", json_integer(now_s));
    if (ttl_s > 0)
        json_object_set_new(claims, "exp", json_integer(now_s + (json_int_t)ttl_s));
    if (wishes->subs.count + wishes->pubs.count > 0 || wishes->is_admin)
        json_object_set_new(claims, "fantail", permissions(wishes));
    char *text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}

static char *make_header(const struct wishes *wishes, const char *alg)
{
    json_t *header = json_object();
    json_object_set_new(header, "alg", json_string(alg));
    json_object_set_new(header, "typ", json_string("JWT"));
    if (wishes->kid)
        json_object_set_new(header, "kid", json_string(wishes->kid));
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

/* ---- what it is signed with ---- */

/* Without the line break that an editor puts at the end. */
static struct ft_slice line_of(struct ft_slice text)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    return text;
}

static enum ft_err make_signer(const struct wishes *wishes, struct ft_slice file,
                               struct ft_signer **signer, struct ft_problem *problem)
{
    if (wishes->key)
        return ft_signer_new_key(file, signer, problem);
    if (wishes->secret_file)
        return ft_signer_new_secret(line_of(file), signer, problem);
    const char *secret = wishes->secret ? wishes->secret : getenv("FANTAIL_AUTH_SECRET");
    if (!secret || *secret == '\0')
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "what to sign with? --secret, --secret-file, --key, or "
                              "$FANTAIL_AUTH_SECRET");
    return ft_signer_new_secret(ft_slice_str(secret), signer, problem);
}

/* Reads the file, if there is one, and makes the signer. NULL: said why, `*code` is the exit code. */
static struct ft_signer *open_signer(const struct wishes *wishes, int *code)
{
    struct ft_signer *signer = NULL;
    struct ft_problem problem;
    struct ft_buffer file;
    const char *path = wishes->key ? wishes->key : wishes->secret_file;
    *code = FT_EXIT_FAILED;
    if (path && !ft_secret_file_read(path, &file)) {
        ft_buffer_fini(&file);
        return NULL;
    }
    struct ft_slice text = path ? ft_buffer_slice(&file) : ft_slice(NULL, 0);
    if (make_signer(wishes, text, &signer, &problem) != FT_OK)
        *code = complain(problem.text);
    if (path)
        ft_buffer_fini(&file);
    if (!signer || !wishes->alg || strcmp(wishes->alg, ft_signer_alg(signer)) == 0)
        return signer;
    if (strcmp(wishes->alg, "PS256") == 0 && ft_signer_use_pss(signer))
        return signer;
    *code = complain("--alg is not one that this key is for");
    ft_signer_free(signer);
    return NULL;
}

/* ---- the command line ---- */

static const char *check_filters(const struct ft_flag_texts *filters, struct ft_problem *problem)
{
    for (size_t i = 0; i < filters->count; i++)
        if (ft_filter_check(ft_slice_str(filters->items[i]), problem) != FT_OK)
            return problem->text;
    return NULL;
}

/* Says what is wrong, or NULL. */
static const char *check(const struct wishes *wishes, int argc, struct ft_problem *problem)
{
    if (argc > 1)
        return "it takes no argument; the user is --sub USER";
    if ((wishes->secret != NULL) + (wishes->secret_file != NULL) + (wishes->key != NULL) > 1)
        return "--secret, --secret-file and --key exclude each other";
    const char *const texts[] = {wishes->user, wishes->issuer, wishes->kid};
    for (size_t i = 0; i < 3; i++)
        if (texts[i] && (*texts[i] == '\0' || !ft_utf8_is_valid(ft_slice_str(texts[i]))))
            return "--sub, --iss and --kid are text, and not empty";
    for (size_t i = 0; i < wishes->audiences.count; i++)
        if (!ft_utf8_is_valid(ft_slice_str(wishes->audiences.items[i])))
            return "--aud is text";
    const char *wrong = check_filters(&wishes->subs, problem);
    return wrong ? wrong : check_filters(&wishes->pubs, problem);
}

static int print_token(const struct wishes *wishes, uint64_t ttl_s)
{
    int code;
    struct ft_signer *signer = open_signer(wishes, &code);
    if (!signer)
        return code;
    char *header = make_header(wishes, ft_signer_alg(signer));
    char *claims = make_claims(wishes, ttl_s);
    char *token = ft_signer_sign(signer, header, claims);
    code = token && puts(token) >= 0 && fflush(stdout) == 0 ? FT_EXIT_OK : FT_EXIT_FAILED;
    if (!token)
        complain("OpenSSL could not sign with this key");
    free(token);
    free(claims);
    free(header);
    ft_signer_free(signer);
    return code;
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail token [OPTION]…\n\n"
        "Prints a JSON Web Token, for development. Filters may hold the level %u, the user. A token\n"
        "without --allow-sub and --allow-pub may do what auth.user_sub and auth.user_pub of the\n"
        "broker say.\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done, 1 a file cannot be read, 2 wrong command line");
}

int ft_cmd_token(int argc, char **argv)
{
    struct wishes wishes = {.ttl = "1h"};
    const struct ft_flag flags[] = {
        {'\0', "sub", "USER", FT_FLAG_TEXT, &wishes.user, "the user; default nobody in particular"},
        {'\0', "allow-sub", "FILTER", FT_FLAG_TEXTS, &wishes.subs, "may subscribe to this"},
        {'\0', "allow-pub", "FILTER", FT_FLAG_TEXTS, &wishes.pubs, "may publish to this"},
        {'\0', "admin", NULL, FT_FLAG_SWITCH, &wishes.is_admin, "may use control and figures"},
        {'\0', "ttl", "TIME", FT_FLAG_TEXT, &wishes.ttl,
         "ends after so long: 90s, 15m, 1h (the default), 7d, or never"},
        {'\0', "iss", "TEXT", FT_FLAG_TEXT, &wishes.issuer, "the issuer"},
        {'\0', "aud", "TEXT", FT_FLAG_TEXTS, &wishes.audiences, "who it is for"},
        {'\0', "secret", "TEXT", FT_FLAG_TEXT, &wishes.secret,
         "sign with this secret; default $FANTAIL_AUTH_SECRET"},
        {'\0', "secret-file", "FILE", FT_FLAG_TEXT, &wishes.secret_file,
         "the same from a file, - is standard input"},
        {'\0', "key", "FILE", FT_FLAG_TEXT, &wishes.key, "sign with a private key, PEM or JWK"},
        {'\0', "kid", "ID", FT_FLAG_TEXT, &wishes.kid, "the key's id, for the header"},
        {'\0', "alg", "NAME", FT_FLAG_TEXT, &wishes.alg, "PS256 instead of RS256 for an RSA key"},
        {'h', "help", NULL, FT_FLAG_SWITCH, &wishes.is_help, "print this"},
    };
    const size_t n = sizeof(flags) / sizeof(flags[0]);
    struct ft_problem problem;
    if (ft_flags_parse(flags, n, &argc, argv, &problem) != FT_OK)
        return complain(problem.text);
    if (wishes.is_help) {
        print_help(flags, n);
        return FT_EXIT_OK;
    }
    const char *wrong = check(&wishes, argc, &problem);
    if (wrong)
        return complain(wrong);
    uint64_t ttl_s = 0;
    if (strcmp(wishes.ttl, "never") != 0 && !read_duration(wishes.ttl, &ttl_s))
        return complain("--ttl is a number with s, m, h or d behind it, or never");
    return print_token(&wishes, ttl_s);
}
