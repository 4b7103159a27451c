/*
 * fantaild: the composition root. Ties config, journal, hub, loops and routes together, waits for
 * signals, reloads at SIGHUP, and takes all down in reverse. The main thread does nothing else.
 */
#include "broker/app/access.h"
#include "broker/app/cli.h"
#include "broker/app/config.h"
#include "broker/app/reload.h"
#include "broker/app/supervisor.h"
#include "broker/base/log.h"
#include "broker/core/journal.h"
#include "broker/http/service.h"
#include "broker/hub/worker.h"
#include "broker/net/loops.h"
#include "broker/relay/relay.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

extern char **environ;

/* Room for whatever loops or relay have to say. */
#define ERROR_MAX \
    (FT_RELAY_ERROR_MAX > FT_LOOPS_ERROR_MAX ? FT_RELAY_ERROR_MAX : FT_LOOPS_ERROR_MAX)

/* Addresses of one kind: the bound of their rows in options.def. */
#define LISTENS_MAX 16

static void fill_random(void *bytes, size_t n)
{
    if (getrandom(bytes, n, 0) != (ssize_t)n)
        abort();
}

static struct ft_journal *open_journal(const struct ft_config *config)
{
    char stream[FT_STREAM_NAME_LEN + 1];
    uint8_t random[FT_STREAM_RANDOM_BYTES];
    uint64_t seed;
    fill_random(random, sizeof(random));
    ft_stream_name(random, stream);
    fill_random(&seed, sizeof(seed));
    return ft_journal_new(&(struct ft_journal_options){
        .stream = stream,
        .streams = config->redis_url.count > 0 ? (uint32_t)config->relay_partitions : 0,
        .size_bytes = config->journal_size,
        .age_s = (uint32_t)config->journal_age_s,
        .limits = {.topics = (uint32_t)config->journal_topics,
                   .retained = (uint32_t)config->journal_retained,
                   .kept_bytes = config->journal_kept},
        .keys = (uint32_t)config->journal_keys,
        .seed = seed,
    });
}

/* What publications are kept in, and come by from other nodes. */
struct node {
    struct ft_journal *journal;
    struct ft_relay *relay; /* NULL: there are no other nodes */
};

/* All listeners, in the order in which they are announced. */
struct listens {
    struct ft_listen items[4 * LISTENS_MAX];
    size_t count;
};

static void add_listens(struct listens *listens, const struct ft_strings *addresses, bool is_tls,
                        bool is_proxied)
{
    for (size_t i = 0; i < addresses->count; i++)
        listens->items[listens->count++] = (struct ft_listen){
            .address = addresses->items[i],
            .is_tls = is_tls,
            .is_proxied = is_proxied,
        };
}

static struct ft_loops *open_loops(const struct ft_config *config, struct listens *listens,
                                   char *error)
{
    listens->count = 0;
    add_listens(listens, &config->listen, false, false);
    add_listens(listens, &config->tls_listen, true, false);
    add_listens(listens, &config->http_proxy_listen, false, true);
    add_listens(listens, &config->tls_proxy_listen, true, true);
    bool has_tls = config->tls_listen.count + config->tls_proxy_listen.count > 0;
    return ft_loops_new(
        &(struct ft_loops_options){
            .listen = listens->items,
            .listen_count = listens->count,
            .workers = (uint32_t)config->workers,
            .shutdown_ms = (uint32_t)config->shutdown_timeout_ms,
            .connections = config->limits_connections,
            .tls_cert = has_tls ? config->tls_cert : NULL,
            .tls_key = has_tls ? config->tls_key : NULL,
            .http = ft_http_service(),
        },
        error);
}

/* Returns the relay, NULL with an empty `error` where there is none to be. */
static struct ft_relay *open_relay(const struct ft_config *config, struct ft_journal *journal,
                                   char error[FT_RELAY_ERROR_MAX])
{
    error[0] = '\0';
    if (config->redis_url.count == 0)
        return NULL;
    return ft_relay_new(
        &(struct ft_relay_options){
            .node = config->node,
            .version = FT_VERSION,
            .urls = (const char *const *)config->redis_url.items,
            .url_count = (uint32_t)config->redis_url.count,
            .prefix = config->redis_prefix,
            .partitions = {(uint32_t)config->relay_partitions, (uint32_t)config->relay_hash_levels},
            .deadline_ms = (uint32_t)config->relay_deadline_ms,
            .queue_bytes = config->relay_queue,
            .length = (uint32_t)config->relay_length,
            .age_s = (uint32_t)config->journal_age_s,
            .size_bytes = config->relay_size,
            .journal_bytes = config->journal_size,
            .message_bytes = config->limits_message,
            .retained = (uint32_t)config->journal_retained,
            .kept_topics = (uint32_t)config->journal_topics,
        },
        journal, error);
}

static bool open_node(struct node *node, const struct ft_config *config, char error[ERROR_MAX])
{
    node->journal = open_journal(config);
    node->relay = open_relay(config, node->journal, error);
    if (!node->relay && error[0])
        ft_journal_free(node->journal);
    return node->relay || !error[0];
}

