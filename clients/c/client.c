/*
 * A client's life: options, states, when to connect, ping, write and give up. Encodes and reads
 * nothing itself. The application's thread, but fantail_wake() and fantail_stop().
 */
#include "clients/c/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/c/backoff.h"
#include "protocol/writer.h"

enum {
    WELCOME_MS = 15 * 1000,   /* from the first packet to the welcome */
    PING_MS = 25 * 1000,      /* the broker's default, until its welcome says otherwise */
    PONG_MS = 10 * 1000,      /* longest wait for the answer to a ping; less where pings are */
    CLOSE_MS = 2 * 1000,      /* for the broker's half of the close */
    ANSWERS_MS = 10 * 1000,   /* for answers that a close waits for */
    STABLE_MS = 10 * 1000,    /* open for so long, a connection counts as a success */
    WRITE_BYTES = 256 * 1024, /* a write: the order of what a socket takes at once */
    TURN_BYTES = 1024 * 1024, /* what one turn writes before it reads again */
    CONTROL_BYTES = 4 << 20,  /* subscriptions on their way, several times what a turn makes */
    ASK_BYTES = 1024 * 1024,  /* of them, what one turn makes */
    ENVELOPE_BYTES =
        64 << 20, /* the largest `limits.message` that a broker can have is 16 MiB; JSON
                                  from MessagePack may be larger before it is refused */
    QUEUE_BYTES = 16 << 20,
    QUEUE_COUNT = 65536,
    MESSAGE_BYTES = 4 << 20
};

const char *fantail_state_name(enum fantail_state state)
{
    static const char *const names[] = {"connecting", "open", "waiting", "closed"};
    return names[state];
}

static void enter(struct fantail *f, enum fantail_state state, int code, const char *reason,
                  uint32_t retry_ms)
{
    f->state = state;
    struct fantail_status status = {
        .code = code, .reason = reason, .retry_ms = retry_ms, .url = f->url};
    if (f->options.on_state)
        f->options.on_state(f, state, &status, f->options.user);
}

void ft_client_report(struct fantail *f, const struct fantail_result *result)
{
    if (f->options.on_error)
        f->options.on_error(f, result->code, result->message, f->options.user);
}

/* Drops everything that belonged to the connection. */
static void forget_connection(struct fantail *f)
{
    ft_pending_break(&f->pending);
    ft_subscriptions_break(&f->subscriptions);
    ft_histories_break(&f->histories);
    ft_client_presences_break(&f->presences);
    ft_buffer_clear(&f->control);
    f->is_begun = f->is_pinged = f->is_close_sent = f->is_leaving = false;
}

/* Says whether another attempt would end the same way. A missing path or a wrong kind of request may
 * be a proxy that is being set up, but not on a URL that never worked. `is_round`: each server was tried. */
static bool is_final(const struct fantail *f, const struct ft_transport_end *end, bool is_round)
{
    int status = end->http_status;
    /* The next token may be a better one; if the first was bad, somebody should look at it. */
    if (status == 401 || end->close_code == 4401)
        return !f->options.get_token || !f->was_open;
    if (status == 403 || end->close_code == 4400 || end->close_code == 4403)
        return true;
    if (f->was_open || !is_round)
        return false;
    return f->options.fail_first || (status >= 400 && status < 500 && status != 429);
}

/* How long to stay away: what the broker said, else by the number of failures. Before the other servers
 * have been tried once, just so long that not everybody comes to them at the same moment. */
static uint32_t wait_ms(struct fantail *f)
{
    uint64_t random = ft_framer_random(&f->framer);
    unsigned rounds =
        f->servers.count == 1 ? f->failures : (f->failures - 1) / (unsigned)f->servers.count;
    uint64_t wait = rounds == 0 ? random % f->options.wait_min_ms
                                : ft_backoff_delay_ms(rounds, f->options.wait_min_ms,
                                                      f->options.wait_max_ms, random);
    if (f->has_reconnect)
        wait = f->reconnect_ms;
    if (rounds > 0 && wait < f->retry_ms)
        wait = f->retry_ms;
    return wait > UINT32_MAX ? UINT32_MAX : (uint32_t)wait;
}

/* Drops what the broker said about one connection and the pause behind it. */
static void forget_words(struct fantail *f)
{
    f->has_reconnect = false;
    f->reconnect_ms = f->retry_ms = 0;
    f->bye_code = 0;
    f->bye_reason[0] = '\0';
}

