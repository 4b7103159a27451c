/*
 * Who is there: each node writes down its figures with its beats, the script adds the heads of its partitions
 * at that moment and the time, and whoever wants to know reads all of it. A value is two of MessagePack:
 *
 *     [ms, [[partition, stream, head, ms, base, …], …], …]                 by the script: Redis' truth
 *     [version, name, instance, broker's version, started_ms, connections,
 *      [[partition, stream, head], …], …]                                  by the node: how far it is
 *
 * so that the lag is of one moment, however old it is. Foreign, all of it. The relay's thread.
 */
#include "broker/relay/ask.h"

#include "broker/base/alloc.h"
#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"

#include <stdlib.h>

#define ROLL_VERSION 1

/* Longest text of a node: its name, its version. */
#define TEXT_MAX 255

/* ---- what this node says of itself ---- */

static void write_part(struct ft_buffer *out, const struct ft_part *part, uint32_t number)
{
    msgpack_packer packer = ft_msgpack_out(out);
    struct ft_part_figures figures;
    ft_part_figures(part, &figures);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_uint64(&packer, number);
    ft_msgpack_out_str(out, ft_slice_str(figures.stream));
    msgpack_pack_uint64(&packer, figures.head);
}

static bool is_told(struct ft_relay *relay, uint32_t k, const struct ft_server *server)
{
    return ft_relay_server(relay, k) == server && ft_part_is_joined(relay->parts[k]);
}

void ft_asks_describe(struct ft_asks *asks, struct ft_server *server, struct ft_buffer *out)
{
    struct ft_relay *relay = asks->relay;
    msgpack_packer packer = ft_msgpack_out(out);
    uint32_t joined = 0;
    for (uint32_t k = 0; k < relay->interest.partitions.count; k++)
        joined += is_told(relay, k, server);
    msgpack_pack_array(&packer, 7);
    msgpack_pack_uint64(&packer, ROLL_VERSION);
    ft_msgpack_out_str(out, ft_slice_str(relay->options.node));
    ft_msgpack_out_str(out, ft_slice(relay->instance, FT_INSTANCE_LEN));
    ft_msgpack_out_str(out, ft_slice_str(relay->options.version));
    msgpack_pack_uint64(&packer, relay->started_ms);
    msgpack_pack_uint64(&packer, relay->hub ? ft_hub_connections(relay->hub) : 0);
    msgpack_pack_array(&packer, joined);
    for (uint32_t k = 0; k < relay->interest.partitions.count; k++) {
        if (is_told(relay, k, server))
            write_part(out, relay->parts[k], k);
    }
}

/* ---- what others have said ---- */

/* A partition's head, by Redis or by a node. */
struct head {
    struct ft_slice stream;
    uint64_t head;
    uint64_t base; /* by Redis: of the life that `head` is of */
    bool is_there;
};

static bool read_array(struct ft_scan *scan, uint64_t least, uint64_t most, uint64_t *items)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_ARRAY || value.num < least ||
        value.num > most)
        return false;
    *items = value.num;
    return true;
}

static bool read_uint(struct ft_scan *scan, uint64_t *number)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_UINT || value.num > FT_INT_MAX)
        return false;
    *number = value.num;
    return true;
}

static bool read_text(struct ft_scan *scan, struct ft_slice *text)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value) || value.kind != FT_VALUE_STR || value.text.len > TEXT_MAX)
        return false;
    *text = value.text;
    return true;
}

/* Steps over elements that this version does not know. */
static bool skip(struct ft_scan *scan, uint64_t from, uint64_t to)
{
    struct ft_value value;
    for (; from < to; from++) {
        if (!ft_msgpack_value(scan, &value))
            return false;
    }
    return true;
}

/* Reads what may be behind a head: only Redis says it. */
static bool read_base(struct ft_scan *scan, uint64_t items, uint64_t *base)
{
    uint64_t ms;
    if (items < 5)
        return skip(scan, 3, items);
    return read_uint(scan, &ms) && read_uint(scan, base) && skip(scan, 5, items);
}

