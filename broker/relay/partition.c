/*
 * A partition: a follower (follower.h), which decides, and here what it wants done: commands to Redis, entries
 * into the journal, figures and logs. The relay's thread.
 */
#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/hub/worker.h"
#include "broker/relay/intake.h"
#include "broker/relay/lives.h"
#include "broker/relay/load.h"
#include "broker/relay/log_entry.h"
#include "broker/relay/private.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define COMMAND_MAX ((size_t)64 * 1024)

/* After an error of Redis. */
#define TELL_AGAIN_MS 1000

/* What a log says of messages that are rejected for one reason, and of errors, at most once in so long. */
#define LOG_APART_MS 5000

struct ft_part {
    struct ft_relay *relay;
    uint32_t number;
    struct ft_follower *follower;
    struct ft_follower_figures counted; /* by relay->figures */
    bool is_joined;                     /* as the hub was told */
    bool is_careful;                    /* an answer was too large to be taken: ask for less */
    uint32_t floods;                    /* of the server, when it was asked */
    bool has_to_tell;                   /* Redis what there has been … */
    uint64_t tell_ms;                   /* … not before that */
    uint64_t born;                      /* when its latest stream began, by Redis' clock */
    uint32_t taken_us;                  /* when what is appended now has come */
    struct ft_lives_told lives;         /* in the last answer to joining */
    uint64_t failed_log_ms;
    struct {
        uint64_t messages, log_ms;
    } rejected[FT_MESSAGE_REASONS]; /* since the last line about each, and when that came */
    char *channel, *meta_key, *log_key;
};

static struct ft_server *server_of(const struct ft_part *part)
{
    return ft_relay_server(part->relay, part->number);
}

static const char *stream_of(const struct ft_part *part)
{
    uint64_t head;
    return ft_follower_stream(part->follower, &head);
}

/* ---- figures ---- */

/* Adds what the follower has counted since the last time. */
static void count(struct ft_part *part)
{
    struct ft_relay_figures *figures = &part->relay->figures;
    const struct ft_follower_figures *now = ft_follower_figures(part->follower);
    struct ft_follower_figures *last = &part->counted;
    if (memcmp(now, last, sizeof(*now)) == 0)
        return;
    ft_count(figures->relay_holes, now->holes - last->holes);
    ft_count(figures->relay_healed, now->healed - last->healed);
    ft_count(figures->relay_gaps, now->gaps - last->gaps);
    ft_count(figures->relay_warmed, now->warmed - last->warmed + (now->restored - last->restored));
    ft_count(&figures->relay_publications[FT_KIND_STORED], now->received - last->received);
    ft_count(&figures->relay_publications[FT_KIND_EPHEMERAL], now->ephemeral - last->ephemeral);
    *last = *now;
}

/* Says whether a line may come again; `*log_ms` is when the last one did. */
static bool is_time_to_log(const struct ft_part *part, uint64_t *log_ms)
{
    uint64_t now_ms = part->relay->now_ms;
    if (*log_ms != 0 && now_ms - *log_ms < LOG_APART_MS)
        return false;
    *log_ms = now_ms;
    return true;
}

static void on_rejected(void *context, enum ft_rejected_message why)
{
    static const struct {
        enum ft_rejected_label label;
        const char *name;
    } reasons[] = {
        [FT_MESSAGE_FOREIGN] = {FT_REJECTED_FOREIGN, "foreign"},
        [FT_MESSAGE_VERSION] = {FT_REJECTED_VERSION, "version"},
        [FT_MESSAGE_DAMAGED] = {FT_REJECTED_DAMAGED, "damaged"},
        [FT_MESSAGE_TOO_LARGE] = {FT_REJECTED_TOO_LARGE, "too_large"},
        [FT_MESSAGE_SPOOFED] = {FT_REJECTED_SPOOFED, "spoofed"},
        [FT_MESSAGE_CONFLICT] = {FT_REJECTED_CONFLICT, "conflict"},
    };
    struct ft_part *part = context;
    uint64_t *messages = &part->rejected[why].messages;
    ft_count(&part->relay->figures.relay_rejected[reasons[why].label], 1);
    ++*messages;
    if (!is_time_to_log(part, &part->rejected[why].log_ms))
        return;
    ft_log(FT_LOG_WARN, "relay_message_rejected", "partition=%u reason=%s messages=%llu",
           part->number, reasons[why].name, (unsigned long long)*messages);
    *messages = 0;
}

