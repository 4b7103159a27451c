/*
 * Publishes a backlog and lets many sessions catch up with it. Measures nothing: that is the row's.
 * Runs on the bench's only thread, or in a process of its own (crowd.c).
 */
#include "clients/cli/bench/catchup.h"

#include "broker/base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC    "bench/catchup"
#define WILDCARD TOPIC "/#"
#define TENTH    10
#define POS_MAX  64

static uint32_t stagger_of(const struct ft_catchup *catchup, const struct ft_gen_conn *conn)
{
    const struct ft_catchup_options *options = &catchup->options;
    uint64_t index = (uint64_t)(conn - catchup->gen->conns);
    return options->is_staggered ? (uint32_t)(index * options->backlog / TENTH / options->sessions)
                                 : 0;
}

bool ft_catchup_read_position(const struct ft_envelope *env, char stream[32], uint64_t *offset)
{
    uint8_t bytes[POS_MAX];
    struct ft_slice pos;
    size_t at = 0;
    if (env->positions.count != 1 ||
        ft_list_next(&env->positions, &at, bytes, sizeof(bytes) - 1, &pos) != FT_OK)
        return false;
    bytes[pos.len] = '\0';
    return sscanf((const char *)bytes, "%31[^.].%" SCNu64, stream, offset) == 2;
}

static void note_live(struct ft_catchup *catchup, const struct ft_envelope *env)
{
    if (!ft_catchup_read_position(env, catchup->stream, &catchup->head))
        ft_gen_fail(catchup->gen, FT_ERR_INTERNAL, "a subscription's ok carries no position");
}

static void on_ok(struct ft_gen *gen, struct ft_gen_conn *conn, const struct ft_envelope *env)
{
    struct ft_catchup *catchup = gen->ctx;
    if (!catchup->is_resuming) {
        if (conn == gen->conns && catchup->is_noting)
            note_live(catchup, env);
        return;
    }
    if (!env->has_recovered || !env->recovered)
        ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %td was not resumed: its ok has %s",
                    conn - gen->conns,
                    env->has_recovered ? "\"recovered\":false" : "no \"recovered\"");
    conn->next_seq = catchup->first_seq + stagger_of(catchup, conn);
}

static const struct ft_gen_hooks hooks = {.on_ok = on_ok};

static void lay_out(struct ft_catchup *catchup)
{
    const struct ft_catchup_options *options = &catchup->options;
    catchup->loads = ft_alloc_zero(options->topics * sizeof(*catchup->loads));
    for (uint32_t i = 0; i < options->topics; i++) {
        char topic[FT_GEN_TOPIC_MAX] = TOPIC;
        if (options->topics > 1)
            ft_gen_topic(TOPIC, i, topic);
        ft_load_init(&catchup->loads[i], &(struct ft_load_spec){.encoding = options->encoding,
                                                                .topic = topic,
                                                                .data_len = FT_CATCHUP_DATA_LEN});
    }
    catchup->frames = ft_alloc(FT_CATCHUP_BURST * catchup->loads[0].frame_size);
}

enum ft_err ft_catchup_init(struct ft_catchup *catchup, const struct ft_catchup_options *options,
                            struct ft_gen *gen, const struct ft_server *server)
{
    const struct ft_gen_group sessions = {.role = FT_GEN_SUBSCRIBER, .count = options->sessions};
    const struct ft_gen_group publisher = {.role = FT_GEN_PUBLISHER, .count = 1};
    *catchup = (struct ft_catchup){
        .options = *options, .gen = gen, .filter = options->topics > 1 ? WILDCARD : TOPIC};
    lay_out(catchup);
    ft_gen_init(gen, server, options->encoding, options->sessions + 1);
    gen->hooks = &hooks;
    gen->ctx = catchup;
    enum ft_err err = ft_gen_connect(gen, &sessions);
    return err != FT_OK ? err : ft_gen_connect(gen, &publisher);
}

