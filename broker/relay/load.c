/*
 * Reading what was there before: see the header. Each portion is asked for when the one before it has come.
 */
#include "broker/relay/load.h"

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/relay/log_entry.h"
#include "broker/relay/private.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* Lists on their way at once. */
#define LISTS 16

/* What a portion shall have at most, in bytes; and the least that a message of several publications may have. */
#define PORTION_BYTES ((size_t)50 * 1024 * 1024)
#define MESSAGE_BYTES ((size_t)128 * 1024)

#define KEY_MAX 256

struct ft_load {
    struct ft_relay *relay;
    uint32_t partition;
    struct ft_load_plan plan;
    struct ft_loaded *loaded;
    ft_load_fn done;
    void *context;
    size_t budget; /* bytes, for the log and for the rest */
    char cursor[24];
    struct ft_slice
        *topics; /* owned; of one answer: a small set comes whole, and Redis says what is small */
    uint32_t topics_count, topics_at;
    uint32_t waiting; /* answers that are to come */
    bool is_lost, has_failed;
};

static void read_last(struct ft_load *load);
static void read_topics(struct ft_load *load);

static void finish(struct ft_load *load)
{
    for (uint32_t i = load->topics_at; i < load->topics_count; i++)
        free((void *)load->topics[i].ptr);
    free(load->topics);
    ft_loaded_seal(load->loaded);
    ft_load_fn done = load->done;
    void *context = load->context;
    enum ft_answer answer = load->is_lost      ? FT_ANSWER_LOST
                            : load->has_failed ? FT_ANSWER_ERROR
                                               : FT_ANSWER;
    free(load);
    done(context, answer);
}

static const char *key_of(const struct ft_load *load, const char *what, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%s:{%u}:%s", load->relay->prefix, load->partition, what);
    return key;
}

/* Sends a command; where that cannot be, all is lost. */
static bool send_command(struct ft_load *load, struct ft_buffer *command, ft_reply_fn fn,
                         void *context)
{
    struct ft_server *server = ft_relay_server(load->relay, load->partition);
    bool is_sent =
        !command->failed && ft_server_send(server, ft_buffer_slice(command), fn, context);
    ft_buffer_fini(command);
    load->waiting += is_sent;
    load->is_lost = load->is_lost || !is_sent;
    ft_count(load->relay->figures.relay_reads, is_sent);
    return is_sent;
}

/* Takes an answer in; false: nothing is to be done with it. */
static bool came(struct ft_load *load, const redisReply *reply)
{
    load->waiting--;
    if (!reply)
        load->is_lost = true;
    else if (reply->type == REDIS_REPLY_ERROR) {
        char text[256];
        if (!load->has_failed)
            ft_log(FT_LOG_WARN, "relay_load_failed", "partition=%u redis=%s", load->partition,
                   ft_log_value(reply->str, text, sizeof(text)));
        load->has_failed = true;
    } else if (reply->type == REDIS_REPLY_ARRAY)
        return true;
    return false;
}

/* ---- histories ---- */

/* One list, read from its newest end. */
struct list {
    struct ft_load *load;
    uint32_t at; /* so many were read */
    size_t topic_len;
    uint8_t topic[];
};

static void read_lists(struct ft_load *load);
static bool read_list(struct list *list);

static bool has_room(const struct ft_load *load)
{
    return !load->is_lost && ft_loaded_kept_bytes(load->loaded) < load->budget;
}

static void on_list(void *context, const redisReply *reply)
{
    struct list *list = context;
    struct ft_load *load = list->load;
    bool is_more = false;
    if (came(load, reply)) {
        for (size_t i = 0; i < reply->elements; i++) {
            const redisReply *one = reply->element[i];
            if (one->type == REDIS_REPLY_STRING)
                ft_loaded_add_history(load->loaded, ft_slice(one->str, (size_t)one->len));
        }
        is_more = reply->elements == load->plan.portion && has_room(load);
        list->at += load->plan.portion;
    }
    if (!is_more || !read_list(list))
        free(list);
    if (load->waiting < LISTS)
        read_lists(load);
}

