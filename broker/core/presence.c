/*
 * Two hash tables with chains: topics by name, clients by topic and session. A client is in a list of its
 * topic and in the ring of all; a topic goes with its last client. Knows no session, no policy and no lock.
 */
#include "broker/core/presence.h"

#include "broker/base/alloc.h"
#include "broker/core/hash.h"
#include "protocol/msgpack_scan.h"

#include <stdlib.h>

/* The smallest table of either kind. */
#define FIRST_SLOTS 64

struct ft_presence_topic_ {
    struct ft_presence_topic_ *chain;
    uint64_t hash;
    struct ft_presence_client *first, *last;
    uint32_t count;
    uint8_t len;
    uint8_t text[];
};

struct ft_presence {
    struct ft_hash_keys keys;
    struct ft_presence_topic_ **topics;
    struct ft_presence_client **clients;
    uint32_t topic_slots, client_slots; /* powers of two */
    uint32_t topic_count, client_count, max;
    struct ft_presence_client *ring_first, *ring_last;
};

struct ft_presence *ft_presence_new(uint64_t seed, uint32_t max)
{
    struct ft_presence *p = ft_alloc_zero(sizeof(*p));
    ft_hash_keys_init(&p->keys, seed);
    p->max = max;
    p->topic_slots = p->client_slots = FIRST_SLOTS;
    p->topics = ft_alloc_zero(FIRST_SLOTS * sizeof(struct ft_presence_topic_ *));
    p->clients = ft_alloc_zero(FIRST_SLOTS * sizeof(struct ft_presence_client *));
    return p;
}

void ft_presence_free(struct ft_presence *p)
{
    if (!p)
        return;
    for (struct ft_presence_client *client = p->ring_first, *next; client; client = next) {
        next = client->ring_next_;
        free(client);
    }
    for (uint32_t i = 0; i < p->topic_slots; i++) {
        for (struct ft_presence_topic_ *topic = p->topics[i], *next; topic; topic = next) {
            next = topic->chain;
            free(topic);
        }
    }
    free(p->topics);
    free(p->clients);
    free(p);
}

/* ---- the tables ---- */

static struct ft_presence_topic_ **topic_place(const struct ft_presence *p, struct ft_slice topic,
                                               uint64_t hash)
{
    struct ft_presence_topic_ **place = &p->topics[hash & (p->topic_slots - 1)];
    while (*place && ((*place)->hash != hash ||
                      !ft_slice_equal(ft_slice((*place)->text, (*place)->len), topic)))
        place = &(*place)->chain;
    return place;
}

static uint64_t client_hash(const struct ft_presence *p, const struct ft_presence_topic_ *topic,
                            const char *session)
{
    return ft_hash_on(&p->keys, topic->hash, ft_slice(session, FT_PRESENT_SESSION_LEN));
}

static struct ft_presence_client **client_place(const struct ft_presence *p,
                                                const struct ft_presence_topic_ *topic,
                                                const char *session, uint64_t hash)
{
    struct ft_presence_client **place = &p->clients[hash & (p->client_slots - 1)];
    while (*place && ((*place)->topic_ != topic ||
                      memcmp((*place)->who.session, session, FT_PRESENT_SESSION_LEN) != 0))
        place = &(*place)->chain_;
    return place;
}

/* Both tables grow and shrink by doubling, so that a bucket holds one on average, or two. */
static void resize_topics(struct ft_presence *p, uint32_t slots)
{
    struct ft_presence_topic_ **before = p->topics, *topic, *next;
    uint32_t count = p->topic_slots;
    p->topics = ft_alloc_zero(slots * sizeof(struct ft_presence_topic_ *));
    p->topic_slots = slots;
    for (uint32_t i = 0; i < count; i++) {
        for (topic = before[i]; topic; topic = next) {
            struct ft_presence_topic_ **head = &p->topics[topic->hash & (slots - 1)];
            next = topic->chain;
            topic->chain = *head;
            *head = topic;
        }
    }
    free(before);
}

