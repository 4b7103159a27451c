/*
 * Publishes on their way to Redis. Each server has a lane: batches wait in it, in order, until the socket takes
 * them, and again until they are answered. Whatever happens, a batch goes back by its deadline:
 *
 *     not sent by then, or refused by Redis    503: nothing of it was published
 *     sent, and no answer, or none any more    504: nobody knows
 *
 * What is ephemeral waits in the same lane, has no deadline but is dropped where the server is away. The relay's
 * thread, but for ft_outgoing_prepare() and ft_outgoing_room().
 */
#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/hub/letter.h"
#include "broker/relay/compose.h"
#include "broker/relay/private.h"
#include "broker/relay/results.h"
#include "protocol/quote.h"

#include <hiredis/hiredis.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

/* While so much waits for the socket nothing more is handed to it: what waits here can still be taken back. */
#define UNSENT_MAX ((size_t)512 * 1024)
/* Ephemeral ones may take this part of relay.queue, beside the others. */
#define EPHEMERAL_PART 4
/* What a batch takes beside its command: itself, and for each publication what the hub and the answer need. */
#define BATCH_BYTES ((size_t)512)
#define EACH_BYTES  (sizeof(struct ft_relay_item) + sizeof(struct ft_relay_result) + 32)
/* When who was refused may try again. */
#define RETRY_MS 1000

/* A log says what Redis refuses at most once in so long. */
#define REFUSED_LOG_MS 5000
/* Random bytes for names, fetched so many at a time. */
#define RANDOM_BYTES (64 * FT_STREAM_RANDOM_BYTES)

struct lane;

/* A script that was sent. */
struct flight {
    struct lane *lane;
    struct ft_relay_batch *batch; /* NULL: it was given back, its time was over */
    struct flight *next, **link;
    uint64_t sent_us;
};

/* Batches in a line. */
struct line {
    struct ft_relay_batch *first, **end;
};

struct lane {
    struct ft_outgoing *outgoing;
    uint32_t index; /* of its server */
    bool is_up;
    struct line waiting;
    /* Their scripts were not known: they go before all others, but when nothing is in flight, to keep their order. */
    struct line again;
    struct flight *flights, **flights_end; /* as they were sent */
    uint64_t refused, refused_log_ms;      /* publications that the log has not told of */
};

/* What Redis has acknowledged of a partition: it must not give these offsets away again, and if it has lost them
 * that has to be noticed, also where none of it came on the channel. */
struct acknowledged {
    char stream[FT_STREAM_NAME_LEN + 1]; /* empty: nothing */
    char beside[FT_STREAM_NAME_LEN + 1]; /* what the partition followed then */
    uint64_t head;
};

struct ft_outgoing {
    struct ft_relay *relay;
    struct acknowledged acknowledged[FT_PARTITIONS_MAX];
    struct ft_compose compose;
    struct ft_buffer scratch;
    _Atomic size_t used, used_ephemeral; /* bytes of batches, until they go back */
    uint8_t random[RANDOM_BYTES];
    uint32_t random_left;
    struct lane lanes[FT_SERVERS_MAX];
};

static struct ft_server *server_of(const struct lane *lane)
{
    return lane->outgoing->relay->servers[lane->index];
}

/* ---- lines ---- */

static void line_init(struct line *line)
{
    line->first = NULL;
    line->end = &line->first;
}

static void line_add(struct line *line, struct ft_relay_batch *batch)
{
    batch->next = NULL;
    *line->end = batch;
    line->end = &batch->next;
}

static struct ft_relay_batch *line_take(struct line *line)
{
    struct ft_relay_batch *batch = line->first;
    line->first = batch->next;
    if (!line->first)
        line->end = &line->first;
    return batch;
}

/* Puts all of `before` in front of what is in the line. */
static void line_prepend(struct line *line, struct line *before)
{
    if (!before->first)
        return;
    *before->end = line->first;
    if (!line->first)
        line->end = before->end;
    line->first = before->first;
    line_init(before);
}

/* ---- giving back ---- */