/* ---- to Redis ---- */

static bool send_command(struct ft_part *part, struct ft_buffer *command, ft_reply_fn fn)
{
    bool is_sent =
        !command->failed && ft_server_send(server_of(part), ft_buffer_slice(command), fn, part);
    ft_buffer_fini(command);
    return is_sent;
}

/* Says what an answer is worth, and logs an error. */
static enum ft_answer judge(struct ft_part *part, const redisReply *reply, const char *event)
{
    if (!reply)
        return FT_ANSWER_LOST;
    if (reply->type == REDIS_REPLY_ARRAY)
        return FT_ANSWER;
    if (!is_time_to_log(part, &part->failed_log_ms))
        return FT_ANSWER_ERROR;
    char text[256];
    ft_log(FT_LOG_WARN, event, "partition=%u redis=%s", part->number,
           ft_log_value(reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer of another kind",
                        text, sizeof(text)));
    return FT_ANSWER_ERROR;
}

static void on_subscribed(void *context, const redisReply *reply)
{
    struct ft_part *part = context;
    ft_follower_subscribed(part->follower, judge(part, reply, "relay_subscribe_failed"));
}

static bool subscribe(void *context)
{
    struct ft_part *part = context;
    if (ft_server_state(server_of(part)) != FT_SERVER_UP)
        return false;
    ft_server_subscribe(server_of(part), ft_slice_str(part->channel), on_subscribed, part);
    return true;
}

static void unsubscribe(void *context)
{
    struct ft_part *part = context;
    ft_server_unsubscribe(server_of(part), ft_slice_str(part->channel));
}

static void on_join(void *context, const redisReply *reply)
{
    struct ft_part *part = context;
    enum ft_answer answer = judge(part, reply, "relay_join_failed");
    if (answer == FT_ANSWER &&
        (reply->elements != 5 || reply->element[0]->type != REDIS_REPLY_STRING ||
         reply->element[0]->len != FT_STREAM_NAME_LEN ||
         reply->element[1]->type != REDIS_REPLY_INTEGER || reply->element[1]->integer < 0 ||
         reply->element[2]->type != REDIS_REPLY_INTEGER || reply->element[2]->integer < 0 ||
         reply->element[3]->type != REDIS_REPLY_INTEGER || reply->element[3]->integer < 0 ||
         reply->element[4]->type != REDIS_REPLY_STRING))
        answer = FT_ANSWER_ERROR;
    if (answer == FT_ANSWER) {
        ft_part_note_born(part, (uint64_t)reply->element[3]->integer);
        ft_lives_read(&part->lives, reply->element[0]->str, reply->element[4]->str);
        ft_lives_tell(&part->lives, part->relay->journal, part->number);
    }
    if (answer != FT_ANSWER)
        ft_follower_joined(part->follower, answer, ft_slice("", 0), 0, 0);
    else
        ft_follower_joined(part->follower, answer,
                           ft_slice(reply->element[0]->str, (size_t)reply->element[0]->len),
                           (uint64_t)reply->element[1]->integer,
                           (uint64_t)reply->element[2]->integer);
    count(part);
}

/* EVAL and not EVALSHA: it is rare, and so nobody has to have loaded it. Redis may have acknowledged more than has
 * come on the channel, and of another stream. */