static bool read_heads(struct ft_scan *scan, struct head heads[FT_PARTITIONS_MAX])
{
    uint64_t count, items, k;
    if (!read_array(scan, 0, FT_PARTITIONS_MAX, &count))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!read_array(scan, 3, UINT16_MAX, &items) || !read_uint(scan, &k) ||
            k >= FT_PARTITIONS_MAX || heads[k].is_there || !read_text(scan, &heads[k].stream) ||
            !read_uint(scan, &heads[k].head) || !read_base(scan, items, &heads[k].base))
            return false;
        heads[k].is_there = true;
    }
    return true;
}

static bool read_truth(struct ft_scan *scan, uint64_t *ms, struct head *heads)
{
    uint64_t items;
    return read_array(scan, 2, UINT16_MAX, &items) && read_uint(scan, ms) &&
           read_heads(scan, heads) && skip(scan, 2, items);
}

static bool read_info(struct ft_scan *scan, struct ft_node_info *info, struct head *heads)
{
    uint64_t items, version;
    return read_array(scan, 7, UINT16_MAX, &items) && read_uint(scan, &version) &&
           version == ROLL_VERSION && read_text(scan, &info->name) &&
           read_text(scan, &info->instance) && info->instance.len == FT_INSTANCE_LEN &&
           read_text(scan, &info->version) && read_uint(scan, &info->started_ms) &&
           read_uint(scan, &info->connections) && read_heads(scan, heads) && skip(scan, 7, items) &&
           scan->at == scan->end;
}

static void add_lag(struct ft_roll_node *node, uint32_t partition, uint64_t lag)
{
    for (uint32_t i = 0; i < node->info.lag_count; i++) {
        if (node->lags[i].partition == partition)
            return;
    }
    if (node->info.lag_count == FT_PARTITIONS_MAX)
        return;
    if (!node->lags)
        node->lags = ft_alloc(FT_PARTITIONS_MAX * sizeof(*node->lags));
    node->lags[node->info.lag_count++] = (struct ft_node_lag){.partition = partition, .lag = lag};
}

static void add_lags(struct ft_roll_node *node, const struct head *truth, const struct head *known)
{
    for (uint32_t k = 0; k < FT_PARTITIONS_MAX; k++) {
        if (!known[k].is_there)
            continue;
        bool is_same = truth[k].is_there && ft_slice_equal(truth[k].stream, known[k].stream);
        uint64_t behind = ft_relay_lag(known[k].head, truth[k].head, truth[k].base);
        add_lag(node, k, is_same ? behind : UINT64_MAX);
    }
}

const struct ft_roll_node *ft_roll_find(const struct ft_roll *roll, struct ft_slice instance)
{
    for (uint32_t i = 0; i < roll->count; i++) {
        if (ft_slice_equal(roll->nodes[i].info.instance, instance))
            return &roll->nodes[i];
    }
    return NULL;
}

/* Finds a node, or a place for it; NULL: there are too many. */
static struct ft_roll_node *place(struct ft_roll *roll, struct ft_slice instance)
{
    struct ft_roll_node *found = (struct ft_roll_node *)ft_roll_find(roll, instance);
    if (found || roll->count == FT_NODES_MAX)
        return found;
    if ((roll->count & (roll->count - 1)) == 0)
        roll->nodes = ft_realloc(roll->nodes, (roll->count ? 2 * (size_t)roll->count : 1) *
                                                  sizeof(*roll->nodes));
    found = &roll->nodes[roll->count++];
    *found = (struct ft_roll_node){.info = {.seen_ms = UINT64_MAX}};
    return found;
}