static void give_back(struct ft_outgoing *outgoing, struct ft_relay_batch *batch)
{
    atomic_fetch_sub_explicit(batch->is_ephemeral ? &outgoing->used_ephemeral : &outgoing->used,
                              batch->bytes, memory_order_relaxed);
    ft_buffer_fini(&batch->command);
    if (batch->is_ephemeral || !batch->letter.open)
        batch->letter.drop(&batch->letter);
    else
        ft_letter_post(outgoing->relay->hub, batch->worker, &batch->letter);
}

static void count(struct ft_outgoing *outgoing, enum ft_outcome_label outcome, uint64_t n)
{
    ft_count(&outgoing->relay->figures.relay_publishes[outcome], n);
}

/* Nothing of it was published. */
static void refuse(struct ft_outgoing *outgoing, struct ft_relay_batch *batch, const char *why)
{
    if (batch->is_ephemeral) {
        count(outgoing, FT_OUTCOME_DROPPED, batch->count);
        give_back(outgoing, batch);
        return;
    }
    count(outgoing, FT_OUTCOME_REFUSED, batch->count);
    (void)ft_problem_set(&batch->problem, FT_ERR_UNAVAILABLE, "%s: nothing was published", why);
    batch->problem.retry_ms = RETRY_MS;
    give_back(outgoing, batch);
}

/* Nobody knows what became of it. */
static void leave_open(struct ft_outgoing *outgoing, struct ft_relay_batch *batch, const char *why)
{
    count(outgoing, FT_OUTCOME_UNANSWERED, batch->count);
    (void)ft_problem_set(&batch->problem, FT_ERR_TIMEOUT,
                         "%s: it may have been published; with a key it can be repeated safely",
                         why);
    batch->problem.retry_ms = RETRY_MS;
    give_back(outgoing, batch);
}

/* ---- answers ---- */

static void note_acknowledged(struct ft_outgoing *outgoing, uint32_t partition, const char *stream,
                              uint64_t offset)
{
    struct acknowledged *known = &outgoing->acknowledged[partition];
    uint64_t head;
    ft_part_seen(outgoing->relay->parts[partition], known->beside, &head);
    bool is_same = memcmp(known->stream, stream, FT_STREAM_NAME_LEN) == 0;
    known->head = is_same && known->head > offset ? known->head : offset;
    memcpy(known->stream, stream, FT_STREAM_NAME_LEN);
}

const char *ft_outgoing_acknowledged(const struct ft_outgoing *outgoing, uint32_t partition,
                                     uint64_t *head)
{
    *head = outgoing->acknowledged[partition].head;
    return outgoing->acknowledged[partition].stream;
}

/* Says how far the stream has come that there should be. */
static void see(const struct ft_outgoing *outgoing, uint32_t partition,
                struct ft_compose_seen *seen)
{
    const struct acknowledged *known = &outgoing->acknowledged[partition];
    ft_part_seen(outgoing->relay->parts[partition], seen->stream, &seen->head);
    bool is_same = strcmp(known->stream, seen->stream) == 0;
    bool is_later = known->stream[0] && strcmp(known->beside, seen->stream) == 0;
    if (is_same ? known->head > seen->head : is_later) {
        memcpy(seen->stream, known->stream, sizeof(seen->stream));
        seen->head = known->head;
    }
}

static void take_results(struct ft_outgoing *outgoing, struct ft_relay_batch *batch,
                         const redisReply *reply)
{
    uint32_t duplicates = 0;
    for (uint32_t i = 0; i < batch->count; i++)
        duplicates += batch->results[i].is_duplicate;
    if (duplicates < batch->count) {
        note_acknowledged(outgoing, batch->partition, reply->element[0]->str, batch->head);
        ft_part_note_born(outgoing->relay->parts[batch->partition],
                          (uint64_t)reply->element[2]->integer);
    }
    count(outgoing, FT_OUTCOME_DUPLICATE, duplicates);
    count(outgoing, FT_OUTCOME_ACCEPTED, batch->count - duplicates);
    give_back(outgoing, batch);
}

static bool begins(const redisReply *reply, const char *word)
{
    size_t len = strlen(word);
    return (size_t)reply->len >= len && memcmp(reply->str, word, len) == 0;
}