/* Asks for the next portion of a list. What is added to it meanwhile comes twice, and counts once. */
static bool read_list(struct list *list)
{
    struct ft_load *load = list->load;
    char key[KEY_MAX], from[16], to[16];
    snprintf(from, sizeof(from), "-%u", list->at + load->plan.portion);
    snprintf(to, sizeof(to), "-%u", list->at + 1);
    key_of(load, "topic:", key);
    struct ft_buffer command;
    ft_buffer_init(&command, 4 * KEY_MAX + list->topic_len);
    ft_command_begin(&command, 4);
    ft_command_str(&command, "LRANGE");
    ft_command_open(&command, strlen(key) + list->topic_len);
    ft_buffer_add_str(&command, key);
    ft_buffer_add(&command, list->topic, list->topic_len);
    ft_command_close(&command);
    ft_command_str(&command, from);
    ft_command_str(&command, to);
    return send_command(load, &command, on_list, list);
}

static void read_lists(struct ft_load *load)
{
    while (has_room(load) && load->topics_at < load->topics_count && load->waiting < LISTS) {
        struct ft_slice topic = load->topics[load->topics_at++];
        struct list *list = ft_alloc_zero(sizeof(*list) + topic.len);
        list->load = load;
        list->topic_len = topic.len;
        memcpy(list->topic, topic.ptr, topic.len);
        free((void *)topic.ptr);
        if (!read_list(list))
            free(list);
    }
    if (load->waiting == 0)
        read_topics(load);
}

/* Sends "<NAME> key cursor COUNT n". */
static void scan(struct ft_load *load, const char *name, const char *what, ft_reply_fn fn)
{
    char key[KEY_MAX];
    struct ft_buffer command;
    ft_buffer_init(&command, 4 * KEY_MAX);
    ft_command_begin(&command, 5);
    ft_command_str(&command, name);
    ft_command_str(&command, key_of(load, what, key));
    ft_command_str(&command, load->cursor);
    ft_command_str(&command, "COUNT");
    ft_command_uint(&command, load->plan.portion);
    if (!send_command(load, &command, fn, load) && load->waiting == 0)
        finish(load);
}

/* Reads [cursor, [a, b, …]] of a scan, and notes the cursor; NULL: it is nothing like that. */
static const redisReply *scanned(struct ft_load *load, const redisReply *reply)
{
    const redisReply *cursor = reply->elements == 2 ? reply->element[0] : NULL;
    if (!cursor || cursor->type != REDIS_REPLY_STRING ||
        (size_t)cursor->len >= sizeof(load->cursor) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY) {
        load->has_failed = true;
        strcpy(load->cursor, "0");
        return NULL;
    }
    memcpy(load->cursor, cursor->str, (size_t)cursor->len + 1);
    return reply->element[1];
}

static bool is_through(const struct ft_load *load)
{
    return strcmp(load->cursor, "0") == 0;
}

static void on_topics(void *context, const redisReply *reply)
{
    struct ft_load *load = context;
    const redisReply *pairs = came(load, reply) ? scanned(load, reply) : NULL;
    load->topics_count = load->topics_at = 0;
    if (pairs)
        load->topics = ft_realloc(load->topics, (pairs->elements / 2 + 1) * sizeof(*load->topics));
    for (size_t i = 0; pairs && i + 1 < pairs->elements; i += 2) {
        const redisReply *topic = pairs->element[i];
        if (topic->type != REDIS_REPLY_STRING)
            continue;
        uint8_t *copy = ft_alloc((size_t)topic->len + 1);
        memcpy(copy, topic->str, (size_t)topic->len);
        load->topics[load->topics_count++] = ft_slice(copy, (size_t)topic->len);
    }
    if (!pairs)
        strcpy(load->cursor, "0");
    read_lists(load);
}

