/* What is told of a session: looked up, written for people, and as nodes tell each other. What comes from another
 * node is foreign. */
#include "broker/hub/session_info.h"

#include "broker/hub/feed.h"
#include "broker/hub/worker.h"
#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"
#include "protocol/proxy_head.h"

_Static_assert(sizeof(((struct ft_session_texts *)NULL)->address) == FT_IP_TEXT_MAX,
               "room for an address");

/* Elements of a session, and of a query, between nodes. */
#define INFO_ITEMS  10
#define QUERY_ITEMS 4

#define PARKED  1
#define STALLED 2

/* ---- looking it up ---- */

void ft_session_info_of(const struct ft_session *s, struct ft_session_info *info,
                        struct ft_session_texts *texts)
{
    const struct ft_worker *w = s->asker.worker;
    const struct ft_ip *client = s->ops->client(s->conn);
    *info = (struct ft_session_info){
        .session = ft_slice(s->id, FT_SESSION_ID_LEN),
        .node = ft_slice_str(w->options->node),
        .user = ft_identity_user(s->asker.who),
        .frames = s->frames,
        .since_ms = w->hub->started_ms + (uint64_t)s->opened_ds * 100,
        .subscriptions = s->subscription_count,
        .outbox_bytes = s->outbox.bytes,
        .is_parked = s->feed && s->feed->is_parked,
        .is_stalled = s->stall != NULL,
    };
    if (client)
        info->address = ft_slice_str(ft_ip_text(client, texts->address));
    const struct ft_subscription *sub = s->subscriptions;
    for (uint32_t i = 0; sub && i < FT_SESSION_TOPICS_TOLD; i++, sub = sub->next) {
        char *text = texts->topics[i];
        info->topics[i] = ft_slice(text, ft_topic_trie_filter_of(w->trie, &sub->sub, text));
        info->topic_count++;
    }
}

/* ---- for who asked ---- */

static void tell_text(struct ft_writer *w, const char *key, struct ft_slice text)
{
    ft_write_key(w, key);
    if (text.ptr)
        ft_write_str(w, text);
    else
        ft_write_null(w);
}

static void tell_count(struct ft_writer *w, const char *key, uint64_t n)
{
    ft_write_key(w, key);
    ft_write_uint(w, n);
}

static void tell_bool(struct ft_writer *w, const char *key, bool is)
{
    ft_write_key(w, key);
    ft_write_bool(w, is);
}

void ft_session_info_tell(const struct ft_session_info *info, struct ft_writer *w)
{
    static const char *const encodings[] = {"json", "msgpack", "events"};
    ft_write_map(w, 11);
    tell_text(w, "session", info->session);
    tell_text(w, "node", info->node);
    tell_text(w, "user", info->user);
    tell_text(w, "address", info->address);
    tell_text(w, "encoding", ft_slice_str(encodings[info->frames]));
    tell_count(w, "since", info->since_ms);
    tell_count(w, "subscriptions", info->subscriptions);
    ft_write_key(w, "topics");
    ft_write_array(w, info->topic_count);
    for (uint32_t i = 0; i < info->topic_count; i++)
        ft_write_str(w, info->topics[i]);
    tell_count(w, "outbox_bytes", info->outbox_bytes);
    tell_bool(w, "parked", info->is_parked);
    tell_bool(w, "stalled", info->is_stalled);
}

/* ---- between nodes ---- */

void ft_session_info_write(const struct ft_session_info *info, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, INFO_ITEMS);
    ft_msgpack_out_text(out, info->session);
    ft_msgpack_out_text(out, info->node);
    ft_msgpack_out_text(out, info->user);
    ft_msgpack_out_text(out, info->address);
    msgpack_pack_uint64(&packer, info->frames);
    msgpack_pack_uint64(&packer, info->since_ms);
    msgpack_pack_uint64(&packer, info->subscriptions);
    msgpack_pack_uint64(&packer, info->outbox_bytes);
    msgpack_pack_uint64(&packer, (info->is_parked ? PARKED : 0) | (info->is_stalled ? STALLED : 0));
    msgpack_pack_array(&packer, info->topic_count);
    for (uint32_t i = 0; i < info->topic_count; i++)
        ft_msgpack_out_text(out, info->topics[i]);
}