static bool send_join(struct ft_part *part, const char *seen, uint64_t head, ft_reply_fn fn)
{
    uint8_t random[FT_STREAM_RANDOM_BYTES];
    FT_ASSERT(getrandom(random, sizeof(random), 0) == sizeof(random));
    char candidate[FT_STREAM_NAME_LEN + 1];
    ft_stream_name_of(part->number, random, candidate);
    struct ft_buffer command;
    ft_buffer_init(&command, COMMAND_MAX);
    ft_command_begin(&command, 12);
    ft_command_str(&command, "EVAL");
    ft_command_arg(&command, ft_script_text(FT_SCRIPT_JOIN));
    ft_command_str(&command, "2");
    ft_command_str(&command, part->meta_key);
    ft_command_str(&command, part->log_key);
    ft_command_str(&command, candidate);
    ft_command_str(&command, ft_server_life(server_of(part)));
    ft_command_uint(&command, part->born);
    ft_command_str(&command, seen);
    ft_command_uint(&command, head);
    ft_command_str(&command, ft_outgoing_acknowledged(part->relay->outgoing, part->number, &head));
    ft_command_uint(&command, head);
    return send_command(part, &command, fn);
}

static bool join(void *context, const char *seen, uint64_t head)
{
    return send_join(context, seen, head, on_join);
}

/* ---- without joining ---- */

static void on_told(void *context, const redisReply *reply)
{
    struct ft_part *part = context;
    enum ft_answer answer = judge(part, reply, "relay_join_failed");
    part->has_to_tell = answer == FT_ANSWER_ERROR;
    part->tell_ms = part->relay->now_ms + TELL_AGAIN_MS;
}

/* Redis may have lost what it has acknowledged to this node, or told it, while nobody listened here. Others would
 * not know, so it is told what there has been: that is what joining does, too. */
static void tell(struct ft_part *part)
{
    uint64_t head, acknowledged;
    const char *stream = ft_follower_stream(part->follower, &head);
    bool is_known =
        *stream || *ft_outgoing_acknowledged(part->relay->outgoing, part->number, &acknowledged);
    bool is_joining = ft_follower_state(part->follower) != FT_FOLLOWER_OFF;
    part->has_to_tell = is_known && !is_joining &&
                        !send_join(part, stream, ft_follower_confirmed(part->follower), on_told);
}

/* Other nodes may allow longer messages than this one: how many are an answer that is too large is found out. */
static uint32_t portion(const struct ft_part *part)
{
    size_t longest = part->is_careful ? FT_RELAY_DATA_MAX : part->relay->options.message_bytes;
    return ft_load_portion(longest);
}

static void note_flood(struct ft_part *part, enum ft_answer answer)
{
    if (answer == FT_ANSWER_LOST && ft_server_floods(server_of(part)) != part->floods)
        part->is_careful = true;
}

static void on_range(void *context, const redisReply *reply)
{
    struct ft_part *part = context;
    enum ft_answer answer = judge(part, reply, "relay_range_failed");
    struct ft_log_entry entries[FT_FOLLOWER_RANGE];
    uint32_t n = 0;
    part->taken_us = (uint32_t)ft_clock_mono_us();
    note_flood(part, answer);
    for (size_t i = 0; answer == FT_ANSWER && i < reply->elements; i++) {
        if (n == FT_FOLLOWER_RANGE || !ft_log_entry_read(reply->element[i], &entries[n++]))
            answer = FT_ANSWER_ERROR;
    }
    if (answer == FT_ANSWER && n < portion(part))
        part->is_careful = false; /* that was all */
    ft_follower_range(part->follower, answer, entries, n);
    count(part);
}

static uint32_t range(void *context, uint64_t ms, uint64_t after)
{
    struct ft_part *part = context;
    char from[64];
    snprintf(from, sizeof(from), "(%llu-%llu", (unsigned long long)ms, (unsigned long long)after);
    struct ft_buffer command;
    ft_buffer_init(&command, COMMAND_MAX);
    ft_command_begin(&command, 6);
    ft_command_str(&command, "XRANGE");
    ft_command_str(&command, part->log_key);
    ft_command_str(&command, from);
    ft_command_str(&command, "+");
    ft_command_str(&command, "COUNT");
    ft_command_uint(&command, portion(part));
    part->floods = ft_server_floods(server_of(part));
    bool is_sent = send_command(part, &command, on_range);
    ft_count(part->relay->figures.relay_reads, is_sent);
    return is_sent ? portion(part) : 0;
}

static void on_loaded(void *context, enum ft_answer answer)
{
    struct ft_part *part = context;
    part->taken_us = (uint32_t)ft_clock_mono_us();
    note_flood(part, answer);
    ft_follower_loaded(part->follower, answer);
    count(part);
}

