/* A node without sockets. Decides nothing: it runs the turns that the test asks for, and keeps what the
 * sessions send. */
#include "tests/unit/support/fake_node.h"

#include "broker/base/alloc.h"
#include "protocol/position.h"
#include "tests/unit/support/fake_relay.h"

#include <stdio.h>
#include <stdlib.h>

/* What a client may be sent in one test. */
#define SENT_MAX ((size_t)64 << 20)

static void note(struct ft_fake_client *client, struct ft_slice line)
{
    ft_buffer_add(&client->sent, line.ptr, line.len);
    ft_buffer_add(&client->sent, "\n", 1);
    uint8_t *end = ft_buffer_reserve(&client->sent, 1);
    FT_ASSERT(end);
    *end = '\0'; /* not counted: what comes next takes its place */
}

static void take_frame(struct ft_fake_client *client, uint8_t opcode, struct ft_slice payload)
{
    char text[32];
    if (client->on_frame) {
        client->on_frame(client, opcode, payload);
    } else if (opcode == 8) {
        int code = payload.len < 2 ? 1005 : payload.ptr[0] << 8 | payload.ptr[1];
        snprintf(text, sizeof(text), "close %d", code);
        note(client, ft_slice_str(text));
    } else {
        note(client, opcode == 9 ? ft_slice_str("ping") : payload);
    }
}

static void take_frames(struct ft_fake_client *client, struct ft_slice frames)
{
    for (size_t at = 0; at < frames.len;) {
        const uint8_t *p = frames.ptr + at;
        size_t header = p[1] < 126 ? 2 : p[1] == 126 ? 4 : 10, n = 0;
        if (header == 2)
            n = p[1];
        for (size_t i = 2; i < header; i++)
            n = n << 8 | p[i];
        FT_ASSERT(at + header + n <= frames.len); /* a write holds whole frames */
        take_frame(client, p[0] & 15, ft_slice(p + header, n));
        at += header + n;
    }
}

/* The same of an event stream: whole events, each with its empty line. */
static void take_events(struct ft_fake_client *client, struct ft_slice events)
{
    static const char end[] = "\n\n";
    for (size_t at = 0; at < events.len;) {
        const uint8_t *p = events.ptr + at;
        const uint8_t *found = memmem(p, events.len - at, end, 2);
        FT_ASSERT(found);
        client->on_frame(client, 1, ft_slice(p, (size_t)(found - p) + 1));
        at += (size_t)(found - p) + 2;
    }
}

static enum ft_write_result fake_write(void *conn, struct ft_slice frames)
{
    struct ft_fake_client *client = conn;
    if (client->is_dead)
        return FT_WRITE_DEAD;
    client->writes++;
    if (client->session.frames != FT_FRAMES_EVENTS)
        take_frames(client, frames);
    else if (client->on_frame)
        take_events(client, frames);
    else
        note(client, frames);
    if (client->takes == FT_FAKE_ALL)
        return FT_WRITE_DONE;
    FT_ASSERT(client->takes > 0); /* nothing is written to a socket that is full */
    return --client->takes == 0 ? FT_WRITE_BLOCKED : FT_WRITE_DONE;
}

static void fake_pause(void *conn, bool paused)
{
    ((struct ft_fake_client *)conn)->is_paused = paused;
}

static uint64_t fake_silence_ms(void *conn)
{
    return ((struct ft_fake_client *)conn)->silence_ms;
}

static uint64_t fake_taken_bytes(void *conn)
{
    return ((struct ft_fake_client *)conn)->taken_bytes;
}

static const struct ft_ip *fake_client(void *conn)
{
    static const struct ft_ip ip = {{[10] = 255, [11] = 255, [12] = 192, [14] = 2, [15] = 7}};
    (void)conn;
    return &ip;
}

static void fake_finish(void *conn, bool lingers)
{
    (void)lingers;
    ((struct ft_fake_client *)conn)->is_finished = true;
}

static void fake_kill(void *conn)
{
    ((struct ft_fake_client *)conn)->is_killed = true;
}

static const struct ft_conn_ops conn_ops = {
    .write = fake_write,
    .pause = fake_pause,
    .silence_ms = fake_silence_ms,
    .taken_bytes = fake_taken_bytes,
    .client = fake_client,
    .finish = fake_finish,
    .kill = fake_kill,
};

static void fake_wake(void *loops, uint32_t index)
{
    (void)index;
    ((struct ft_fake_node *)loops)->wakes++;
}

static void fake_hurry(void *loops, uint32_t index, uint32_t ms)
{
    (void)index;
    ((struct ft_fake_node *)loops)->hurry_ms = ms;
}