static void log_refusal(struct lane *lane, const struct ft_relay_batch *batch,
                        const redisReply *reply)
{
    uint64_t now_ms = lane->outgoing->relay->now_ms;
    lane->refused += batch->count;
    if (lane->refused_log_ms != 0 && now_ms - lane->refused_log_ms < REFUSED_LOG_MS)
        return;
    char text[FT_QUOTE_MAX * 2];
    ft_log(FT_LOG_WARN, "relay_publish_refused", "partition=%u redis=%s publications=%llu",
           batch->partition, ft_log_value(reply->str, text, sizeof(text)),
           (unsigned long long)lane->refused);
    lane->refused_log_ms = now_ms;
    lane->refused = 0;
}

static void take_error(struct lane *lane, struct ft_relay_batch *batch, const redisReply *reply)
{
    if (begins(reply, "NOSCRIPT")) { /* the server has sent the script again before it told us */
        line_add(&lane->again, batch);
        return;
    }
    /* The script looks at everything before it writes: one that failed has done nothing. */
    log_refusal(lane, batch, reply);
    char quoted[FT_QUOTE_MAX], why[FT_PROBLEM_TEXT_MAX];
    snprintf(why, sizeof(why), "Redis said %s",
             ft_quote(ft_slice(reply->str, (size_t)reply->len), quoted));
    refuse(lane->outgoing, batch, why);
}

static void take_answer(struct lane *lane, struct ft_relay_batch *batch, const redisReply *reply)
{
    struct ft_outgoing *outgoing = lane->outgoing;
    if (!reply) {
        leave_open(outgoing, batch, "the connection to Redis was lost before it answered");
    } else if (reply->type == REDIS_REPLY_ERROR) {
        take_error(lane, batch, reply);
    } else if (ft_results_read(batch, reply)) {
        take_results(outgoing, batch, reply);
    } else {
        leave_open(outgoing, batch, "Redis gave an answer that makes no sense");
        ft_server_reset(server_of(lane), "an answer to a publish script that makes no sense");
    }
}

/* ---- sending ---- */

static void send_some(struct lane *lane);

static void on_answer(void *context, const redisReply *reply)
{
    struct flight *flight = context;
    struct lane *lane = flight->lane;
    struct ft_relay_batch *batch = flight->batch;
    if (reply)
        ft_observe_us(lane->outgoing->relay->figures.relay_script,
                      ft_clock_mono_us() - flight->sent_us);
    *flight->link = flight->next;
    if (flight->next)
        flight->next->link = flight->link;
    else
        lane->flights_end = flight->link;
    free(flight);
    if (batch)
        take_answer(lane, batch, reply);
    send_some(lane);
}

static void on_published(void *context, const redisReply *reply)
{
    (void)reply; /* how many have heard it is nobody's business */
    send_some(context);
}

/* Invents a name for the stream that begins where there is none: never twice the same. */
static void new_candidate(struct ft_outgoing *outgoing, uint32_t partition, char *name)
{
    if (outgoing->random_left == 0) {
        FT_ASSERT(getrandom(outgoing->random, RANDOM_BYTES, 0) == RANDOM_BYTES);
        outgoing->random_left = RANDOM_BYTES;
    }
    outgoing->random_left -= FT_STREAM_RANDOM_BYTES;
    ft_stream_name_of(partition, outgoing->random + outgoing->random_left, name);
}

static bool send_ephemeral(struct lane *lane, struct ft_relay_batch *batch)
{
    if (!ft_server_send(server_of(lane), ft_buffer_slice(&batch->command), on_published, lane))
        return false;
    count(lane->outgoing, FT_OUTCOME_EPHEMERAL, batch->count);
    give_back(lane->outgoing, batch);
    return true;
}

static bool send_stored(struct lane *lane, struct ft_relay_batch *batch)
{
    struct ft_outgoing *outgoing = lane->outgoing;
    struct ft_compose_seen seen;
    new_candidate(outgoing, batch->partition, seen.candidate);
    see(outgoing, batch->partition, &seen);
    seen.life = ft_server_life(server_of(lane));
    struct ft_slice command = ft_compose_head(&outgoing->compose, batch, &seen, &outgoing->scratch);
    struct flight *flight = ft_alloc(sizeof(*flight));
    *flight = (struct flight){lane, batch, NULL, lane->flights_end, ft_clock_mono_us()};
    if (!ft_server_send(server_of(lane), command, on_answer, flight)) {
        free(flight);
        return false;
    }
    *lane->flights_end = flight;
    lane->flights_end = &flight->next;
    return true;
}

