/*
 * Whose turn it is. Does not connect, and waits for nothing. Pure; the client's thread.
 */
#include "clients/c/servers.h"

#include <stdlib.h>

#include "broker/base/alloc.h"

enum ft_err ft_servers_init(struct ft_servers *servers, const char *const *urls, size_t n,
                            struct ft_problem *problem)
{
    static const char *const defaults[] = {FT_URL_DEFAULT};
    *servers = (struct ft_servers){0};
    if (n > FT_SERVERS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "a client takes %d URLs, not more",
                              FT_SERVERS_MAX);
    if (n == 0)
        urls = defaults;
    n = n == 0 ? 1 : n;
    servers->items_ = ft_alloc_zero(n * sizeof(*servers->items_));
    for (size_t i = 0; i < n; i++) {
        struct ft_server *server = &servers->items_[servers->count];
        enum ft_err err = ft_url_read(urls[i], &server->url, problem);
        if (err)
            return err;
        server->text = ft_strdup(urls[i]);
        servers->count++;
    }
    servers->last_ = servers->count - 1;
    return FT_OK;
}

void ft_servers_fini(struct ft_servers *servers)
{
    for (size_t i = 0; i < servers->count; i++)
        free(servers->items_[i].text);
    free(servers->items_);
    *servers = (struct ft_servers){0};
}

const struct ft_server *ft_servers_now(const struct ft_servers *servers)
{
    return &servers->items_[servers->at_];
}

void ft_servers_opened(struct ft_servers *servers)
{
    servers->tried_ = 0;
    servers->was_open_ = true;
}

/* The next one in turn. */
static size_t behind(const struct ft_servers *servers, size_t at)
{
    return (at + 1) % servers->count;
}

bool ft_servers_failed(struct ft_servers *servers, uint64_t random)
{
    size_t others = servers->count - 1;
    if (servers->was_open_ && others > 0) {
        servers->was_open_ = false;
        servers->last_ = servers->at_;
        servers->at_ = (servers->at_ + 1 + random % others) % servers->count;
        return false; /* the one that was lost is still to be tried */
    }
    servers->was_open_ = false;
    if (++servers->tried_ >= servers->count) {
        servers->tried_ = 0;
        servers->at_ = behind(servers, servers->last_);
        return true;
    }
    servers->at_ = behind(servers, servers->at_);
    if (servers->at_ == servers->last_ && servers->tried_ < others)
        servers->at_ = behind(servers, servers->at_);
    else if (servers->tried_ == others)
        servers->at_ = servers->last_;
    return false;
}

bool ft_servers_have_tls(const struct ft_servers *servers)
{
    for (size_t i = 0; i < servers->count; i++)
        if (servers->items_[i].url.is_tls)
            return true;
    return false;
}