static const struct ft_loop_ops loop_ops = {fake_wake, fake_hurry};

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

void ft_fake_node_init_cluster(struct ft_fake_node *node, const struct ft_journal_options *journal,
                               const struct ft_hub_options *options, uint32_t workers,
                               struct ft_fake_relay *relay)
{
    *node = (struct ft_fake_node){.wall_ms = FT_FAKE_WALL_MS, .mono_ms = 1000};
    node->quotas = ft_quotas_new(&(struct ft_quota_limits){0});
    struct ft_journal_options kept = *journal;
    kept.stream = FT_FAKE_STREAM;
    DEFAULT(kept.size_bytes, (size_t)1 << 20);
    DEFAULT(kept.age_s, 300);
    if (relay)
        kept.streams = relay->interest.partitions.count;
    node->journal = ft_journal_new(&kept);
    struct ft_hub_options hub = *options;
    DEFAULT(hub.node, "n1");
    DEFAULT(hub.message_bytes, (size_t)1 << 16);
    DEFAULT(hub.topics, 1024);
    DEFAULT(hub.queue_bytes, 4096);
    DEFAULT(hub.flush_bytes, 1024);
    DEFAULT(hub.ping_s, 25);
    node->hub = ft_hub_new(&hub, node->journal, workers,
                           &(struct ft_hub_ports){
                               .loop_ops = &loop_ops,
                               .loops = node,
                               .gate_ops = &ft_fake_gate_ops,
                               .gate = &node->gate,
                               .quotas = node->quotas,
                               .relay_ops = relay ? &ft_fake_relay_ops : NULL,
                               .relay = relay,
                               .interest = relay ? &relay->interest : NULL,
                           });
}

void ft_fake_node_init(struct ft_fake_node *node, const struct ft_journal_options *journal,
                       const struct ft_hub_options *options, uint32_t workers)
{
    ft_fake_node_init_cluster(node, journal, options, workers, NULL);
}

void ft_fake_node_fini(struct ft_fake_node *node)
{
    for (uint32_t i = 0; i < node->hub->worker_count; i++) {
        const struct ft_roster *sessions = &node->hub->workers[i]->sessions;
        while (sessions->count > 0)
            ft_fake_client_close(sessions->entries[0].session->conn);
    }
    ft_hub_free(node->hub);
    ft_journal_free(node->journal);
    ft_quotas_free(node->quotas);
}

struct ft_worker *ft_fake_node_begin(struct ft_fake_node *node, uint32_t worker)
{
    ft_worker_begin_turn(node->hub->workers[worker], node->wall_ms, node->mono_ms);
    return node->hub->workers[worker];
}

bool ft_fake_node_end(struct ft_fake_node *node, uint32_t worker)
{
    return ft_worker_end_turn(node->hub->workers[worker]);
}

static void settle(struct ft_fake_node *node, bool is_tick)
{
    bool is_done = false;
    while (!is_done) {
        is_done = true;
        uint64_t head = ft_journal_head(node->journal);
        for (uint32_t i = 0; i < node->hub->worker_count; i++) {
            struct ft_worker *worker = ft_fake_node_begin(node, i);
            if (is_tick)
                ft_worker_tick(worker);
            if (!ft_fake_node_end(node, i) || worker->batch_len > 0)
                is_done = false;
        }
        is_tick = false;
        is_done = is_done && ft_journal_head(node->journal) == head;
    }
}

void ft_fake_node_settle(struct ft_fake_node *node)
{
    settle(node, false);
}

void ft_fake_node_pass(struct ft_fake_node *node, uint64_t ms)
{
    for (uint64_t end = node->mono_ms + ms; node->mono_ms < end;) {
        uint64_t before = node->mono_ms;
        node->mono_ms += end - before < 10 ? end - before : 10;
        node->wall_ms += node->mono_ms - before;
        settle(node, node->mono_ms / FT_WHEEL_TICK_MS != before / FT_WHEEL_TICK_MS);
    }
}

void ft_fake_client_open(struct ft_fake_node *node, struct ft_fake_client *client, uint32_t worker,
                         enum ft_frames frames)
{
    client->node = node;
    DEFAULT(client->takes, FT_FAKE_ALL);
    ft_buffer_init(&client->sent, SENT_MAX);
    ft_fake_node_begin(node, worker);
    DEFAULT(client->who,
            ft_identity_new(&(struct ft_identity_spec){.may_everything = true, .is_admin = true}));
    ft_session_open(&client->session, node->hub->workers[worker],
                    &(struct ft_session_options){
                        .frames = frames,
                        .ops = &conn_ops,
                        .conn = client,
                        .who = client->who,
                        .address = client->address,
                        .user = client->user,
                    });
    (void)ft_fake_node_end(node, worker);
    ft_fake_client_forget(client);
}