/* Sends what waits, as far as the socket keeps up. */
static void send_some(struct lane *lane)
{
    if (lane->again.first) {
        if (lane->flights)
            return;
        line_prepend(&lane->waiting, &lane->again);
    }
    while (lane->is_up && lane->waiting.first && ft_server_unsent(server_of(lane)) < UNSENT_MAX) {
        struct ft_relay_batch *batch = line_take(&lane->waiting);
        bool was_sent =
            batch->is_ephemeral ? send_ephemeral(lane, batch) : send_stored(lane, batch);
        if (was_sent)
            continue;
        struct line rest = {0}; /* it is about to be told that the server is away */
        line_init(&rest);
        line_add(&rest, batch);
        line_prepend(&lane->waiting, &rest);
        return;
    }
}

/* ---- the ports ---- */

struct ft_outgoing *ft_outgoing_new(struct ft_relay *relay)
{
    struct ft_outgoing *outgoing = ft_alloc_zero(sizeof(*outgoing));
    outgoing->relay = relay;
    ft_compose_init(&outgoing->compose, &relay->options, relay->prefix, relay->channel_prefix,
                    relay->instance);
    ft_buffer_init(&outgoing->scratch, outgoing->compose.head_room);
    for (uint32_t i = 0; i < FT_SERVERS_MAX; i++) {
        struct lane *lane = &outgoing->lanes[i];
        lane->outgoing = outgoing;
        lane->index = i;
        line_init(&lane->waiting);
        line_init(&lane->again);
        lane->flights_end = &lane->flights;
    }
    return outgoing;
}

void ft_outgoing_stop(struct ft_outgoing *outgoing)
{
    for (uint32_t i = 0; i < outgoing->relay->server_count; i++) {
        struct lane *lane = &outgoing->lanes[i];
        struct flight *flight;
        line_prepend(&lane->waiting, &lane->again);
        while (lane->waiting.first)
            refuse(outgoing, line_take(&lane->waiting), "the broker is stopping");
        while ((flight = lane->flights)) {
            lane->flights = flight->next;
            if (flight->batch)
                leave_open(outgoing, flight->batch, "the broker is stopping");
            free(flight);
        }
    }
}

void ft_outgoing_free(struct ft_outgoing *outgoing)
{
    if (!outgoing)
        return;
    ft_compose_fini(&outgoing->compose);
    ft_buffer_fini(&outgoing->scratch);
    free(outgoing);
}

/* Takes bytes of a bound; false where there are not as many. One that is larger is taken where it is alone. */
static bool take_room(_Atomic size_t *used, size_t bytes, size_t most)
{
    size_t before = atomic_fetch_add_explicit(used, bytes, memory_order_relaxed);
    if (before == 0 || before + bytes <= most)
        return true;
    atomic_fetch_sub_explicit(used, bytes, memory_order_relaxed);
    return false;
}

void ft_outgoing_prepare(struct ft_outgoing *outgoing, struct ft_relay_batch *batch)
{
    const struct ft_relay_options *options = &outgoing->relay->options;
    ft_compose_batch(&outgoing->compose, batch);
    ft_buffer_fini(&batch->entries);
    ft_buffer_fini(&batch->keys);
    batch->deadline_ms = ft_clock_mono_ms() + options->deadline_ms;
    batch->bytes = BATCH_BYTES + batch->command.len + batch->count * EACH_BYTES;
    /* Who publishes what is stored was asked to wait, or was refused, before: it is taken in any case. */
    if (!batch->is_ephemeral) {
        atomic_fetch_add_explicit(&outgoing->used, batch->bytes, memory_order_relaxed);
    } else if (!take_room(&outgoing->used_ephemeral, batch->bytes,
                          options->queue_bytes / EPHEMERAL_PART)) {
        batch->bytes = 0; /* dropped, and counted, by the thread that counts */
        ft_buffer_fini(&batch->command);
    }
}

void ft_outgoing_take(struct ft_outgoing *outgoing, struct ft_relay_batch *batch)
{
    struct lane *lane = &outgoing->lanes[batch->partition % outgoing->relay->server_count];
    if (batch->is_ephemeral && (!lane->is_up || batch->bytes == 0)) {
        refuse(outgoing, batch, "");
        return;
    }
    line_add(&lane->waiting, batch);
    send_some(lane);
}