static bool read_text(struct ft_scan *scan, size_t most, bool may_be_absent, struct ft_slice *text)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value))
        return false;
    *text = value.kind == FT_VALUE_STR ? value.text : ft_slice(NULL, 0);
    return value.kind == FT_VALUE_STR ? value.text.len <= most
                                      : may_be_absent && value.kind == FT_VALUE_NULL;
}

static bool read_uint(struct ft_scan *scan, uint64_t most, uint64_t *number)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_UINT || value.num > most)
        return false;
    *number = value.num;
    return true;
}

static bool read_topics(struct ft_scan *scan, struct ft_session_info *info)
{
    struct ft_value list;
    if (!ft_msgpack_item(scan, &list) || list.kind != FT_VALUE_ARRAY ||
        list.num > FT_SESSION_TOPICS_TOLD)
        return false;
    for (uint64_t i = 0; i < list.num; i++) {
        if (!read_text(scan, FT_TOPIC_BYTES_MAX, false, &info->topics[i]))
            return false;
    }
    info->topic_count = (uint32_t)list.num;
    return true;
}

static bool skip(struct ft_scan *scan, uint64_t items)
{
    struct ft_value skipped;
    for (; items > 0; items--) {
        if (!ft_msgpack_value(scan, &skipped))
            return false;
    }
    return true;
}

bool ft_session_info_read(struct ft_scan *scan, struct ft_session_info *info)
{
    struct ft_value head;
    uint64_t frames, flags;
    *info = (struct ft_session_info){0};
    if (!ft_msgpack_item(scan, &head) || head.kind != FT_VALUE_ARRAY || head.num < INFO_ITEMS ||
        !read_text(scan, FT_SESSION_ID_LEN, false, &info->session) ||
        !read_text(scan, FT_SESSION_NAME_MAX, false, &info->node) ||
        !read_text(scan, FT_SESSION_NAME_MAX, true, &info->user) ||
        !read_text(scan, FT_IP_TEXT_MAX, true, &info->address) ||
        !read_uint(scan, FT_FRAMES_KINDS - 1, &frames) ||
        !read_uint(scan, FT_INT_MAX, &info->since_ms) ||
        !read_uint(scan, FT_INT_MAX, &info->subscriptions) ||
        !read_uint(scan, FT_INT_MAX, &info->outbox_bytes) || !read_uint(scan, FT_INT_MAX, &flags) ||
        !read_topics(scan, info))
        return false;
    info->frames = (uint8_t)frames;
    info->is_parked = flags & PARKED;
    info->is_stalled = flags & STALLED;
    return skip(scan, head.num - INFO_ITEMS);
}

bool ft_session_infos_are_sound(struct ft_slice bytes)
{
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_session_info info;
    struct ft_value list;
    if (!ft_msgpack_item(&scan, &list) || list.kind != FT_VALUE_ARRAY ||
        list.num > FT_SESSIONS_LISTED_MAX)
        return false;
    for (uint64_t i = 0; i < list.num; i++) {
        if (!ft_session_info_read(&scan, &info))
            return false;
    }
    return scan.at == scan.end;
}

void ft_session_query_write(const struct ft_session_query *query, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, QUERY_ITEMS);
    msgpack_pack_uint64(&packer, query->limit);
    ft_msgpack_out_text(out, query->user);
    ft_msgpack_out_text(out, query->session);
    ft_msgpack_out_text(out, query->node);
}

bool ft_session_query_read(struct ft_slice bytes, struct ft_session_query *query)
{
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_value head;
    uint64_t limit;
    *query = (struct ft_session_query){0};
    if (!ft_msgpack_item(&scan, &head) || head.kind != FT_VALUE_ARRAY || head.num < QUERY_ITEMS ||
        !read_uint(&scan, FT_SESSIONS_LISTED_MAX, &limit) || limit == 0 ||
        !read_text(&scan, FT_SESSION_NAME_MAX, true, &query->user) ||
        !read_text(&scan, FT_SESSION_ID_LEN, true, &query->session) ||
        !read_text(&scan, FT_SESSION_NAME_MAX, true, &query->node))
        return false;
    query->limit = (uint32_t)limit;
    return skip(&scan, head.num - QUERY_ITEMS) && scan.at == scan.end;
}
