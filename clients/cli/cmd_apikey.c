/*
 * `fantail apikey`: makes an API key for a backend, and the line for the broker's file auth.api_keys. The
 * key itself is in no file: it is printed once. The main thread.
 */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "broker/base/alloc.h"
#include "clients/cli/command.h"
#include "clients/cli/flags.h"
#include "protocol/base64url.h"
#include "protocol/topic.h"

enum { RANDOM_BYTES = 32, NAME_MAX_BYTES = 64 };

struct wishes {
    struct ft_flag_texts subs, pubs;
    bool is_admin, is_help;
};

static int complain(const char *text)
{
    fprintf(stderr, "fantail apikey: %s\n", text);
    return FT_EXIT_USAGE;
}

/* As the broker wants it (broker/auth/api_keys.h). */
static bool is_name(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";
    size_t len = strlen(name);
    return len > 0 && len <= NAME_MAX_BYTES && strspn(name, letters) == len;
}

static const char *check_filters(const struct ft_flag_texts *filters, struct ft_problem *problem)
{
    for (size_t i = 0; i < filters->count; i++) {
        if (ft_filter_check(ft_slice_str(filters->items[i]), problem) != FT_OK)
            return problem->text;
        if (strpbrk(filters->items[i], " \t\r"))
            return "a filter with white space cannot stand in the file of API keys";
    }
    return NULL;
}

/* Writes a fresh key into `out` and its hash in hexadecimal into `hex`. */
static void make_key(char out[64], char hex[2 * SHA256_DIGEST_LENGTH + 1])
{
    uint8_t random[RANDOM_BYTES], hash[SHA256_DIGEST_LENGTH];
    FT_ASSERT(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
    strcpy(out, "fk_");
    size_t len = 3 + ft_base64url_encode(ft_slice(random, sizeof(random)), out + 3);
    out[len] = '\0';
    SHA256((const uint8_t *)out, len, hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

static int print_key(const char *name, const struct wishes *wishes)
{
    char key[64], hex[2 * SHA256_DIGEST_LENGTH + 1];
    make_key(key, hex);
    if (puts(key) < 0 || fflush(stdout) != 0)
        return FT_EXIT_FAILED;
    fprintf(stderr, "%s sha256:%s%s", name, hex, wishes->is_admin ? " admin" : "");
    for (size_t i = 0; i < wishes->pubs.count; i++)
        fprintf(stderr, " pub=%s", wishes->pubs.items[i]);
    for (size_t i = 0; i < wishes->subs.count; i++)
        fprintf(stderr, " sub=%s", wishes->subs.items[i]);
    fputc('\n', stderr);
    return ferror(stderr) ? FT_EXIT_FAILED : FT_EXIT_OK; /* a key without its line is of no use */
}

static void print_help(const struct ft_flag *flags, size_t n)
{
    puts(
        "usage: fantail apikey NAME [OPTION]…\n\n"
        "Makes an API key for a backend: prints it on standard output, once, and on standard error\n"
        "the line for the file auth.api_keys of the broker, which holds only a hash of it:\n\n"
        "  fantail apikey billing 2>> api_keys\n\n"
        "Without --pub and --sub the key may do everything but what begins with $.\n");
    ft_flags_print(flags, n, stdout);
    puts("\nexit codes: 0 done, 1 writing failed, 2 wrong command line");
}

int ft_cmd_apikey(int argc, char **argv)
{
    struct wishes wishes = {0};
    const struct ft_flag flags[] = {
        {'\0', "pub", "FILTER", FT_FLAG_TEXTS, &wishes.pubs, "may publish to this"},
        {'\0', "sub", "FILTER", FT_FLAG_TEXTS, &wishes.subs, "may subscribe to this"},
        {'\0', "admin", NULL, FT_FLAG_SWITCH, &wishes.is_admin, "may use control and figures"},
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
    if (argc != 2 || !is_name(argv[1]))
        return complain("the name is one word of up to 64 letters, digits and . _ - @");
    const char *wrong = check_filters(&wishes.pubs, &problem);
    if (!wrong)
        wrong = check_filters(&wishes.subs, &problem);
    return wrong ? complain(wrong) : print_key(argv[1], &wishes);
}