static bool load(void *context, struct ft_loaded *loaded, const struct ft_load_plan *plan)
{
    struct ft_part *part = context;
    struct ft_load_plan mine = *plan;
    mine.portion = portion(part);
    part->floods = ft_server_floods(server_of(part));
    return ft_load_begin(part->relay, part->number, &mine, loaded, on_loaded, part);
}

/* ---- to the journal ---- */

static bool has_room(void *context)
{
    return ft_relay_has_room(((struct ft_part *)context)->relay);
}

static bool flush(void *context)
{
    return ft_relay_flush(((struct ft_part *)context)->relay);
}

static void forget_topics(void *context)
{
    struct ft_part *part = context;
    ft_journal_forget_topics(part->relay->journal, part->number);
}

static void open_stream(void *context, const char *name, uint64_t after)
{
    struct ft_part *part = context;
    ft_journal_open_stream(part->relay->journal, part->number, name, after);
    ft_lives_tell(&part->lives, part->relay->journal, part->number);
}

static void life(void *context, uint64_t base)
{
    struct ft_part *part = context;
    ft_lives_add(part->relay->journal, part->number, stream_of(part), base);
}

static uint64_t base_of(void *context, uint64_t seq)
{
    struct ft_part *part = context;
    return ft_lives_base(part->relay->journal, part->number, seq);
}

static void skip(void *context, uint64_t after)
{
    struct ft_part *part = context;
    ft_journal_skip(part->relay->journal, part->number, after);
}

static void take_in(const struct ft_part *part, struct ft_publication_spec *spec)
{
    (void)ft_relay_append(part->relay, ft_journal_build(part->relay->writer, spec));
}

static struct ft_intake intake_of(const struct ft_part *part)
{
    return (struct ft_intake){part->relay->now_ms, part->relay->wall_ms, part->taken_us};
}

static void append(void *context, const struct ft_follower_entry *entry)
{
    struct ft_part *part = context;
    char name[FT_STREAM_NAME_LEN + 1];
    struct ft_intake intake = intake_of(part);
    struct ft_publication_spec spec = ft_intake_entry(&intake, part->number, entry, name);
    take_in(part, &spec);
}

static void gap(void *context, uint64_t seq, uint64_t lost)
{
    struct ft_part *part = context;
    struct ft_intake intake = intake_of(part);
    struct ft_publication_spec spec = ft_intake_gap(&intake, part->number, seq);
    take_in(part, &spec);
    char count[24] = "unknown";
    if (lost != FT_LOST_UNKNOWN)
        snprintf(count, sizeof(count), "%llu", (unsigned long long)lost);
    if (part->is_joined)
        ft_log(FT_LOG_WARN, "relay_gap", "partition=%u stream=%s head=%llu lost=%s", part->number,
               stream_of(part), (unsigned long long)seq, count);
}

static void joined(void *context)
{
    struct ft_part *part = context;
    part->is_joined = true;
    ft_interest_joined(&part->relay->interest, part->number);
    ft_hub_wake(part->relay->hub); /* for who waits: perhaps nothing was appended that does */
    ft_log(FT_LOG_DEBUG, "relay_joined", "partition=%u stream=%s", part->number, stream_of(part));
}

static bool leave(void *context)
{
    struct ft_part *part = context;
    if (!ft_interest_leave(&part->relay->interest, part->number))
        return false;
    part->is_joined = false;
    ft_log(FT_LOG_DEBUG, "relay_left", "partition=%u stream=%s", part->number, stream_of(part));
    return true;
}

static const struct ft_follower_ops ops = {
    .subscribe = subscribe,
    .join = join,
    .range = range,
    .load = load,
    .unsubscribe = unsubscribe,
    .has_room = has_room,
    .flush = flush,
    .forget_topics = forget_topics,
    .open_stream = open_stream,
    .skip = skip,
    .life = life,
    .base = base_of,
    .append = append,
    .gap = gap,
    .joined = joined,
    .leave = leave,
    .rejected = on_rejected,
};

/* ---- from the relay ---- */