/* Asks for the next topics that have a history; the first time the cursor is empty. */
static void read_topics(struct ft_load *load)
{
    bool is_first = *load->cursor == '\0';
    if (!has_room(load) || (!is_first && is_through(load))) {
        finish(load);
        return;
    }
    if (is_first)
        strcpy(load->cursor, "0");
    scan(load, "ZSCAN", "topics", on_topics);
}

/* ---- last values ---- */

static void on_last(void *context, const redisReply *reply)
{
    struct ft_load *load = context;
    const redisReply *pairs = came(load, reply) ? scanned(load, reply) : NULL;
    for (size_t i = 0; pairs && i + 1 < pairs->elements; i += 2) {
        const redisReply *value = pairs->element[i + 1];
        if (value->type == REDIS_REPLY_STRING)
            ft_loaded_add_last(load->loaded, ft_slice(value->str, (size_t)value->len));
    }
    if (pairs && has_room(load) && !is_through(load)) {
        read_last(load);
        return;
    }
    *load->cursor = '\0';
    read_topics(load);
}

static void read_last(struct ft_load *load)
{
    scan(load, "HSCAN", "last", on_last);
}

static void begin_last(struct ft_load *load)
{
    strcpy(load->cursor, "0");
    read_last(load);
}

/* ---- the log ---- */

static void read_log(struct ft_load *load, uint64_t ms, uint64_t last);

/* Adds a portion, and says where the next one begins; false: that was all. */
static bool add_portion(struct ft_load *load, const redisReply *reply, struct ft_log_entry *entry)
{
    uint64_t age_ms = (uint64_t)load->relay->options.age_s * 1000;
    uint64_t wall_ms = load->relay->wall_ms;
    for (size_t i = 0; i < reply->elements; i++) {
        if (!ft_log_entry_read(reply->element[i], entry) || entry->ms + age_ms < wall_ms ||
            !ft_loaded_add_log(load->loaded, entry->message) ||
            ft_loaded_log_bytes(load->loaded) >= load->budget)
            return false;
    }
    return reply->elements == load->plan.portion;
}

static void on_log(void *context, const redisReply *reply)
{
    struct ft_load *load = context;
    struct ft_log_entry entry;
    if (!came(load, reply) || !add_portion(load, reply, &entry))
        begin_last(load);
    else
        read_log(load, entry.ms, entry.last - 1);
}

static void read_log(struct ft_load *load, uint64_t ms, uint64_t last)
{
    char key[KEY_MAX], from[64];
    snprintf(from, sizeof(from), "%llu-%llu", (unsigned long long)ms, (unsigned long long)last);
    struct ft_buffer command;
    ft_buffer_init(&command, 4 * KEY_MAX);
    ft_command_begin(&command, 6);
    ft_command_str(&command, "XREVRANGE");
    ft_command_str(&command, key_of(load, "log", key));
    ft_command_str(&command, from);
    ft_command_str(&command, "-");
    ft_command_str(&command, "COUNT");
    ft_command_uint(&command, load->plan.portion);
    if (!send_command(load, &command, on_log, load) && load->waiting == 0)
        finish(load);
}

uint32_t ft_load_portion(size_t message_bytes)
{
    size_t largest = message_bytes + MESSAGE_BYTES;
    size_t n = PORTION_BYTES / largest;
    return n == 0 ? 1 : n < FT_FOLLOWER_RANGE ? (uint32_t)n : FT_FOLLOWER_RANGE;
}

bool ft_load_begin(struct ft_relay *relay, uint32_t partition, const struct ft_load_plan *plan,
                   struct ft_loaded *loaded, ft_load_fn done, void *context)
{
    if (ft_server_state(ft_relay_server(relay, partition)) != FT_SERVER_UP)
        return false;
    struct ft_load *load = ft_alloc_zero(sizeof(*load));
    load->relay = relay;
    load->partition = partition;
    load->plan = *plan;
    load->loaded = loaded;
    load->done = done;
    load->context = context;
    load->budget = relay->options.journal_bytes / relay->options.partitions.count;
    if (plan->is_warm)
        read_log(load, plan->ms, plan->head);
    else
        begin_last(load);
    return true;
}