static void on_end(void *client, const struct ft_transport_end *end)
{
    struct fantail *f = client;
    uint64_t now_ms = ft_clock_mono_ms();
    bool was_stable = f->state == FANTAIL_OPEN && now_ms - f->opened_ms >= STABLE_MS;
    f->failures = was_stable ? 1 : f->failures + 1;
    f->pending.now_ms = now_ms;
    forget_connection(f);
    bool is_round = ft_servers_failed(&f->servers, ft_framer_random(&f->framer));

    int code = end->http_status  ? end->http_status
               : end->close_code ? end->close_code
                                 : f->bye_code;
    const char *reason = f->bye_reason[0] ? f->bye_reason : end->reason;
    if (f->is_closing || is_final(f, end, is_round)) {
        enter(f, FANTAIL_CLOSED, code, f->is_closing ? "" : reason, 0);
        ft_client_end_lost(f);
        ft_client_end_all(f);
        ft_histories_end_all(&f->histories);
        ft_client_presences_end_all(&f->presences);
        return;
    }
    uint32_t wait = wait_ms(f);
    f->attempt_ms = now_ms + wait;
    char kept[FT_REASON_MAX];
    snprintf(kept, sizeof(kept), "%s", reason);
    forget_words(f);
    enter(f, FANTAIL_WAITING, code, kept, wait);
    ft_client_end_lost(f);
}

static void on_open(void *client)
{
    struct fantail *f = client;
    f->heard_ms = ft_clock_mono_ms();
    forget_words(f);
}

void ft_client_welcomed(struct fantail *f)
{
    if (f->state != FANTAIL_CONNECTING)
        return;
    f->was_open = true;
    f->opened_ms = ft_clock_mono_ms();
    ft_servers_opened(&f->servers);
    ft_pending_expire(&f->pending);
    enter(f, FANTAIL_OPEN, 0, "", 0);
}

static void on_writable(void *client)
{
    (void)client; /* the turn ends with a flush */
}

/* Sends a control frame or envelope ahead of publications; a client that cannot even queue those
 * begins anew. */
static void ping(struct fantail *f, uint64_t now_ms)
{
    struct ft_writer writer;
    ft_buffer_clear(&f->envelope);
    ft_writer_init(&writer, f->encoding, &f->envelope);
    ft_write_map(&writer, 1);
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("ping"));
    ft_client_send_control(f);
    f->is_pinged = true;
    f->deadline_ms = now_ms + (f->ping_ms < PONG_MS ? f->ping_ms : PONG_MS);
}

/* Notices a dead link: silence for two of the broker's intervals, and then no answer to a ping. Its
 * own PINGs are answered below us, but the kernel has seen them. */
static void keep_alive(struct fantail *f, uint64_t now_ms)
{
    if (f->is_pinged && now_ms >= f->deadline_ms) {
        ft_transport_drop(f->transport, "the broker has fallen silent");
        return;
    }
    if (f->is_pinged || now_ms - f->heard_ms < 2 * f->ping_ms)
        return;
    uint64_t silence_ms = ft_transport_silence_ms(f->transport);
    if (silence_ms < now_ms - f->heard_ms)
        f->heard_ms = now_ms - silence_ms;
    if (now_ms - f->heard_ms >= 2 * f->ping_ms)
        ping(f, now_ms);
}

/* Writes the requests that are due: subscriptions, then questions. */
static void ask(struct fantail *f, uint64_t now_ms)
{
    while (f->control.len < ASK_BYTES) {
        ft_buffer_clear(&f->envelope);
        if (!ft_subscriptions_ask(&f->subscriptions, now_ms, f->message_limit - 128, f->encoding,
                                  &f->envelope) &&
            !ft_histories_ask(&f->histories, f->encoding, &f->envelope) &&
            !ft_client_presences_ask(&f->presences, f->encoding, &f->envelope))
            break;
        ft_client_send_control(f);
    }
}