static void resize_clients(struct ft_presence *p, uint32_t slots)
{
    free(p->clients);
    p->clients = ft_alloc_zero(slots * sizeof(struct ft_presence_client *));
    p->client_slots = slots;
    for (struct ft_presence_client *client = p->ring_first; client; client = client->ring_next_) {
        struct ft_presence_client **head = &p->clients[client->hash_ & (slots - 1)];
        client->chain_ = *head;
        *head = client;
    }
}

/* Returns how many slots suit so many, given how many there are. */
static uint32_t slots_for(uint32_t slots, uint32_t count)
{
    if (count > slots)
        return 2 * slots;
    return slots > FIRST_SLOTS && count < slots / 8 ? slots / 2 : slots;
}

static void fit(struct ft_presence *p)
{
    uint32_t topics = slots_for(p->topic_slots, p->topic_count);
    uint32_t clients = slots_for(p->client_slots, p->client_count);
    if (topics != p->topic_slots)
        resize_topics(p, topics);
    if (clients != p->client_slots)
        resize_clients(p, clients);
}

/* ---- lists ---- */

static void ring_push(struct ft_presence *p, struct ft_presence_client *client)
{
    client->ring_next_ = NULL;
    client->ring_before_ = p->ring_last;
    *(p->ring_last ? &p->ring_last->ring_next_ : &p->ring_first) = client;
    p->ring_last = client;
}

static void ring_remove(struct ft_presence *p, struct ft_presence_client *client)
{
    struct ft_presence_client *next = client->ring_next_, *before = client->ring_before_;
    *(before ? &before->ring_next_ : &p->ring_first) = next;
    *(next ? &next->ring_before_ : &p->ring_last) = before;
}

static void topic_push(struct ft_presence_topic_ *topic, struct ft_presence_client *client)
{
    client->before_ = topic->last;
    *(topic->last ? &topic->last->next_ : &topic->first) = client;
    topic->last = client;
    topic->count++;
}

static void topic_remove(struct ft_presence_topic_ *topic, struct ft_presence_client *client)
{
    struct ft_presence_client *next = client->next_, *before = client->before_;
    *(before ? &before->next_ : &topic->first) = next;
    *(next ? &next->before_ : &topic->last) = before;
    topic->count--;
}

/* ---- joining and leaving ---- */

static struct ft_presence_topic_ *topic_new(struct ft_presence *p, struct ft_slice text,
                                            uint64_t hash)
{
    struct ft_presence_topic_ *topic = ft_alloc_zero(sizeof(*topic) + text.len);
    topic->hash = hash;
    topic->len = (uint8_t)text.len;
    memcpy(topic->text, text.ptr, text.len);
    p->topic_count++;
    return topic;
}

static struct ft_presence_client *client_new(const struct ft_present *who)
{
    FT_ASSERT(!who->user.ptr || who->user.len <= FT_PRESENT_USER_MAX);
    struct ft_presence_client *client = ft_alloc_zero(sizeof(*client) + who->user.len);
    client->who = *who;
    if (who->user.ptr) {
        client->who.user.ptr = (uint8_t *)(client + 1);
        memcpy(client + 1, who->user.ptr, who->user.len);
    }
    return client;
}

struct ft_presence_client *ft_presence_join(struct ft_presence *p, struct ft_slice topic,
                                            const struct ft_present *who)
{
    FT_ASSERT(topic.len <= FT_TOPIC_BYTES_MAX);
    if (p->client_count >= p->max || ft_presence_find(p, topic, who->session))
        return NULL;
    uint64_t hash = ft_hash(&p->keys, topic);
    struct ft_presence_topic_ **place = topic_place(p, topic, hash);
    if (!*place)
        *place = topic_new(p, topic, hash);
    struct ft_presence_client *client = client_new(who);
    client->topic_ = *place;
    client->hash_ = client_hash(p, client->topic_, who->session);
    *client_place(p, client->topic_, who->session, client->hash_) = client;
    topic_push(client->topic_, client);
    ring_push(p, client);
    p->client_count++;
    fit(p);
    return client;
}

struct ft_presence_client *ft_presence_find(const struct ft_presence *p, struct ft_slice topic,
                                            const char session[FT_PRESENT_SESSION_LEN])
{
    const struct ft_presence_topic_ *found = *topic_place(p, topic, ft_hash(&p->keys, topic));
    return found ? *client_place(p, found, session, client_hash(p, found, session)) : NULL;
}

