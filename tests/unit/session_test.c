/* Sessions and workers with a connection that is not there: what is sent, when, and what happens to
 * those who do not take it. Frames are JSON in text frames, so that tests can read them. */
#include "broker/base/alloc.h"
#include "broker/hub/worker.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SESSIONS = 4, PING_S = 25, QUEUE = 4096 };

/* A connection that keeps what it is given. */
struct fake {
    struct ft_session session;
    char sent[64 * 1024]; /* payloads, a line each; a close frame as "close CODE" */
    size_t sent_len;
    uint32_t writes;
    uint64_t silence_ms, taken_bytes;
    bool is_full, is_paused, is_killed;
};

static struct ft_journal *journal;
static struct ft_hub *hub;
static struct fake fakes[SESSIONS];
static uint32_t wakes, hurry_ms;

static void note(struct fake *fake, const void *bytes, size_t n)
{
    cr_assert_lt(fake->sent_len + n + 2, sizeof(fake->sent));
    memcpy(fake->sent + fake->sent_len, bytes, n);
    fake->sent_len += n;
    fake->sent[fake->sent_len++] = '\n';
    fake->sent[fake->sent_len] = '\0';
}

static enum ft_write_result fake_write(void *conn, struct ft_slice frames)
{
    struct fake *fake = conn;
    fake->writes++;
    for (size_t at = 0; at < frames.len;) {
        const uint8_t *p = frames.ptr + at;
        size_t header = p[1] == 126 ? 4 : 2;
        size_t n = p[1] == 126 ? (size_t)(p[2] << 8 | p[3]) : p[1];
        cr_assert_neq(p[1], 127);
        cr_assert_leq(at + header + n, frames.len, "a write holds whole frames");
        char text[16];
        if (p[0] == 0x88)
            note(fake, text, (size_t)snprintf(text, sizeof(text), "close %d", p[2] << 8 | p[3]));
        else if (p[0] == 0x89)
            note(fake, "ping", 4);
        else
            note(fake, p + header, n);
        at += header + n;
    }
    return fake->is_full ? FT_WRITE_BLOCKED : FT_WRITE_DONE;
}

static void fake_pause(void *conn, bool paused)
{
    ((struct fake *)conn)->is_paused = paused;
}

static void fake_kill(void *conn)
{
    ((struct fake *)conn)->is_killed = true;
}

static uint64_t fake_silence_ms(void *conn)
{
    return ((struct fake *)conn)->silence_ms;
}

static uint64_t fake_taken_bytes(void *conn)
{
    return ((struct fake *)conn)->taken_bytes;
}

static const struct ft_conn_ops fake_ops = {
    .write = fake_write,
    .pause = fake_pause,
    .silence_ms = fake_silence_ms,
    .taken_bytes = fake_taken_bytes,
    .kill = fake_kill,
};

static void count_wake(void *loops, uint32_t index)
{
    (void)loops, (void)index;
    wakes++;
}

static void note_hurry(void *loops, uint32_t index, uint32_t ms)
{
    (void)loops, (void)index;
    hurry_ms = ms;
}

static const struct ft_loop_ops loop_ops = {count_wake, note_hurry};

static void setup_workers(uint32_t workers)
{
    journal = ft_journal_new(&(struct ft_journal_options){
        .stream = "teststream", .size_bytes = (size_t)1 << 20, .age_s = 300});
    struct ft_policies *policies = ft_policies_new();
    cr_assert(ft_policies_add(policies, ft_slice_str("strict/#"),
                              &(struct ft_policy){.slow = FT_SLOW_DISCONNECT}));
    struct ft_hub_options options = {.node = "n1",
                                     .message_bytes = 1024,
                                     .topics = 3,
                                     .queue_bytes = QUEUE,
                                     .flush_bytes = 1024,
                                     .ping_s = PING_S,
                                     .policies = policies};
    hub = ft_hub_new(&options, journal, workers, &(struct ft_hub_ports){.loop_ops = &loop_ops});
}

static void begin_turn(struct ft_worker *worker)
{
    ft_worker_begin_turn(worker, 1763700000000, 1000);
}

static void end_turn(struct ft_worker *worker)
{
    while (!ft_worker_end_turn(worker))
        begin_turn(worker);
}