/* Goes on with an orderly end: answers first, then a close frame, then the broker's. */
static void close_open(struct fantail *f, uint64_t now_ms)
{
    if (f->is_close_sent) {
        if (now_ms >= f->deadline_ms)
            ft_transport_drop(f->transport, "the broker did not answer the close");
        return;
    }
    if (f->pending.count + f->histories.count + f->presences.count > 0 && now_ms < f->close_by_ms)
        return;
    static const uint8_t normal[] = {1000 >> 8, 1000 & 0xFF};
    ft_framer_add(&f->framer, FT_WS_CLOSE, ft_slice(normal, sizeof(normal)), &f->control);
    f->is_close_sent = true;
    f->deadline_ms = now_ms + CLOSE_MS;
}

static void begin_attempt(struct fantail *f, uint64_t now_ms)
{
    f->is_begun = true;
    f->deadline_ms = now_ms + WELCOME_MS;
    ft_transport_aim(f->transport, &ft_servers_now(&f->servers)->url);
    ft_transport_connect(f->transport, ft_client_token(f));
}

/* Does what is due. */
static void act(struct fantail *f, uint64_t now_ms)
{
    f->pending.now_ms = now_ms;
    if (f->is_closing && f->state == FANTAIL_CONNECTING && f->is_begun) {
        ft_transport_drop(f->transport, "");
    } else if (f->is_closing && f->state != FANTAIL_OPEN) {
        on_end(f, &(struct ft_transport_end){0});
    } else if (f->state == FANTAIL_WAITING && now_ms >= f->attempt_ms) {
        f->url = ft_servers_now(&f->servers)->text;
        enter(f, FANTAIL_CONNECTING, 0, "", 0);
        begin_attempt(f, now_ms);
    } else if (f->state == FANTAIL_CONNECTING && !f->is_begun) {
        begin_attempt(f, now_ms);
    } else if (f->state == FANTAIL_CONNECTING && now_ms >= f->deadline_ms) {
        ft_transport_drop(f->transport, "the broker did not say welcome");
    } else if (f->state == FANTAIL_OPEN) {
        if (f->is_closing)
            close_open(f, now_ms);
        else
            ask(f, now_ms);
        if (f->state == FANTAIL_OPEN && !f->is_close_sent)
            keep_alive(f, now_ms);
        ft_client_end_lost(f); /* those whose key has become too old while they waited */
    }
}

/* Lends the publications that go out next: first those that are due again. */
static struct ft_slice next_frames(struct fantail *f)
{
    if (f->is_close_sent || f->is_leaving)
        return ft_slice(NULL, 0);
    ft_buffer_clear(&f->repeats);
    ft_pending_repeats(&f->pending, WRITE_BYTES, &f->repeats);
    if (f->repeats.len > 0)
        return ft_buffer_slice(&f->repeats);
    struct ft_slice frames = ft_pending_unsent(&f->pending, WRITE_BYTES);
    ft_pending_sent(&f->pending, frames.len); /* from here on it may have arrived */
    return frames;
}