void ft_fake_client_close(struct ft_fake_client *client)
{
    struct ft_fake_node *node = client->node;
    uint32_t worker = client->session.asker.worker->index;
    ft_fake_node_begin(node, worker);
    ft_session_gone(&client->session);
    (void)ft_fake_node_end(node, worker);
    ft_buffer_fini(&client->sent);
}

void ft_fake_client_receive(struct ft_fake_client *client, struct ft_slice message)
{
    ft_session_receive(&client->session, &(struct ft_piece){
                                             .bytes = message,
                                             .is_text = client->session.frames == FT_FRAMES_JSON,
                                             .is_first = true,
                                             .is_last = true,
                                         });
}

void ft_fake_client_say(struct ft_fake_client *client, const char *text)
{
    uint32_t worker = client->session.asker.worker->index;
    ft_fake_node_begin(client->node, worker);
    ft_fake_client_receive(client, ft_slice_str(text));
    while (!ft_fake_node_end(client->node, worker))
        ft_fake_node_begin(client->node, worker);
}

void ft_fake_client_unblock(struct ft_fake_client *client, uint32_t takes)
{
    client->takes = takes;
    if (client->session.is_blocked)
        ft_session_writable(&client->session);
}

const char *ft_fake_client_sent(const struct ft_fake_client *client)
{
    return client->sent.len > 0 ? (const char *)client->sent.ptr : "";
}

/* Returns the offset that an envelope names, UINT64_MAX: none. */
static uint64_t offset_of(const struct ft_envelope *envelope)
{
    uint8_t text[FT_POSITION_BYTES_MAX];
    size_t at = 0;
    struct ft_slice pos = envelope->pos;
    struct ft_position_parts parts = {.offset = UINT64_MAX};
    if (envelope->positions.count > 0)
        FT_ASSERT(ft_list_next(&envelope->positions, &at, text, sizeof(text), &pos) == FT_OK);
    if (pos.ptr)
        FT_ASSERT(ft_position_read(pos, &parts, NULL) == FT_OK);
    return parts.offset;
}

static int tell_envelope(const struct ft_envelope *e, char *out, size_t size)
{
    if (e->op == FT_OP_MSG)
        return snprintf(out, size, "%.*s=%.*s%s", (int)e->topic.len, (const char *)e->topic.ptr,
                        (int)e->data.bytes.len, (const char *)e->data.bytes.ptr,
                        e->retained ? "*" : "");
    if (e->op == FT_OP_ERROR)
        return snprintf(out, size, "error(%d)", (int)e->code);
    if (e->op == FT_OP_GAP && e->has_lost)
        return snprintf(out, size, "gap(%d)", (int)e->lost);
    return snprintf(out, size, "%s%s%s", ft_op_name(e->op), e->duplicate ? "=" : "",
                    !e->has_recovered ? ""
                    : e->recovered    ? "+"
                                      : "-");
}

static int tell(struct ft_slice line, char *out, size_t size)
{
    static uint8_t scratch[1 << 16];
    int code;
    if (sscanf((const char *)line.ptr, "close %d", &code) == 1)
        return snprintf(out, size, "close(%d)", code);
    if (line.ptr[0] != '{')
        return snprintf(out, size, "%.*s", (int)line.len, (const char *)line.ptr);
    struct ft_reader reader;
    struct ft_envelope envelope;
    FT_ASSERT(line.len <= sizeof(scratch));
    FT_ASSERT(ft_reader_begin(&reader, FT_JSON, line, scratch, NULL) == FT_OK);
    FT_ASSERT(ft_reader_next(&reader, &envelope, NULL) == FT_OK);
    int n = tell_envelope(&envelope, out, size);
    uint64_t offset = offset_of(&envelope);
    if (offset != UINT64_MAX)
        n += snprintf(out + n, size - (size_t)n, "@%llu", (unsigned long long)offset);
    return n;
}

const char *ft_fake_client_told(struct ft_fake_client *client)
{
    static char told[1 << 16];
    size_t n = 0;
    const char *line = ft_fake_client_sent(client);
    told[0] = '\0';
    for (; *line; line = strchr(line, '\n') + 1) {
        FT_ASSERT(n + 600 < sizeof(told));
        if (n > 0)
            told[n++] = ' ';
        struct ft_slice text = ft_slice(line, (size_t)(strchr(line, '\n') - line));
        n += (size_t)tell(text, told + n, sizeof(told) - n);
    }
    ft_fake_client_forget(client);
    return told;
}

void ft_fake_client_forget(struct ft_fake_client *client)
{
    ft_buffer_clear(&client->sent);
}