static char *text_of(const char *prefix, uint32_t number, const char *what)
{
    char text[512];
    snprintf(text, sizeof(text), what ? "%s:{%u}:%s" : "%s:{%u}", prefix, number, what);
    return ft_strdup(text);
}

struct ft_part *ft_part_new(struct ft_relay *relay, uint32_t number)
{
    struct ft_part *part = ft_alloc_zero(sizeof(*part));
    part->relay = relay;
    part->number = number;
    part->channel = text_of(relay->channel_prefix, number, NULL);
    part->meta_key = text_of(relay->prefix, number, "meta");
    part->log_key = text_of(relay->prefix, number, "log");
    struct ft_follower_options options = {
        .partition = number,
        .instance = relay->instance,
        .message_bytes = FT_RELAY_DATA_MAX,
    };
    part->follower = ft_follower_new(&options, &ops, part);
    return part;
}

void ft_part_free(struct ft_part *part)
{
    if (!part)
        return;
    ft_follower_free(part->follower);
    free(part->channel);
    free(part->meta_key);
    free(part->log_key);
    free(part);
}

static bool is_wanted(const struct ft_part *part)
{
    return ft_interest_is_wanted(&part->relay->interest, part->number);
}

void ft_part_note_born(struct ft_part *part, uint64_t ms)
{
    if (ms > part->born)
        part->born = ms;
}

void ft_part_up(struct ft_part *part)
{
    ft_follower_up(part->follower, is_wanted(part));
    tell(part);
}

void ft_part_down(struct ft_part *part)
{
    ft_follower_down(part->follower);
}

void ft_part_tick(struct ft_part *part)
{
    ft_follower_tick(part->follower, is_wanted(part), part->relay->now_ms);
    if (part->has_to_tell && part->relay->now_ms >= part->tell_ms &&
        ft_server_state(server_of(part)) == FT_SERVER_UP)
        tell(part);
    count(part);
}

void ft_part_message(struct ft_part *part, struct ft_slice payload)
{
    uint64_t ephemeral = ft_follower_figures(part->follower)->ephemeral;
    part->taken_us = (uint32_t)ft_clock_mono_us();
    ft_follower_message(part->follower, payload);
    enum ft_kind_label kind = ft_follower_figures(part->follower)->ephemeral != ephemeral
                                  ? FT_KIND_EPHEMERAL
                                  : FT_KIND_STORED;
    ft_count(&part->relay->figures.relay_messages[kind], 1);
    ft_count(&part->relay->figures.relay_bytes[kind], payload.len);
    count(part);
}

bool ft_part_is_joined(const struct ft_part *part)
{
    return ft_follower_state(part->follower) == FT_FOLLOWER_FOLLOWING;
}

void ft_part_heard(struct ft_part *part)
{
    ft_follower_heard(part->follower);
}

void ft_part_beat(struct ft_part *part, struct ft_slice stream, uint64_t head, uint64_t ms,
                  uint64_t base)
{
    if (base > 0 && base <= head && ft_slice_equal(stream, ft_slice_str(stream_of(part))))
        life(part, base);
    ft_follower_beat(part->follower, stream, head, ms);
    count(part);
}

void ft_part_resume(struct ft_part *part)
{
    ft_follower_resume(part->follower);
    count(part);
}

void ft_part_figures(const struct ft_part *part, struct ft_part_figures *figures)
{
    *figures = (struct ft_part_figures){
        .is_wanted = is_wanted(part),
        .is_joined = part->is_joined,
        .is_healing = ft_follower_is_healing(part->follower),
    };
    const char *stream = ft_follower_stream(part->follower, &figures->head);
    memcpy(figures->stream, stream, sizeof(figures->stream));
    uint64_t truth = ft_follower_truth(part->follower);
    if (truth > figures->head)
        figures->lag = ft_relay_lag(figures->head, truth,
                                    ft_lives_base(part->relay->journal, part->number, truth));
}

void ft_part_seen(const struct ft_part *part, char stream[FT_STREAM_NAME_LEN + 1], uint64_t *head)
{
    memcpy(stream, stream_of(part), FT_STREAM_NAME_LEN + 1);
    *head = ft_follower_confirmed(part->follower);
}