static void open_fake(int i, uint32_t worker)
{
    begin_turn(hub->workers[worker]);
    ft_session_open(&fakes[i].session, hub->workers[worker],
                    &(struct ft_session_options){
                        .ops = &fake_ops,
                        .conn = &fakes[i],
                        .who = ft_identity_new(&(struct ft_identity_spec){.may_everything = true}),
                    });
    end_turn(hub->workers[worker]);
    cr_assert_eq(strncmp(fakes[i].sent, "{\"op\":\"welcome\",\"version\":1,", 28), 0);
    fakes[i].sent_len = 0;
}

static void setup(void)
{
    setup_workers(1);
    for (int i = 0; i < SESSIONS; i++)
        open_fake(i, 0);
}

static void teardown(void)
{
    for (uint32_t w = 0; w < hub->worker_count; w++) {
        begin_turn(hub->workers[w]);
        while (hub->workers[w]->sessions.count > 0)
            ft_session_gone(hub->workers[w]->sessions.entries[0].session);
        end_turn(hub->workers[w]);
    }
    ft_hub_free(hub);
    ft_journal_free(journal);
}

TestSuite(session, .init = setup, .fini = teardown);

static void receive(int i, const char *text)
{
    ft_session_receive(&fakes[i].session, &(struct ft_piece){.bytes = ft_slice_str(text),
                                                             .is_text = true,
                                                             .is_first = true,
                                                             .is_last = true});
}

/* A turn in which session `i` sends one message. */
static void say(int i, const char *text)
{
    struct ft_worker *worker = fakes[i].session.asker.worker;
    begin_turn(worker);
    receive(i, text);
    end_turn(worker);
}

static void assert_sent(int i, const char *expected)
{
    cr_assert_str_eq(fakes[i].sent_len ? fakes[i].sent : "", expected);
    fakes[i].sent_len = 0;
}

static void publish(int i, const char *topic, int value)
{
    char text[160];
    snprintf(text, sizeof(text), "{\"op\":\"pub\",\"topic\":\"%s\",\"data\":%d}", topic, value);
    receive(i, text);
}

#define MSG(topic, value, offset)                             \
    "{\"op\":\"msg\",\"topic\":\"" topic "\",\"data\":" value \
    ",\"at\":1763700000000,\"pos\":\"teststream." offset "\"}\n"

Test(session, a_publication_reaches_subscribers_and_its_publisher_gets_its_position)
{
    say(0, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a/#\"]}");
    assert_sent(0, "{\"op\":\"ok\",\"id\":1,\"pos\":[\"teststream.0\"]}\n");
    say(1, "{\"op\":\"pub\",\"id\":\"x\",\"topic\":\"a/b\",\"data\":42}");
    assert_sent(0, MSG("a/b", "42", "1"));
    assert_sent(1, "{\"op\":\"ok\",\"id\":\"x\",\"pos\":\"teststream.1\"}\n");
    assert_sent(2, "");
}

Test(session, many_matching_filters_are_one_delivery)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"a/b\",\"a/+\",\"#\"]}");
    say(1, "{\"op\":\"pub\",\"topic\":\"a/b\",\"data\":1}");
    assert_sent(0, MSG("a/b", "1", "1"));
}

Test(session, a_turn_is_one_write_a_socket)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"#\"]}");
    uint32_t before = fakes[0].writes;
    begin_turn(hub->workers[0]);
    for (int i = 0; i < 5; i++)
        publish(1, i % 2 ? "a" : "b", i);
    cr_assert_eq(fakes[0].writes, before, "nothing is written within the turn");
    end_turn(hub->workers[0]);
    cr_assert_eq(fakes[0].writes, before + 1);
    assert_sent(0, MSG("b", "0", "1") MSG("a", "1", "2") MSG("b", "2", "3") MSG("a", "3", "4")
                       MSG("b", "4", "5"));
}

Test(session, what_was_published_before_a_sub_does_not_come)
{
    say(0,
        "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]},"
        "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}]");
    assert_sent(0, "{\"op\":\"ok\",\"id\":1,\"pos\":[\"teststream.1\"]}\n" MSG("a", "2", "2"));
}

Test(session, what_was_published_before_an_unsub_still_comes)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    say(0,
        "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},{\"op\":\"unsub\",\"id\":1,\"topics\":[\"a\"]},"
        "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}]");
    assert_sent(0, MSG("a", "1", "1") "{\"op\":\"ok\",\"id\":1}\n");
}