/* Writes what waits for the socket. Returns true when more could be written at once. */
static bool flush(struct fantail *f)
{
    size_t written = 0;
    if (f->control.failed)
        ft_transport_drop(f->transport, "more requests than the broker takes in time");
    while (f->state == FANTAIL_OPEN && ft_transport_is_writable(f->transport)) {
        struct ft_slice frames = ft_buffer_slice(&f->control);
        if (frames.len > 0) {
            ft_buffer_clear(&f->control); /* empties it, but keeps the bytes for the write */
        } else {
            frames = next_frames(f);
        }
        if (frames.len == 0)
            return false;
        ft_transport_write(f->transport, frames);
        written += frames.len;
        if (written >= TURN_BYTES)
            return true;
    }
    return false;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Returns when something is due next, UINT64_MAX for never. */
static uint64_t next_due_ms(const struct fantail *f)
{
    if (f->state == FANTAIL_WAITING)
        return f->attempt_ms;
    if (f->state == FANTAIL_CONNECTING)
        return f->deadline_ms;
    uint64_t due_ms =
        f->is_pinged || f->is_close_sent ? f->deadline_ms : f->heard_ms + 2 * f->ping_ms;
    if (f->is_closing && !f->is_close_sent)
        due_ms = sooner(due_ms, f->close_by_ms);
    uint64_t again_ms = ft_pending_due_ms(&f->pending);
    if (again_ms && !f->is_leaving && !f->is_close_sent)
        due_ms = sooner(due_ms, again_ms);
    uint64_t ask_ms = ft_subscriptions_due_ms(&f->subscriptions);
    return ask_ms ? sooner(due_ms, ask_ms) : due_ms;
}

static int bounded_wait(const struct fantail *f, uint64_t now_ms, int timeout_ms)
{
    uint64_t due_ms = next_due_ms(f);
    uint64_t wait = due_ms <= now_ms ? 0 : due_ms - now_ms;
    if (timeout_ms >= 0)
        wait = sooner(wait, (uint64_t)timeout_ms);
    return (int)sooner(wait, 24u * 3600 * 1000); /* a day at most: it has to fit an int */
}

bool fantail_run(struct fantail *f, int timeout_ms)
{
    if (f->is_stopped || f->state == FANTAIL_CLOSED)
        return false;
    uint64_t now_ms = ft_clock_mono_ms();
    act(f, now_ms);
    bool has_more = flush(f);
    if (f->state == FANTAIL_CLOSED)
        return false;
    ft_transport_run(f->transport, has_more ? 0 : bounded_wait(f, now_ms, timeout_ms));
    act(f, ft_clock_mono_ms());
    flush(f);
    return !f->is_stopped && f->state != FANTAIL_CLOSED;
}

void fantail_wake(struct fantail *f)
{
    ft_transport_wake(f->transport);
}

void fantail_stop(struct fantail *f)
{
    f->is_stopped = true;
    ft_transport_wake(f->transport);
}

void fantail_close(struct fantail *f)
{
    if (f->is_closing)
        return;
    f->is_closing = true;
    f->close_by_ms = ft_clock_mono_ms() + ANSWERS_MS;
    ft_transport_wake(f->transport);
}

enum fantail_state fantail_state(const struct fantail *f)
{
    return f->state;
}

void *fantail_user(const struct fantail *f)
{
    return f->options.user;
}

const char *fantail_session(const struct fantail *f)
{
    return f->session;
}

const char *fantail_error_text(const struct fantail *f)
{
    return f->problem.text;
}

int fantail_subscribe(struct fantail *f, const char *const *filters, size_t n,
                      const struct fantail_subscribe_options *options, fantail_message_fn *handler,
                      void *user, struct fantail_subscription **subscription)
{
    enum ft_err err = FT_OK;
    if (f->state == FANTAIL_CLOSED || f->is_closing)
        err = ft_problem_set(&f->problem, FT_ERR_UNAVAILABLE, "the client is closed");
    if (!err)
        err = ft_subscriptions_add(&f->subscriptions, filters, n, options, handler, user,
                                   subscription, &f->problem);
    return err ? ft_err_wire(err) : 0;
}

void fantail_unsubscribe(struct fantail *f, struct fantail_subscription *subscription)
{
    if (!subscription)
        return;
    ft_buffer_clear(&f->envelope);
    ft_subscriptions_remove(&f->subscriptions, subscription, f->encoding, &f->envelope);
    if (f->envelope.len > 0 && f->state == FANTAIL_OPEN)
        ft_client_send_control(f);
}

static void on_resume(struct fantail *f, bool is_recovered)
{
    if (f->options.on_resume)
        f->options.on_resume(f, is_recovered, f->options.user);
}

size_t fantail_position_count(const struct fantail_subscription *subscription)
{
    return ft_subscription_position_count(subscription);
}

size_t fantail_position(const struct fantail_subscription *subscription, size_t n, char *out,
                        size_t size)
{
    return ft_subscription_position(subscription, n, out, size);
}

int fantail_history(struct fantail *f, const char *topic,
                    const struct fantail_history_options *options, fantail_history_fn *done)
{
    enum ft_err err = FT_OK;
    if (f->state == FANTAIL_CLOSED || f->is_closing)
        err = ft_problem_set(&f->problem, FT_ERR_UNAVAILABLE, "the client is closed");
    if (!err)
        err = ft_histories_add(&f->histories, topic, options, done, &f->problem);
    return err ? ft_err_wire(err) : 0;
}

int fantail_presence(struct fantail *f, const char *topic, fantail_presence_fn *done, void *user)
{
    enum ft_err err = FT_OK;
    if (f->state == FANTAIL_CLOSED || f->is_closing)
        err = ft_problem_set(&f->problem, FT_ERR_UNAVAILABLE, "the client is closed");
    if (!err)
        err = ft_client_presences_add(&f->presences, topic, done, user, &f->problem);
    return err ? ft_err_wire(err) : 0;
}

static char *copied(const char *text)
{
    return text ? ft_strdup(text) : NULL;
}

/* Takes copies and puts the defaults where zeros are. */
static void set_options(struct fantail *f, const struct fantail_options *options)
{
    f->options = *options;
    f->options.url = NULL; /* the servers have copies */
    f->options.urls = NULL;
    f->options.token = copied(options->token);
    f->options.ca_file = copied(options->ca_file);
    if (f->options.wait_min_ms == 0)
        f->options.wait_min_ms = FT_BACKOFF_MIN_MS;
    if (f->options.wait_max_ms == 0)
        f->options.wait_max_ms = FT_BACKOFF_MAX_MS;
    if (f->options.wait_max_ms < f->options.wait_min_ms)
        f->options.wait_max_ms = f->options.wait_min_ms;
    if (f->options.queue_bytes == 0)
        f->options.queue_bytes = QUEUE_BYTES;
    if (f->options.queue_count == 0)
        f->options.queue_count = QUEUE_COUNT;
    if (f->options.message_bytes == 0)
        f->options.message_bytes = MESSAGE_BYTES;
    f->encoding = options->msgpack ? FT_MSGPACK : FT_JSON;
}

static enum ft_err read_urls(struct fantail *f, const struct fantail_options *options)
{
    bool has_many = options->url_count > 0;
    enum ft_err err =
        ft_servers_init(&f->servers, has_many ? options->urls : &options->url,
                        has_many ? options->url_count : options->url != NULL, &f->problem);
    if (!err)
        f->url = ft_servers_now(&f->servers)->text;
    return err;
}

static enum ft_err make_transport(struct fantail *f)
{
    static const struct ft_transport_events events = {
        .on_open = on_open,
        .on_message = ft_client_receive,
        .on_writable = on_writable,
        .on_end = on_end,
    };
    struct ft_transport_options options = {
        .url = ft_servers_now(&f->servers)->url,
        .has_tls = ft_servers_have_tls(&f->servers),
        .encoding = f->encoding,
        .ca_file = f->options.ca_file,
        .is_insecure = f->options.insecure,
        .message_bytes = f->options.message_bytes,
    };
    return ft_transport_new(&options, &events, f, &f->transport, &f->problem);
}

struct fantail *fantail_new(const struct fantail_options *options, char *why, size_t why_size)
{
    struct fantail *f = ft_alloc_zero(sizeof(*f));
    set_options(f, options);
    ft_framer_init(&f->framer);
    ft_pending_init(&f->pending, f->options.queue_bytes, f->options.queue_count);
    ft_subscriptions_init(&f->subscriptions, f, on_resume);
    ft_histories_init(&f->histories, f);
    ft_client_presences_init(&f->presences, f);
    ft_positions_init(&f->named);
    ft_buffer_init(&f->control, CONTROL_BYTES);
    ft_buffer_init(&f->repeats, ENVELOPE_BYTES);
    ft_buffer_init(&f->envelope, ENVELOPE_BYTES);
    ft_buffer_init(&f->data, ENVELOPE_BYTES);
    ft_buffer_init(&f->decoded, f->options.message_bytes);
    f->ping_ms = PING_MS;
    f->message_limit = FT_MESSAGE_LIMIT;
    if (read_urls(f, options) == FT_OK && make_transport(f) == FT_OK)
        return f;
    if (why && why_size > 0)
        snprintf(why, why_size, "%s", f->problem.text);
    fantail_free(f);
    return NULL;
}

void fantail_free(struct fantail *f)
{
    if (!f)
        return;
    f->state = FANTAIL_CLOSED;
    ft_client_end_all(f);
    ft_histories_end_all(&f->histories);
    ft_client_presences_end_all(&f->presences);
    ft_transport_free(f->transport);
    ft_subscriptions_fini(&f->subscriptions);
    ft_pending_fini(&f->pending);
    ft_histories_fini(&f->histories);
    ft_client_presences_fini(&f->presences);
    ft_servers_fini(&f->servers);
    ft_positions_fini(&f->named);
    ft_buffer_fini(&f->control);
    ft_buffer_fini(&f->repeats);
    ft_buffer_fini(&f->envelope);
    ft_buffer_fini(&f->data);
    ft_buffer_fini(&f->decoded);
    free(f->scratch);
    free((char *)(uintptr_t)f->options.token);
    free((char *)(uintptr_t)f->options.ca_file);
    free(f);
}
