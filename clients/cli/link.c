/*
 * One client for a subcommand, with signals and messages. Knows no subcommand. The main thread; the
 * signal handler touches one flag and wakes the client.
 */
#include "clients/cli/link.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/alloc.h"
#include "protocol/quote.h"

/* One command has one client; the handler has no other way to it. */
static struct fantail *running;
static volatile sig_atomic_t is_interrupted;

/* A gap of a cluster may name hundreds of positions, which --resume keeps. */
enum { GAP_POSITIONS = 4 };

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
    if (running)
        fantail_wake(running);
}

bool ft_link_is_interrupted(void)
{
    return is_interrupted;
}

void ft_link_fail(struct ft_link *link, enum ft_exit code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fantail: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    if (link->exit_code == FT_EXIT_OK)
        link->exit_code = code;
}

static void on_state(struct fantail *f, enum fantail_state state,
                     const struct fantail_status *status, void *user)
{
    (void)f;
    struct ft_link *link = user;
    if (link->is_quiet_)
        return;
    if (state == FANTAIL_OPEN && link->was_open)
        fprintf(stderr, "fantail: connected to %s again\n", status->url);
    else if (state == FANTAIL_WAITING)
        fprintf(stderr, "fantail: %s: %s; trying again in %.1f s\n", status->url, status->reason,
                status->retry_ms / 1000.0);
    else if (state == FANTAIL_CLOSED)
        ft_link_fail(link, FT_EXIT_NO_BROKER, "%s %s: %s",
                     link->was_open ? "lost" : "cannot connect to", status->url, status->reason);
    if (state == FANTAIL_OPEN)
        link->was_open = true;
}

static void on_error(struct fantail *f, int code, const char *message, void *user)
{
    (void)f;
    (void)user;
    fprintf(stderr, "fantail: the broker reports %d: %s\n", code, message);
}

static void on_resume(struct fantail *f, bool recovered, void *user)
{
    (void)f;
    const struct ft_link *link = user;
    if (link->is_quiet_)
        return;
    fputs(recovered ? "fantail: nothing was missed\n"
                    : "fantail: not recovered: what was published meanwhile may be missing\n",
          stderr);
}

static void on_gap(struct fantail *f, const struct fantail_gap *gap, void *user)
{
    (void)f;
    const struct ft_link *link = user;
    if (link->is_quiet_)
        return;
    char quoted[FT_QUOTE_MAX];
    fputs("fantail: gap: ", stderr);
    if (gap->has_lost)
        fprintf(stderr, "%llu publications are missing", (unsigned long long)gap->lost);
    else
        fputs("publications are missing", stderr);
    fprintf(stderr, ", reason %s", ft_quote(ft_slice(gap->reason.ptr, gap->reason.len), quoted));
    for (size_t i = 0; i < gap->pos_count && i < GAP_POSITIONS; i++)
        fprintf(stderr, "%s%s", i ? " " : "; goes on after ", gap->pos[i]);
    if (gap->pos_count > GAP_POSITIONS)
        fprintf(stderr, " and %zu more", gap->pos_count - GAP_POSITIONS);
    fputc('\n', stderr);
}

const char *ft_link_read_token(const char *path, char token[FT_LINK_TOKEN_MAX + 2])
{
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(token, 1, FT_LINK_TOKEN_MAX + 1, file) : 0;
    if (!file || ferror(file))
        fprintf(stderr, "fantail: %s: %s\n", path, strerror(errno));
    if (file)
        fclose(file);
    while (n > 0 && strchr(" \t\r\n", token[n - 1]))
        n--;
    token[n] = '\0';
    return token + strspn(token, " \t\r\n");
}

/* Reads the token of --token-file. */
static const char *read_token(struct fantail *f, void *user)
{
    (void)f;
    struct ft_link *link = user;
    return ft_link_read_token(link->token_file_, link->token_);
}

void ft_link_urls_init(struct ft_link_urls *urls, const struct ft_link_options *options)
{
    *urls = (struct ft_link_urls){.count = options->urls.count};
    memcpy(urls->items, options->urls.items, sizeof(urls->items));
    const char *text = getenv("FANTAIL_URL");
    if (urls->count > 0 || !text)
        return;
    char *rest = NULL;
    urls->copy_ = ft_strdup(text);
    for (char *url = strtok_r(urls->copy_, " ", &rest); url && urls->count < FT_FLAG_TEXTS_MAX;
         url = strtok_r(NULL, " ", &rest))
        urls->items[urls->count++] = url;
}

void ft_link_urls_fini(struct ft_link_urls *urls)
{
    free(urls->copy_);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool ft_link_open(struct ft_link *link, const struct ft_link_options *options, void *owner)
{
    struct ft_link_urls urls;
    ft_link_urls_init(&urls, options);
    *link = (struct ft_link){.owner = owner, .token_file_ = options->token_file};
    struct fantail_options wanted = {
        .urls = urls.items,
        .url_count = urls.count,
        .msgpack = options->msgpack,
        .token = options->token ? options->token : getenv("FANTAIL_TOKEN"),
        .get_token = options->token_file ? read_token : NULL,
        .ca_file = options->ca_file,
        .insecure = options->insecure,
        .fail_first = !options->retry,
        /* What is under way when a broker dies has an unknown end, so no more of it than keeps a
           distant broker busy: 8,192 in 50 ms are 160,000 a second. */
        .queue_count = 8192,
        .user = link,
        .on_state = on_state,
        .on_error = on_error,
        .on_resume = on_resume,
        .on_gap = on_gap,
    };
    char why[FT_PROBLEM_TEXT_MAX];
    link->client = fantail_new(&wanted, why, sizeof(why));
    ft_link_urls_fini(&urls); /* the client has copies */
    if (!link->client) {
        ft_link_fail(link, FT_EXIT_USAGE, "%s", why);
        return false;
    }
    running = link->client;
    catch_signals();
    return true;
}

void ft_link_close(struct ft_link *link)
{
    if (!link->client)
        return;
    link->is_quiet_ = true;
    if (fantail_state(link->client) == FANTAIL_OPEN) {
        fantail_close(link->client);
        while (fantail_run(link->client, -1))
            ;
    }
    running = NULL;
    fantail_free(link->client);
    link->client = NULL;
}