/* Takes the newer of two, as each server keeps one. Texts move to the node's own memory. */
static void take_info(struct ft_roll_node *node, const struct ft_node_info *info)
{
    if (info->seen_ms >= node->info.seen_ms)
        return;
    uint8_t *bytes = ft_alloc(info->name.len + info->version.len + info->instance.len + 1);
    uint8_t *at = bytes;
    uint32_t lag_count = node->info.lag_count;
    free(node->bytes);
    node->bytes = bytes;
    node->info = *info;
    node->info.lag_count = lag_count;
    struct ft_slice *const texts[] = {&node->info.name, &node->info.version, &node->info.instance};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        memcpy(at, texts[i]->ptr, texts[i]->len);
        texts[i]->ptr = at;
        at += texts[i]->len;
    }
}

bool ft_roll_add(struct ft_roll *roll, struct ft_slice name, struct ft_slice value, uint64_t now_ms,
                 uint64_t *age_ms)
{
    struct head truth[FT_PARTITIONS_MAX] = {0}, known[FT_PARTITIONS_MAX] = {0};
    struct ft_scan scan = ft_scan_of(value);
    struct ft_node_info info = {0};
    uint64_t ms;
    if (!read_truth(&scan, &ms, truth) || !read_info(&scan, &info, known) ||
        !ft_slice_equal(info.name, name) || name.len == 0)
        return false;
    *age_ms = now_ms > ms ? now_ms - ms : 0;
    info.seen_ms = *age_ms;
    if (info.seen_ms > FT_NODE_AGE_MAX_MS)
        return true;
    struct ft_roll_node *node = place(roll, info.instance);
    if (node) {
        take_info(node, &info);
        add_lags(node, truth, known);
    }
    return true;
}

void ft_roll_fini(struct ft_roll *roll)
{
    for (uint32_t i = 0; i < roll->count; i++) {
        free(roll->nodes[i].bytes);
        free(roll->nodes[i].lags);
    }
    free(roll->nodes);
    *roll = (struct ft_roll){0};
}

/* ---- the list ---- */

/* Of itself a node knows more than it has told. */
static void add_self(struct ft_roll *roll, struct ft_relay *relay)
{
    struct ft_node_info info = {
        .name = ft_slice_str(relay->options.node),
        .version = ft_slice_str(relay->options.version),
        .instance = ft_slice(relay->instance, FT_INSTANCE_LEN),
        .started_ms = relay->started_ms,
        .connections = ft_hub_connections(relay->hub),
        .is_self = true,
    };
    struct ft_roll_node *self = place(roll, info.instance);
    if (!self)
        return;
    self->info.seen_ms = UINT64_MAX;
    self->info.lag_count = 0;
    take_info(self, &info);
    for (uint32_t k = 0; k < relay->interest.partitions.count; k++) {
        struct ft_part_figures figures;
        ft_part_figures(relay->parts[k], &figures);
        if (figures.is_joined)
            add_lag(self, k, figures.lag);
    }
}

static int by_name(const void *a, const void *b)
{
    struct ft_slice x = ((const struct ft_roll_node *)a)->info.name;
    struct ft_slice y = ((const struct ft_roll_node *)b)->info.name;
    int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
    return order ? order : (x.len > y.len) - (x.len < y.len);
}

static int by_partition(const void *a, const void *b)
{
    uint32_t x = ((const struct ft_node_lag *)a)->partition;
    uint32_t y = ((const struct ft_node_lag *)b)->partition;
    return (x > y) - (x < y);
}

void ft_roll_write(struct ft_roll *roll, struct ft_relay *relay, struct ft_buffer *out)
{
    struct ft_writer w;
    add_self(roll, relay);
    qsort(roll->nodes, roll->count, sizeof(*roll->nodes), by_name);
    ft_writer_init(&w, FT_MSGPACK, out);
    ft_write_map(&w, 1);
    ft_write_key(&w, "nodes");
    ft_write_array(&w, roll->count);
    for (uint32_t i = 0; i < roll->count; i++) {
        struct ft_roll_node *node = &roll->nodes[i];
        if (node->lags)
            qsort(node->lags, node->info.lag_count, sizeof(*node->lags), by_partition);
        node->info.lags = node->lags;
        ft_node_write(&w, &node->info, relay->wall_ms);
    }
}
