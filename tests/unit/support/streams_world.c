/* Partitions and the nodes that follow them, as the relay would: see the header. */
#include "tests/unit/support/streams_world.h"

#include "tests/unit/support/input.h"

const char *const ft_model_topics[TOPICS] = {"a/1", "a/2", "b/1", "b/2",
                                             "c/1", "c/2", "d/1", "d/2"};
const char *const ft_model_filters[FILTERS] = {"#",   "a/#", "b/+", "+/1",
                                               "c/1", "d/#", "+/2", "a/1"};

uint64_t ft_model_below(struct ft_model *m, uint64_t limit)
{
    return ft_input_random(&m->random, limit);
}

bool ft_model_one_in(struct ft_model *m, uint64_t n)
{
    return n > 0 && ft_model_below(m, n) == 0;
}

/* ---- the partitions, and how nodes follow them ---- */

void ft_model_new_stream(struct ft_model *m, uint32_t partition)
{
    uint8_t random[FT_STREAM_RANDOM_BYTES];
    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)ft_model_below(m, 256);
    cr_assert_lt(m->names, NAMES);
    struct ft_model_stream *stream = &m->streams[m->names];
    ft_stream_name_of(partition, random, stream->name);
    stream->partition = partition;
    m->current[partition] = m->names++;
}

void ft_model_publish(struct ft_model *m)
{
    uint32_t topic = (uint32_t)ft_model_below(m, TOPICS);
    struct ft_model_stream *stream = &m->streams[m->current[m->partition_of[topic]]];
    if (stream->head + 1 >= SEQS)
        return;
    stream->topic[++stream->head] = (uint8_t)topic;
    stream->is_retained[stream->head] = ft_model_one_in(m, 6);
}

static void append(struct ft_model_node *node, struct ft_publication_spec *spec)
{
    struct ft_publication *p = ft_journal_build(node->writer, spec);
    while (!ft_journal_append(node->writer, &p, 1, 1))
        ft_fake_node_settle(&node->fake);
}

static void add(struct ft_model *m, struct ft_model_node *node, uint32_t k, uint64_t seq,
                enum ft_entry entry)
{
    const struct ft_model_stream *stream = &m->streams[node->name[k]];
    char data[32];
    snprintf(data, sizeof(data), "%lu", (unsigned long)seq);
    append(node, &(struct ft_publication_spec){
                     .encoding = FT_JSON,
                     .topic = ft_slice_str(ft_model_topics[stream->topic[seq]]),
                     .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str(data)},
                     .at_ms = FT_FAKE_WALL_MS,
                     .accepted_s = 1,
                     .is_retained = stream->is_retained[seq],
                     .entry = (uint8_t)entry,
                     .stream_index = (uint16_t)k,
                     .seq = seq,
                     .name = stream->name,
                 });
}

static void mark(struct ft_model *m, struct ft_model_node *node, uint32_t k)
{
    append(node, &(struct ft_publication_spec){.entry = FT_ENTRY_GAP, .stream_index = (uint16_t)k});
    node->gap[k] = node->applied[k];
    node->marks[k]++;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct ft_model_client *c = m->clients[i];
        bool is_touched = false;
        for (uint32_t f = 0; c && f < FILTERS; f++)
            is_touched = is_touched || ((c->active & ~c->asked) >> f & 1 && m->touches[f][k]);
        if (!c || !c->is_connected || c->node != node)
            continue;
        c->most_gaps++;
        c->least_gaps += is_touched && c->is_ok && !c->is_deaf;
    }
}

void ft_model_add_ephemeral(struct ft_model_node *node)
{
    append(node, &(struct ft_publication_spec){
                     .encoding = FT_JSON,
                     .topic = ft_slice_str(EPHEMERAL),
                     .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("1")},
                     .accepted_s = 1,
                     .is_ephemeral = true,
                 });
}

/* Takes up a stream: what topics keep, what the log still has, then a gap. */
static void join(struct ft_model *m, struct ft_model_node *node, uint32_t k)
{
    const struct ft_model_stream *stream = &m->streams[m->current[k]];
    uint64_t before = stream->head - ft_model_below(m, stream->head < 40 ? stream->head + 1 : 40);
    uint64_t kept[TOPICS] = {0};
    node->name[k] = m->current[k];
    ft_journal_forget_topics(node->fake.journal, k);
    for (uint64_t seq = 1; seq <= before; seq++) {
        if (stream->is_retained[seq])
            kept[stream->topic[seq]] = seq;
    }
    for (uint32_t t = 0; t < TOPICS; t++) {
        if (kept[t] > 0)
            add(m, node, k, kept[t], FT_ENTRY_RESTORED);
    }
    ft_journal_open_stream(node->fake.journal, k, stream->name, before);
    for (uint64_t seq = before + 1; seq <= stream->head; seq++, m->warmed++)
        add(m, node, k, seq, FT_ENTRY_WARM);
    node->applied[k] = stream->head;
    node->is_stale[k] = false;
    mark(m, node, k);
    ft_interest_joined(&node->relay.interest, k);
}

/* Lets a node go on in a partition. */
void ft_model_follow(struct ft_model *m, struct ft_model_node *node, uint32_t k, bool is_sound)
{
    const struct ft_model_stream *stream = &m->streams[m->current[k]];
    if (node->name[k] != m->current[k]) {
        join(m, node, k);
        return;
    }
    uint64_t left = stream->head - node->applied[k];
    if (!is_sound && left > 0 && ft_model_one_in(m, m->plan->loses)) {
        uint64_t lost = 1 + ft_model_below(m, left);
        node->applied[k] += lost;
        node->is_stale[k] = true;
        ft_journal_open_stream(node->fake.journal, k, stream->name, node->applied[k]);
        mark(m, node, k);
    } else if (left > 0) {
        add(m, node, k, ++node->applied[k], FT_ENTRY_LIVE);
    }
}

void ft_model_node_begin(struct ft_model *m, struct ft_model_node *node)
{
    *node = (struct ft_model_node){0};
    ft_fake_relay_init(&node->relay, &m->partitions);
    ft_fake_node_init_cluster(&node->fake,
                              &(struct ft_journal_options){.size_bytes = m->plan->journal_bytes,
                                                           .chunk_bytes = 4096,
                                                           .age_s = 100000,
                                                           .seed = m->plan->seed},
                              &(struct ft_hub_options){.queue_bytes = 2048, .flush_bytes = 1024}, 1,
                              &node->relay);
    node->writer = ft_journal_writer_new(node->fake.journal);
    for (uint32_t k = 0; k < PARTITIONS; k++)
        join(m, node, k);
}

void ft_model_node_end(struct ft_model_node *node)
{
    ft_journal_writer_free(node->writer);
    ft_fake_relay_fini(&node->relay);
    ft_fake_node_fini(&node->fake);
}
