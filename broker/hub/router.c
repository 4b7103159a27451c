/*
 * The fan-out: from a publication in the journal to the outboxes of the sessions whose filters match.
 * Copies nothing and writes nothing; it hands out offsets. One worker's thread.
 */
#include "broker/hub/router.h"

/*
 * Publications of one topic that follow each other in the journal are routed as one run: one look
 * into the trie and one item per session for all of them. Their lengths are added up once per
 * encoding, on first need, which is also when a second encoding is made.
 */
struct run {
    struct ft_journal *journal;
    uint64_t offset;
    uint32_t count;
    struct ft_slice topic;
    bool is_measured[FT_ENCODINGS];
    size_t bytes[FT_ENCODINGS];
};

/* Begins a run at `offset`, which is there, and extends it as far as topic and `last` allow. */
static void run_begin(struct run *run, struct ft_journal *journal, uint64_t offset, uint64_t last)
{
    const struct ft_publication *p = ft_journal_peek(journal, offset);
    *run = (struct run){
        .journal = journal,
        .offset = offset,
        .count = 1,
        .topic = ft_publication_topic(p),
    };
    while (offset + run->count <= last && run->count < FT_RUN_MAX) {
        p = ft_journal_peek(journal, offset + run->count);
        if (!ft_slice_equal(ft_publication_topic(p), run->topic))
            break;
        run->count++;
    }
}

static size_t run_bytes(struct run *run, enum ft_encoding encoding)
{
    if (!run->is_measured[encoding]) {
        for (uint32_t i = 0; i < run->count; i++) {
            const struct ft_publication *p = ft_journal_peek(run->journal, run->offset + i);
            run->bytes[encoding] += ft_journal_frame(run->journal, p, encoding).len;
        }
        run->is_measured[encoding] = true;
    }
    return run->bytes[encoding];
}

/* Queues the run with every session that has a matching filter, once. */
static void route(struct ft_worker *worker, struct run *run)
{
    const struct ft_trie_set *sets;
    uint32_t n = ft_topic_trie_match(worker->trie, run->topic, &sets);
    uint64_t match = ++worker->match_serial;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < sets[i].count; k++) {
            const struct ft_subscription *subscription =
                (const struct ft_subscription *)sets[i].subs[k];
            struct ft_session *session = subscription->session;
            if (session->match == match)
                continue;
            session->match = match;
            ft_session_deliver(session, run->offset, run->count, run_bytes(run, session->encoding));
        }
    }
}

bool ft_router_run(struct ft_worker *worker, size_t bytes)
{
    struct ft_journal *journal = worker->hub->journal;
    uint64_t head = ft_journal_head(journal);
    uint64_t cursor = worker->cursor;
    if (ft_topic_trie_subs(worker->trie) == 0) {
        worker->cursor = head; /* nobody to route to */
        return true;
    }
    if (cursor == head)
        return true;
    for (size_t routed = 0; cursor < head && routed < bytes;) {
        struct run run;
        run_begin(&run, journal, cursor + 1, head);
        route(worker, &run);
        cursor += run.count;
        for (int e = 0; e < FT_ENCODINGS; e++)
            routed += run.bytes[e];
    }
    worker->cursor = cursor;
    ft_journal_reader_at(worker->reader, cursor);
    return cursor == head;
}