Test(session, replies_come_in_the_order_of_the_requests)
{
    say(0,
        "[{\"op\":\"pub\",\"id\":1,\"topic\":\"a\",\"data\":1},{\"op\":\"ping\",\"id\":2},"
        "{\"op\":\"pub\",\"id\":3,\"topic\":\"a\",\"data\":1},{\"op\":\"pub\",\"id\":4,\"topic\":\"$a\","
        "\"data\":1},{\"op\":\"unsub\",\"id\":5,\"topics\":[\"a\"]}]");
    assert_sent(0, "{\"op\":\"ok\",\"id\":1,\"pos\":\"teststream.1\"}\n"
                   "{\"op\":\"ok\",\"id\":2}\n"
                   "{\"op\":\"ok\",\"id\":3,\"pos\":\"teststream.2\"}\n"
                   "{\"op\":\"error\",\"id\":4,\"code\":403,\"message\":\"topic \\\"$a\\\" begins "
                   "with $: those are the broker's own\"}\n"
                   "{\"op\":\"ok\",\"id\":5}\n");
}

Test(session, a_sub_with_one_bad_filter_changes_nothing)
{
    say(0, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\",\"b/#/c\"]}");
    cr_assert_eq(strncmp(fakes[0].sent, "{\"op\":\"error\",\"id\":1,\"code\":400,", 32), 0);
    cr_assert_eq(ft_topic_trie_subs(hub->workers[0]->trie), 0);
}

Test(session, a_sub_past_the_limit_changes_nothing)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"a\",\"b\"]}");
    say(0, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\",\"c\",\"d\"]}");
    cr_assert_eq(strncmp(fakes[0].sent, "{\"op\":\"error\",\"id\":1,\"code\":429,", 32), 0);
    cr_assert_eq(ft_topic_trie_subs(hub->workers[0]->trie), 2);
    fakes[0].sent_len = 0;
    say(0, "{\"op\":\"sub\",\"id\":2,\"topics\":[\"a\",\"b\",\"c\"]}");
    assert_sent(0, "{\"op\":\"ok\",\"id\":2,\"pos\":[\"teststream.0\"]}\n");
}

Test(session, pieces_of_a_message_are_put_together)
{
    const char *text = "{\"op\":\"ping\",\"id\":7}";
    struct ft_session *session = &fakes[0].session;
    begin_turn(hub->workers[0]);
    for (size_t i = 0; text[i]; i++)
        ft_session_receive(session, &(struct ft_piece){.bytes = ft_slice(text + i, 1),
                                                       .is_text = true,
                                                       .is_first = i == 0,
                                                       .is_last = text[i + 1] == '\0'});
    end_turn(hub->workers[0]);
    assert_sent(0, "{\"op\":\"ok\",\"id\":7}\n");
}

Test(session, a_message_past_the_limit_closes_with_1009)
{
    char text[1026];
    memset(text, ' ', sizeof(text));
    text[1025] = '\0';
    say(0, text);
    assert_sent(0, "close 1009\n");
}

Test(session, a_frame_that_announces_too_much_is_not_waited_for)
{
    begin_turn(hub->workers[0]);
    ft_session_receive(&fakes[0].session, &(struct ft_piece){.bytes = ft_slice_str("{"),
                                                             .to_come = UINT64_C(1) << 62,
                                                             .is_text = true,
                                                             .is_first = true});
    end_turn(hub->workers[0]);
    assert_sent(0, "close 1009\n");
}

Test(session, invalid_utf8_closes_with_1007_and_the_wrong_kind_with_1003)
{
    say(0, "{\"op\":\"ping\",\"x\":\"\xc3\x28\"}");
    assert_sent(0, "close 1007\n");
    begin_turn(hub->workers[0]);
    ft_session_receive(
        &fakes[1].session,
        &(struct ft_piece){.bytes = ft_slice_str("\x80"), .is_first = true, .is_last = true});
    end_turn(hub->workers[0]);
    assert_sent(1, "close 1003\n");
}

Test(session, the_sixteenth_bad_envelope_closes_with_4400)
{
    for (int i = 1; i < FT_BAD_ENVELOPES_MAX; i++)
        say(0, "nonsense");
    cr_assert_null(strstr(fakes[0].sent, "close"));
    say(0, "nonsense");
    cr_assert_not_null(strstr(fakes[0].sent, "close 4400\n"));
    fakes[0].sent_len = 0;
    say(0, "{\"op\":\"ping\",\"id\":1}");
    assert_sent(0, "");
}