void ft_catchup_fini(struct ft_catchup *catchup)
{
    if (catchup->gen == NULL)
        return;
    ft_gen_fini(catchup->gen);
    for (uint32_t i = 0; i < catchup->options.topics; i++)
        ft_load_fini(&catchup->loads[i]);
    free(catchup->loads);
    free(catchup->frames);
    memset(catchup, 0, sizeof(*catchup));
}

static struct ft_gen_conn *publisher_of(const struct ft_catchup *catchup)
{
    return &catchup->gen->conns[catchup->options.sessions];
}

enum ft_err ft_catchup_subscribe(struct ft_catchup *catchup, uint32_t sessions)
{
    struct ft_gen *gen = catchup->gen;
    uint64_t oks = gen->oks;
    enum ft_err err = FT_OK;
    catchup->is_resuming = false;
    catchup->is_noting = true;
    for (uint32_t i = 0; i < sessions && err == FT_OK; i++) {
        gen->conns[i].next_seq = publisher_of(catchup)->sent;
        err = ft_gen_subscribe(gen, &gen->conns[i], catchup->filter, NULL);
    }
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->oks, oks + sessions);
    catchup->is_noting = false;
    return err;
}

enum ft_err ft_catchup_publish(struct ft_catchup *catchup, uint32_t sessions)
{
    struct ft_gen *gen = catchup->gen;
    struct ft_gen_conn *publisher = publisher_of(catchup);
    uint64_t target = gen->delivered;
    enum ft_err err = FT_OK;
    catchup->first_seq = publisher->sent;
    for (uint32_t done = 0; done < catchup->options.backlog && err == FT_OK;) {
        uint8_t *end = catchup->frames;
        uint32_t left = catchup->options.backlog - done;
        uint32_t burst = left < FT_CATCHUP_BURST ? left : FT_CATCHUP_BURST;
        for (uint32_t i = 0; i < burst; i++, done++)
            end = ft_load_put(&catchup->loads[done % catchup->options.topics], 0, publisher->sent++,
                              end);
        target += (uint64_t)burst * sessions;
        err =
            ft_gen_send(gen, publisher, ft_slice(catchup->frames, (size_t)(end - catchup->frames)));
        if (err == FT_OK)
            err = ft_gen_await(gen, &gen->delivered, target);
    }
    if (err != FT_OK || sessions > 0)
        return err;
    uint64_t oks = gen->oks;
    err = ft_gen_ping(gen, publisher);
    return err != FT_OK ? err : ft_gen_await(gen, &gen->oks, oks + 1);
}

enum ft_err ft_catchup_resume(struct ft_catchup *catchup)
{
    struct ft_gen *gen = catchup->gen;
    uint32_t sessions = catchup->options.sessions;
    uint64_t oks = gen->oks + sessions, delivered = gen->delivered;
    enum ft_err err = FT_OK;
    catchup->is_resuming = true;
    for (uint32_t i = 0; i < sessions && err == FT_OK; i++) {
        char since[POS_MAX];
        struct ft_gen_conn *conn = &gen->conns[i];
        uint32_t stagger = stagger_of(catchup, conn);
        snprintf(since, sizeof(since), "%s.%" PRIu64, catchup->stream, catchup->head + stagger);
        conn->next_seq = FT_GEN_BEFORE_OK;
        delivered += catchup->options.backlog - stagger;
        err = ft_gen_subscribe(gen, conn, catchup->filter, since);
    }
    if (err == FT_OK)
        err = ft_gen_await(gen, &gen->oks, oks);
    return err != FT_OK ? err : ft_gen_await(gen, &gen->delivered, delivered);
}

enum ft_err ft_catchup_unsubscribe(struct ft_catchup *catchup, uint32_t sessions)
{
    struct ft_gen *gen = catchup->gen;
    uint64_t oks = gen->oks;
    enum ft_err err = FT_OK;
    catchup->is_resuming = false;
    for (uint32_t i = 0; i < sessions && err == FT_OK; i++)
        err = ft_gen_unsubscribe(gen, &gen->conns[i], catchup->filter);
    return err != FT_OK ? err : ft_gen_await(gen, &gen->oks, oks + sessions);
}
