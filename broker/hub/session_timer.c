/*
 * What a session's timer looks at: signs of life, whether a blocked peer takes anything, whether the token
 * is still good. One timer for all, set to whatever comes first. The worker's thread.
 */
#include "broker/hub/reply.h"
#include "broker/hub/worker.h"

static uint64_t ping_ms(const struct ft_session *session)
{
    return (uint64_t)session->asker.worker->options->ping_s * 1000;
}

static uint64_t write_timeout_ms(const struct ft_session *session)
{
    uint64_t timeout_s = session->asker.worker->options->write_timeout_s;
    return timeout_s ? timeout_s * 1000 : UINT64_MAX;
}

static uint64_t silence_ms(const struct ft_session *s)
{
    return (uint64_t)(ft_wheel_now(&s->asker.worker->wheel) - s->heard) * FT_WHEEL_TICK_MS;
}

/* Says whether a peer whose socket is full is reading, however slowly. Our PING may stand behind more than
 * it can read in two intervals; whether it reads enough is is_trickling()'s to say. */
static bool is_taking(const struct ft_session *s)
{
    if (!s->is_blocked)
        return false;
    uint64_t blocked_ms =
        (uint64_t)(ft_wheel_now(&s->asker.worker->wheel) - s->stalled) * FT_WHEEL_TICK_MS;
    return blocked_ms < 2 * ping_ms(s) || s->ops->taken_bytes(s->conn) > s->taken;
}

/* Nobody told us of a sign of life for two intervals. There are some that we are not told of, and while
 * we do not read there may be any: ask before giving up. */
static bool is_dead(struct ft_session *s)
{
    if (is_taking(s)) {
        ft_session_heard(s);
        return false;
    }
    uint64_t real_ms =
        s->paused & (FT_PAUSED_JOURNAL | FT_PAUSED_RELAY) ? 0 : s->ops->silence_ms(s->conn);
    if (real_ms >= 2 * ping_ms(s))
        return true;
    s->heard = ft_wheel_now(&s->asker.worker->wheel) - (uint32_t)(real_ms / FT_WHEEL_TICK_MS);
    s->was_pinged = false;
    return false;
}

/* Says whether a blocked peer takes so little that it is let go. */
static bool is_trickling(struct ft_session *s)
{
    uint32_t now = ft_wheel_now(&s->asker.worker->wheel);
    if (!s->is_blocked || (uint64_t)(now - s->stalled) * FT_WHEEL_TICK_MS < write_timeout_ms(s))
        return false;
    uint64_t taken = s->ops->taken_bytes(s->conn);
    if (taken - s->taken < FT_TAKEN_MIN)
        return true;
    s->stalled = now;
    s->taken = taken;
    return false;
}

/* Returns in how many milliseconds a blocked peer is looked at again. */
static uint64_t until_trickling_ms(const struct ft_session *s)
{
    uint32_t ticks = ft_wheel_now(&s->asker.worker->wheel) - s->stalled;
    return s->is_blocked ? write_timeout_ms(s) - (uint64_t)ticks * FT_WHEEL_TICK_MS : UINT64_MAX;
}

void ft_session_blocked(struct ft_session *s)
{
    struct ft_wheel *wheel = &s->asker.worker->wheel;
    s->is_blocked = true;
    s->stalled = ft_wheel_now(wheel);
    s->taken = s->ops->taken_bytes(s->conn);
    uint64_t timeout_ms = write_timeout_ms(s);
    if (!s->is_ending && (uint64_t)ft_wheel_left(wheel, &s->timer) * FT_WHEEL_TICK_MS > timeout_ms)
        ft_wheel_set(wheel, &s->timer, timeout_ms);
}

/* ---- how long the token is good ---- */

/* Returns for how long its identity need not be looked at. The grace begins when the session is told: a
 * token may be taken a little after its end, by the leeway of the clocks. */
static uint64_t until_expiry_ms(const struct ft_session *s)
{
    uint64_t end_ms = ft_identity_expires_ms(s->asker.who), now_ms = s->asker.worker->now_ms;
    if (end_ms == 0)
        return UINT64_MAX;
    if (s->is_expired) {
        const struct ft_hub *hub = s->asker.worker->hub;
        uint32_t grace_ms = hub->gate_ops ? hub->gate_ops->grace_ms(hub->gate) : 0;
        end_ms = s->asker.account->expired_at_ms + grace_ms;
        now_ms = s->asker.worker->mono_ms;
    }
    return end_ms > now_ms ? end_ms - now_ms : 0;
}

/* Says whether the session's time is over. An event stream has no way to send a fresh token, so it has no
 * grace. */
static bool is_over(struct ft_session *s)
{
    if (until_expiry_ms(s) > 0)
        return false;
    if (s->is_expired || s->frames == FT_FRAMES_EVENTS)
        return true;
    s->is_expired = true;
    ft_asker_account(&s->asker)->expired_at_ms = s->asker.worker->mono_ms;
    struct ft_problem problem;
    (void)ft_problem_set(&problem, FT_ERR_UNAUTHORIZED,
                         "the token has expired: send auth with a fresh one within %llu ms",
                         (unsigned long long)until_expiry_ms(s));
    ft_reply_error(s, (struct ft_id){.kind = FT_ID_NONE}, &problem);
    return until_expiry_ms(s) == 0;
}

void ft_session_renew(struct ft_session *s, struct ft_identity *who)
{
    ft_identity_unref(s->asker.who);
    s->asker.who = who;
    s->is_expired = false;
    ft_wheel_set_ticks(&s->asker.worker->wheel, &s->timer, 1); /* looks when it ends */
}

/* ---- the timer ---- */

void ft_session_watch(struct ft_session *s)
{
    uint64_t ping = ping_ms(s), expiry = until_expiry_ms(s);
    ft_wheel_set(&s->asker.worker->wheel, &s->timer, expiry < ping ? expiry : ping);
}

static void end_expired(struct ft_session *s)
{
    ft_count(&s->asker.worker->metrics.credentials_refused[FT_CREDENTIALS_EXPIRED], 1);
    ft_session_end(s, 4401, "the token has expired");
}

/* Asks a silent peer for a sign of life. Returns in how many milliseconds to look again. */
static uint64_t ask(struct ft_session *s)
{
    uint64_t ping = ping_ms(s), silent = silence_ms(s);
    /* The answer to a PING comes a tick after it, or less. A tick early, therefore, or the timer would
     * come twice for each PING. */
    bool is_silent = silent + FT_WHEEL_TICK_MS >= ping;
    if (is_silent && !s->was_pinged) {
        s->was_pinged = true;
        ft_reply_ping(s);
    }
    return (is_silent ? 2 * ping : ping) - silent;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void ft_session_timer(struct ft_wheel_timer *timer)
{
    struct ft_session *s =
        (struct ft_session *)((char *)timer - offsetof(struct ft_session, timer));
    if (s->is_ending)
        s->ops->kill(s->conn);
    else if (silence_ms(s) >= 2 * ping_ms(s) && is_dead(s))
        ft_session_end(s, 4408, "no answer to pings");
    else if (is_trickling(s))
        ft_session_end(s, 4508, "slow consumer: hardly anything was taken (limits.write_timeout)");
    else if (is_over(s))
        end_expired(s);
    else
        ft_wheel_set(&s->asker.worker->wheel, timer,
                     least(ask(s), least(until_trickling_ms(s), until_expiry_ms(s))));
}