static struct lane *lane_of(struct ft_outgoing *outgoing, const struct ft_server *server)
{
    struct lane *lane = outgoing->lanes;
    while (server_of(lane) != server)
        lane++;
    return lane;
}

void ft_outgoing_up(struct ft_outgoing *outgoing, struct ft_server *server)
{
    struct lane *lane = lane_of(outgoing, server);
    lane->is_up = true;
    send_some(lane);
}

/* Takes those out of a line whose time is over, and where the server is away those that are ephemeral. Others
 * keep their order; they are not quite in that of their deadlines, as they come from several threads. */
static void weed(struct lane *lane, struct line *line, const char *why)
{
    struct line kept;
    line_init(&kept);
    while (line->first) {
        struct ft_relay_batch *batch = line_take(line);
        bool is_over = batch->is_ephemeral && !lane->is_up;
        if (is_over || batch->deadline_ms <= lane->outgoing->relay->now_ms)
            refuse(lane->outgoing, batch, why);
        else
            line_add(&kept, batch);
    }
    line_prepend(line, &kept);
}

void ft_outgoing_down(struct ft_outgoing *outgoing, struct ft_server *server)
{
    struct lane *lane = lane_of(outgoing, server);
    lane->is_up = false;
    weed(lane, &lane->waiting, "Redis cannot be reached");
}

static void lane_tick(struct lane *lane)
{
    uint64_t now_ms = lane->outgoing->relay->now_ms;
    const char *why = lane->is_up ? "Redis does not keep up" : "Redis cannot be reached";
    weed(lane, &lane->again, why);
    weed(lane, &lane->waiting, why);
    for (struct flight *flight = lane->flights; flight; flight = flight->next) {
        if (!flight->batch || flight->batch->deadline_ms > now_ms)
            continue;
        leave_open(lane->outgoing, flight->batch, "Redis has not answered in time");
        flight->batch = NULL;
    }
    send_some(lane);
}

void ft_outgoing_tick(struct ft_outgoing *outgoing)
{
    for (uint32_t i = 0; i < outgoing->relay->server_count; i++)
        lane_tick(&outgoing->lanes[i]);
}

size_t ft_outgoing_room(const struct ft_outgoing *outgoing, size_t *most)
{
    size_t used = atomic_load_explicit(&outgoing->used, memory_order_relaxed);
    *most = outgoing->relay->options.queue_bytes;
    return used < *most ? *most - used : 0;
}

/* ---- the broker's own ---- */

void ft_relay_announce(struct ft_relay *relay, struct ft_slice topic, struct ft_slice json)
{
    struct ft_data data = {.kind = FT_DATA_JSON, .bytes = json};
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = topic,
        .data = data,
        .at_ms = relay->wall_ms,
        .accepted_s = (uint32_t)(relay->now_ms / 1000),
        .taken_us = (uint32_t)ft_clock_mono_us(),
        .is_ephemeral = true,
        .stream_index = FT_STREAM_NONE,
    };
    (void)ft_relay_append(relay, ft_journal_build(relay->writer, &spec));

    struct ft_outgoing *outgoing = relay->outgoing;
    uint32_t partition = ft_partition_of(&relay->options.partitions, topic);
    struct lane *lane = &outgoing->lanes[partition % relay->server_count];
    struct ft_relay_entry entry = {.topic = topic, .data = data, .at_ms = relay->wall_ms};
    struct ft_buffer entries, command;
    ft_buffer_init(&entries, ft_relay_entry_size(topic, json));
    ft_relay_entry_write(&entry, &entries);
    ft_compose_ephemeral(&outgoing->compose, partition, 1, ft_buffer_slice(&entries), &command);
    bool was_sent = lane->is_up && ft_server_unsent(server_of(lane)) < UNSENT_MAX &&
                    ft_server_send(server_of(lane), ft_buffer_slice(&command), on_published, lane);
    count(outgoing, was_sent ? FT_OUTCOME_EPHEMERAL : FT_OUTCOME_DROPPED, 1);
    ft_buffer_fini(&command);
    ft_buffer_fini(&entries);
}