void ft_presence_leave(struct ft_presence *p, struct ft_presence_client *client)
{
    struct ft_presence_topic_ *topic = client->topic_;
    *client_place(p, topic, client->who.session, client->hash_) = client->chain_;
    topic_remove(topic, client);
    ring_remove(p, client);
    free(client);
    p->client_count--;
    if (topic->count == 0) {
        *topic_place(p, ft_slice(topic->text, topic->len), topic->hash) = topic->chain;
        free(topic);
        p->topic_count--;
    }
    fit(p);
}

/* ---- looking ---- */

uint32_t ft_presence_count(const struct ft_presence *p, struct ft_slice topic,
                           const struct ft_presence_client **first)
{
    const struct ft_presence_topic_ *found = *topic_place(p, topic, ft_hash(&p->keys, topic));
    if (first)
        *first = found ? found->first : NULL;
    return found ? found->count : 0;
}

struct ft_slice ft_presence_topic(const struct ft_presence_client *client)
{
    return ft_slice(client->topic_->text, client->topic_->len);
}

struct ft_presence_client *ft_presence_turn(struct ft_presence *p)
{
    struct ft_presence_client *client = p->ring_first;
    if (client) {
        ring_remove(p, client);
        ring_push(p, client);
    }
    return client;
}

uint32_t ft_presence_clients(const struct ft_presence *p)
{
    return p->client_count;
}

uint32_t ft_presence_topics(const struct ft_presence *p)
{
    return p->topic_count;
}

/* ---- what is told ---- */

struct ft_slice ft_presence_event_topic(struct ft_slice topic, char text[FT_TOPIC_BYTES_MAX])
{
    size_t prefix = sizeof(FT_PRESENCE_PREFIX) - 1;
    if (prefix + topic.len > FT_TOPIC_BYTES_MAX)
        return ft_slice(NULL, 0);
    memcpy(text, FT_PRESENCE_PREFIX, prefix);
    memcpy(text + prefix, topic.ptr, topic.len);
    struct ft_slice told = ft_slice(text, prefix + topic.len);
    return ft_topic_check(told, NULL) == FT_OK ? told : ft_slice(NULL, 0);
}

static void write_who(struct ft_writer *w, const struct ft_present *who)
{
    ft_write_key(w, "session");
    ft_write_str(w, ft_slice(who->session, FT_PRESENT_SESSION_LEN));
    ft_write_key(w, "user");
    if (who->user.ptr)
        ft_write_str(w, who->user);
    else
        ft_write_null(w);
}

void ft_presence_write_event(struct ft_writer *w, bool is_join, const struct ft_present *who)
{
    ft_write_map(w, 3);
    ft_write_key(w, "event");
    ft_write_str(w, ft_slice_str(is_join ? "join" : "leave"));
    write_who(w, who);
}

void ft_presence_write_client(struct ft_writer *w, const struct ft_present *who)
{
    ft_write_map(w, 3);
    write_who(w, who);
    ft_write_key(w, "since");
    ft_write_uint(w, who->since_ms);
}

static bool read_key(struct ft_scan *scan, const char *key, struct ft_value *value)
{
    return ft_msgpack_item(scan, value) && value->kind == FT_VALUE_STR &&
           ft_slice_equal(value->text, ft_slice_str(key)) && ft_msgpack_item(scan, value);
}

bool ft_presence_read_client(struct ft_scan *scan, struct ft_present *who)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_MAP || value.num != 3)
        return false;
    if (!read_key(scan, "session", &value) || value.kind != FT_VALUE_STR ||
        value.text.len != FT_PRESENT_SESSION_LEN)
        return false;
    memcpy(who->session, value.text.ptr, FT_PRESENT_SESSION_LEN);
    if (!read_key(scan, "user", &value))
        return false;
    if (value.kind == FT_VALUE_STR ? value.text.len > FT_PRESENT_USER_MAX
                                   : value.kind != FT_VALUE_NULL)
        return false;
    who->user = value.kind == FT_VALUE_STR ? value.text : ft_slice(NULL, 0);
    if (!read_key(scan, "since", &value) || value.kind != FT_VALUE_UINT)
        return false;
    who->since_ms = value.num;
    return true;
}