/* Publishes values until about `bytes` of frames have gone to each subscriber of `topic`. */
static void flood(int i, const char *topic, size_t bytes)
{
    size_t frame = sizeof(MSG("a", "1234", "1234")) + strlen(topic);
    for (size_t sent = 0; sent < bytes; sent += frame) {
        begin_turn(hub->workers[0]);
        publish(i, topic, 1000);
        end_turn(hub->workers[0]);
    }
}

static void read_on(int i)
{
    fakes[i].is_full = false;
    fakes[i].sent_len = 0;
    begin_turn(hub->workers[0]);
    ft_session_writable(&fakes[i].session);
    end_turn(hub->workers[0]);
}

Test(session, who_does_not_read_is_closed_past_the_bound_where_the_policy_says_so)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"strict/a\"]}");
    say(1, "{\"op\":\"sub\",\"topics\":[\"strict/a\"]}");
    fakes[0].is_full = true;
    uint32_t others = fakes[1].writes;
    flood(2, "strict/a", QUEUE / 2);
    cr_assert_eq(fakes[0].writes, 2, "welcome, and the publication that filled the socket");
    cr_assert_not(fakes[0].session.is_ending);
    flood(2, "strict/a", QUEUE);
    cr_assert(fakes[0].session.is_ending);
    cr_assert_eq(ft_topic_trie_subs(hub->workers[0]->trie), 1);
    cr_assert_gt(fakes[1].writes - others, 40);
    read_on(0);
    assert_sent(0, "close 4508\n");
}

Test(session, who_reads_late_gets_everything_in_order)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    fakes[0].is_full = true;
    for (int i = 1; i <= 20; i++) {
        begin_turn(hub->workers[0]);
        publish(1, "a", i);
        end_turn(hub->workers[0]);
    }
    fakes[0].is_full = false;
    begin_turn(hub->workers[0]);
    ft_session_writable(&fakes[0].session);
    end_turn(hub->workers[0]);
    const char *at = fakes[0].sent;
    for (int i = 1; i <= 20; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "\"data\":%d,", i);
        at = strstr(at, expected);
        cr_assert_not_null(at, "publication %d is missing or out of order", i);
    }
}