static void close_node(struct node *node)
{
    ft_relay_free(node->relay);
    ft_journal_free(node->journal);
}

static struct ft_hub *open_hub(struct ft_config *config, const struct ft_access *access,
                               struct node *node, struct ft_loops *loops)
{
    struct ft_hub_options options = ft_reload_hub_options(config);
    return ft_hub_new(&options, node->journal, (uint32_t)config->workers,
                      &(struct ft_hub_ports){
                          .loop_ops = ft_loops_ops(),
                          .loops = loops,
                          .gate_ops = ft_auth_gate_ops(),
                          .gate = access->auth,
                          .quotas = access->quotas,
                          .relay_ops = node->relay ? ft_relay_ops() : NULL,
                          .relay = node->relay,
                          .interest = node->relay ? ft_relay_interest(node->relay) : NULL,
                      });
}

/* Other software waits for these lines: their form is fixed. */
static void announce(const struct ft_config *config, const struct listens *listens,
                     const struct ft_loops *loops)
{
    const char *address;
    for (size_t i = 0; (address = ft_loops_address(loops, i)); i++) {
        const char *s = listens->items[i].is_tls ? "s" : "";
        printf("fantaild %s ready at http%s://%s/ (ws%s://%s%s)%s\n", FT_VERSION, s, address, s,
               address, config->http_path, listens->items[i].is_proxied ? " behind PROXY" : "");
    }
    fflush(stdout);
    ft_access_log(config);
    ft_log(FT_LOG_INFO, "ready", "version=%s node=%s workers=%u", FT_VERSION, config->node,
           (unsigned)config->workers);
}

/* Reloads whenever it is asked to. Returns the signal that ends the process. */
static int serve_until_signal(const struct ft_reload *reload, const struct listens *listens,
                              const sigset_t *signals)
{
    struct ft_supervisor supervisor;
    int number;

    ft_supervisor_init(&supervisor, reload->loops, listens->items, environ);
    ft_supervisor_ready(&supervisor);
    while ((number = ft_supervisor_wait(&supervisor, signals)) == SIGHUP) {
        ft_supervisor_reloading(&supervisor);
        ft_supervisor_reloaded(&supervisor, ft_reload(reload));
    }
    ft_supervisor_stopping(&supervisor);
    ft_supervisor_fini(&supervisor);
    return number;
}

/* Serves until a signal comes. Returns false when the node had to go, because another has its name. */
static bool serve(const struct ft_cli *cli, struct ft_config *config, struct ft_access *access,
                  const struct listens *listens, struct node *node, struct ft_loops *loops,
                  const sigset_t *signals)
{
    struct ft_hub *hub = open_hub(config, access, node, loops);
    struct ft_reload reload = {
        .cli = cli, .config = config, .access = access, .hub = hub, .loops = loops};
    if (node->relay)
        ft_relay_start(node->relay, hub);
    ft_loops_start(loops, hub);
    announce(config, listens, loops);

    int number = serve_until_signal(&reload, listens, signals);
    ft_log(FT_LOG_INFO, "stopping", "signal=%s", number == SIGINT ? "SIGINT" : "SIGTERM");
    bool is_expelled = node->relay && ft_relay_is_expelled(node->relay);
    if (node->relay)
        ft_relay_stop(node->relay);
    ft_loops_stop(loops);
    ft_hub_free(hub);
    ft_log(FT_LOG_INFO, "stopped", "node=%s", config->node);
    return !is_expelled;
}

/* Blocks a signal in this thread and in those that it starts; ft_supervisor_wait() takes it. */
static void block(sigset_t *signals, int number)
{
    sigaddset(signals, number);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/* Opens what the config says, and serves until a signal comes. Returns the exit status. */
static int run(const struct ft_cli *cli, struct ft_config *config, const sigset_t *signals)
{
    struct ft_access access;
    struct ft_config_error wrong;
    char error[ERROR_MAX];

    if (ft_access_open(&access, config, &wrong) != 0) {
        fprintf(stderr, "fantaild: %s\n", wrong.text);
        return EXIT_FAILURE;
    }
    struct listens listens;
    struct node node;
    struct ft_loops *loops = NULL;
    bool is_good = false;
    /* First the node: nobody shall connect to one that will not serve. */
    bool is_open = open_node(&node, config, error);
    if (is_open && (loops = open_loops(config, &listens, error)))
        is_good = serve(cli, config, &access, &listens, &node, loops, signals);
    else
        fprintf(stderr, "fantaild: %s\n", error);
    ft_loops_free(loops);
    if (is_open)
        close_node(&node);
    ft_access_close(&access);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct ft_config config;
    struct ft_cli cli = {argc, argv, environ, stdout, stderr};
    sigset_t signals;
    sigemptyset(&signals);
    block(&signals, SIGHUP); /* a reload that comes while we start has to wait, not to kill */
    int status = ft_cli_read(&cli, &config);
    if (status != FT_CLI_SERVE)
        return status;
    ft_log_set_level(config.log_level);

    block(&signals, SIGTERM);
    block(&signals, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    status = run(&cli, &config, &signals);
    ft_config_fini(&config);
    return status;
}