Test(session, who_missed_what_the_journal_has_dropped_is_told_so)
{
    say(0, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    fakes[0].is_full = true;
    say(1, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
    say(1, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}");
    while (ft_journal_tail(journal) < 2)
        say(1, "{\"op\":\"pub\",\"topic\":\"b\",\"data\":\"what pushes the others out\"}");
    uint64_t tail = ft_journal_tail(journal);
    read_on(0);
    char expected[128];
    snprintf(expected, sizeof(expected),
             "{\"op\":\"gap\",\"reason\":\"slow\",\"lost\":1,\"pos\":[\"teststream.%d\"]}\n",
             (int)tail);
    assert_sent(0, expected); /* the first publication is what filled the socket */
}

Test(session, who_does_not_read_its_replies_is_not_read_either)
{
    fakes[0].is_full = true;
    for (int i = 0; i < 100 && !fakes[0].is_paused; i++)
        say(0, "{\"op\":\"ping\",\"id\":\"0123456789012345678901234567890123456789\"}");
    cr_assert(fakes[0].is_paused);
    cr_assert_not(fakes[0].session.is_ending);
    cr_assert_leq(fakes[0].session.outbox.bytes, QUEUE);
    fakes[0].is_full = false;
    begin_turn(hub->workers[0]);
    ft_session_writable(&fakes[0].session);
    end_turn(hub->workers[0]);
    cr_assert_not(fakes[0].is_paused);
}

static void pass_seconds(uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds * 1000 / FT_WHEEL_TICK_MS; i++) {
        begin_turn(hub->workers[0]);
        for (int k = 0; k < SESSIONS; k++)
            fakes[k].silence_ms += FT_WHEEL_TICK_MS;
        ft_worker_tick(hub->workers[0]);
        end_turn(hub->workers[0]);
    }
}

Test(session, silence_is_pinged_and_then_closed_with_4408)
{
    pass_seconds(PING_S - 1);
    assert_sent(0, "");
    pass_seconds(2);
    assert_sent(0, "ping\n");
    fakes[1].silence_ms = 0; /* something that the session is not told of: an empty PONG */
    ft_session_heard(&fakes[2].session);
    pass_seconds(PING_S);
    assert_sent(0, "close 4408\n");
    cr_assert_not(fakes[1].session.is_ending, "any byte is a sign of life");
    cr_assert_not(fakes[2].session.is_ending, "who answers stays");
    cr_assert_not(fakes[0].is_killed);
    pass_seconds(3);
    cr_assert(fakes[0].is_killed, "who does not answer the close frame either is killed");
}

Test(session, who_answers_every_ping_at_once_stays_for_good)
{
    uint32_t pings = 0;
    for (uint32_t second = 0; second < 20 * PING_S; second++) {
        pass_seconds(1);
        if (fakes[0].sent_len == 0)
            continue;
        assert_sent(0, "ping\n");
        ft_session_heard(&fakes[0].session);
        pings++;
    }
    cr_assert_geq(pings, 19);
    cr_assert_leq(pings, 21);
}

Test(session, the_peers_close_is_answered_after_what_it_sent)
{
    begin_turn(hub->workers[0]);
    receive(0, "{\"op\":\"pub\",\"id\":1,\"topic\":\"a\",\"data\":1}");
    ft_session_peer_closed(&fakes[0].session, 1000);
    end_turn(hub->workers[0]);
    assert_sent(0, "{\"op\":\"ok\",\"id\":1,\"pos\":\"teststream.1\"}\nclose 1000\n");
}

Test(session, a_publisher_that_leaves_before_its_number_is_forgotten)
{
    say(1, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    begin_turn(hub->workers[0]);
    receive(0, "{\"op\":\"pub\",\"id\":1,\"topic\":\"a\",\"data\":1}");
    ft_session_gone(&fakes[0].session);
    end_turn(hub->workers[0]);
    assert_sent(1, MSG("a", "1", "1"));
    assert_sent(0, "");
    memset(&fakes[0], 0, sizeof(fakes[0]));
}

/* ---- two workers ---- */

static void setup_two(void)
{
    setup_workers(2);
    open_fake(0, 0);
    open_fake(1, 1);
}

TestSuite(workers, .init = setup_two, .fini = teardown);

Test(workers, a_sleeping_worker_with_subscribers_is_woken_and_delivers)
{
    say(0, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
    cr_assert_eq(wakes, 0, "nobody subscribes there");
    say(1, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a\"]}");
    assert_sent(1, "{\"op\":\"ok\",\"id\":1,\"pos\":[\"teststream.1\"]}\n");
    say(0, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}");
    cr_assert_eq(wakes, 1);
    assert_sent(1, "");
    begin_turn(hub->workers[1]);
    end_turn(hub->workers[1]);
    assert_sent(1, MSG("a", "2", "2"));
}

Test(workers, what_was_accepted_is_delivered_before_everybody_is_sent_away)
{
    say(1, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    say(0, "{\"op\":\"pub\",\"id\":1,\"topic\":\"a\",\"data\":1}");
    begin_turn(hub->workers[1]);
    ft_worker_end_all(hub->workers[1], 1001, "the broker is shutting down");
    end_turn(hub->workers[1]);
    assert_sent(1, MSG("a", "1", "1") "close 1001\n");
}

Test(workers, a_publisher_waits_for_a_slow_worker_instead_of_losing_anything)
{
    say(1, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    uint64_t published = 0;
    while (!fakes[0].is_paused) {
        say(0,
            "[{\"op\":\"pub\",\"topic\":\"a\",\"data\":1},{\"op\":\"pub\",\"topic\":\"a\",\"data\":2}]");
        published += 2;
        cr_assert_lt(published, 20000);
    }
    uint64_t waiting = hub->workers[0]->batch_len;
    cr_assert_gt(waiting, 0);
    cr_assert_eq(ft_journal_tail(journal), 0, "the slow worker has not seen the first one yet");
    cr_assert_eq(ft_journal_head(journal) + waiting, published);

    wakes = 0;
    fakes[1].is_full = true; /* its socket does not matter: it fans out */
    begin_turn(hub->workers[1]);
    end_turn(hub->workers[1]);
    cr_assert_gt(wakes, 0, "the one that waited is told");
    begin_turn(hub->workers[0]);
    end_turn(hub->workers[0]);
    cr_assert_not(fakes[0].is_paused);
    cr_assert_eq(ft_journal_head(journal), published);
}
