/*
 * The threads and their loops. A turn begins with the first event after a sleep and ends right before
 * the next one, in libuv's prepare phase: that is where the worker commits, fans out and flushes.
 *
 *     sleep ─▶ accept, receive, writable, timer … ─▶ before_sleep: ft_worker_end_turn ─▶ sleep
 */
#include "broker/net/loops.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/net/private.h"

#include <stdio.h>
#include <stdlib.h>

/* Steps of libwebsockets' destruction (it takes three), and turns of the loop after each: one to close
 * handles, one for what their callbacks close in turn. */
#define DESTROY_STEPS_MAX 4
#define DESTROY_TURNS     3

/* How long libwebsockets lets a TLS handshake take; http.header_timeout ends it before. */
#define HANDSHAKE_S 600

static const struct lws_protocols protocols[] = {
    {.name = "fantail", .callback = ft_conn_callback},
    {0},
};

void ft_net_enter(struct ft_net *net)
{
    if (net->in_turn)
        return;
    net->in_turn = true;
    ft_worker_begin_turn(net->worker, ft_clock_wall_ms(), ft_clock_mono_ms());
}

static void on_again(uv_idle_t *idle)
{
    struct ft_net *net = idle->data;
    uv_idle_stop(idle);
    ft_net_enter(net);
}

static void before_sleep(uv_prepare_t *prepare)
{
    struct ft_net *net = prepare->data;
    if (!net->in_turn)
        return;
    net->in_turn = false;
    if (!ft_worker_end_turn(net->worker))
        uv_idle_start(&net->again, on_again);
}

/* ---- stopping ---- */

static void begin_stop(struct ft_net *net)
{
    net->is_stopping = true;
    net->stop_at_ms = ft_clock_mono_ms() + atomic_load(&net->loops->shutdown_ms);
    ft_accept_stop(net);
    ft_worker_end_all(net->worker, 1001, "the broker is shutting down");
}

static void check_stop(struct ft_net *net)
{
    if (!net->is_stopping && atomic_load(&net->loops->stop))
        begin_stop(net);
    if (!net->is_stopping)
        return;
    if (net->worker->sessions.count == 0 || ft_clock_mono_ms() >= net->stop_at_ms)
        uv_stop(&net->loop);
}

/* Uses the certificate that was put there, if it is a new one; the files were tried before. */
static void take_certificate(struct ft_net *net)
{
    char error[FT_LOOPS_ERROR_MAX];
    struct ft_loops *loops = net->loops;
    uint32_t loads = atomic_load(&loops->tls_loads);
    if (!net->tls || net->tls_loads == loads)
        return;
    net->tls_loads = loads;
    pthread_mutex_lock(&loops->tls_lock);
    bool ok = ft_tls_load(&net->tls_shown, loops->tls_cert, loops->tls_key, error);
    loops->tls_behind--;
    pthread_cond_signal(&loops->tls_taken);
    pthread_mutex_unlock(&loops->tls_lock);
    if (!ok)
        ft_log(FT_LOG_ERROR, "tls_reload_failed", "worker=%u cause=\"%s\"", net->index, error);
}

static void on_wake(uv_async_t *wake)
{
    struct ft_net *net = wake->data;
    ft_net_enter(net);
    take_certificate(net);
    check_stop(net);
}

static void on_tick(uv_timer_t *timer)
{
    struct ft_net *net = timer->data;
    atomic_fetch_add_explicit(&net->ticks, 1, memory_order_relaxed);
    ft_net_enter(net);
    ft_worker_tick(net->worker);
    ft_conns_tick(net);
    take_certificate(net);
    ft_accept_retry(net);
    check_stop(net);
}

static void on_quick(uv_timer_t *timer)
{
    ft_net_enter(timer->data);
}

/* ---- one loop ---- */

static void on_lws_log(int level, const char *line)
{
    (void)level;
    char value[512];
    ft_log(FT_LOG_DEBUG, "libwebsockets", "text=%s", ft_log_value(line, value, sizeof(value)));
}

static bool net_init(struct ft_net *net, struct ft_loops *loops, uint32_t index,
                     char error[FT_LOOPS_ERROR_MAX])
{
    net->loops = loops;
    net->index = index;
    if (uv_loop_init(&net->loop) != 0)
        return false;
    uv_async_init(&net->loop, &net->wake, on_wake);
    uv_prepare_init(&net->loop, &net->before_sleep);
    uv_idle_init(&net->loop, &net->again);
    uv_timer_init(&net->loop, &net->tick);
    uv_timer_init(&net->loop, &net->quick);
    net->wake.data = net->before_sleep.data = net->again.data = net;
    net->tick.data = net->quick.data = net;

    static const lws_retry_bo_t no_pings = {0}; /* the session's own are cheaper: wheel.h */
    void *foreign[] = {&net->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = foreign,
        .user = net,
        .retry_and_idle_policy = &no_pings,
        .pt_serv_buf_size = FT_RX_BYTES + LWS_PRE,
        .timeout_secs = HANDSHAKE_S,
        .vhost_name = "plain",
        .pcontext = &net->context,
    };
    if (loops->options.tls_cert) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.provided_client_ssl_ctx = net->tls_client = ft_tls_client();
    }
    if (!(net->context = lws_create_context(&info)))
        return false;
    net->plain = lws_create_vhost(net->context, &info);
    if (!net->plain || !loops->options.tls_cert)
        return net->plain != NULL;
    info.vhost_name = "tls";
    info.options |= LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    info.alpn = "http/1.1";
    net->tls = lws_create_vhost(net->context, &info);
    if (!net->tls || !net->tls_context)
        return false;
    ft_tls_prepare(net->tls_context, &net->tls_shown);
    return ft_tls_load(&net->tls_shown, loops->tls_cert, loops->tls_key, error);
}

/*
 * Frees what is left when the loop has stopped. On a foreign loop libwebsockets takes its context down
 * in steps, with turns of the loop between them for the handles that close; net->context is NULL after
 * the last. Our own handles go afterwards, because the steps may still wake us.
 */
static void net_fini(struct ft_net *net)
{
    ft_proxied_stop(net);
    for (int step = 0; step < DESTROY_STEPS_MAX && net->context; step++) {
        lws_context_destroy(net->context);
        for (int turn = 0; turn < DESTROY_TURNS; turn++)
            uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    ft_tls_free(net->tls_shown);
    ft_tls_free(net->tls_client);
    uv_handle_t *own[] = {(uv_handle_t *)&net->wake, (uv_handle_t *)&net->before_sleep,
                          (uv_handle_t *)&net->again, (uv_handle_t *)&net->tick,
                          (uv_handle_t *)&net->quick};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        uv_close(own[i], NULL);
    for (int turn = 0; turn < DESTROY_TURNS; turn++)
        uv_run(&net->loop, UV_RUN_NOWAIT);
    uv_loop_close(&net->loop);
    free(net->accepters);
}

static void *run(void *arg)
{
    struct ft_net *net = arg;
    uv_prepare_start(&net->before_sleep, before_sleep);
    uv_timer_start(&net->tick, on_tick, FT_WHEEL_TICK_MS, FT_WHEEL_TICK_MS);
    ft_accept_start(net);
    uv_run(&net->loop, UV_RUN_DEFAULT);
    /* From here on nobody is woken, and all have stopped before the first takes its handles down. */
    atomic_store(&net->loops->is_over, true);
    if (net->in_turn) /* stopped in the middle of one: what it accepted is answered */
        (void)ft_worker_end_turn(net->worker);
    pthread_barrier_wait(&net->loops->stopped);
    ft_net_enter(net); /* what closes now still calls sessions */
    net_fini(net);
    return NULL;
}

/* ---- all of them ---- */

struct ft_loops *ft_loops_new(const struct ft_loops_options *options,
                              char error[FT_LOOPS_ERROR_MAX])
{
    struct ft_loops *loops = ft_alloc_zero(sizeof(*loops));
    loops->options = *options;
    *error = '\0';
    pthread_mutex_init(&loops->tls_lock, NULL);
    pthread_cond_init(&loops->tls_taken, NULL);
    pthread_barrier_init(&loops->stopped, NULL, options->workers + 1); /* and who stops them */
    if (options->tls_cert) {
        loops->tls_cert = ft_strdup(options->tls_cert);
        loops->tls_key = ft_strdup(options->tls_key);
    }
    atomic_init(&loops->shutdown_ms, options->shutdown_ms);
    loops->nets = ft_alloc_zero(options->workers * sizeof(*loops->nets));
    bool ok = ft_limits_settle(loops, error) && ft_listeners_open(loops, error);
    if (ok) {
        bool debug = ft_log_is_on(FT_LOG_DEBUG);
        lws_set_log_level(debug ? LLL_ERR | LLL_WARN | LLL_NOTICE : 0, on_lws_log);
        ft_lws_memory_install();
    }
    for (uint32_t i = 0; ok && i < options->workers; i++) {
        ok = net_init(&loops->nets[i], loops, i, error);
        if (!ok && !*error)
            snprintf(error, FT_LOOPS_ERROR_MAX,
                     "cannot start worker %u: libwebsockets has no libuv loop "
                     "(is libwebsockets-evlib-uv installed?)",
                     i);
    }
    if (ok)
        return loops;
    ft_loops_free(loops);
    return NULL;
}

static void wake(void *context, uint32_t index)
{
    struct ft_loops *loops = context;
    if (!atomic_load(&loops->is_over))
        uv_async_send(&loops->nets[index].wake);
}

static void hurry(void *context, uint32_t index, uint32_t ms)
{
    struct ft_loops *loops = context;
    uv_timer_t *quick = &loops->nets[index].quick;
    if (ms > 0)
        uv_timer_start(quick, on_quick, ms, ms);
    else
        uv_timer_stop(quick);
}

const struct ft_loop_ops *ft_loops_ops(void)
{
    static const struct ft_loop_ops ops = {.wake = wake, .hurry = hurry};
    return &ops;
}

void ft_loops_start(struct ft_loops *loops, struct ft_hub *hub)
{
    for (uint32_t i = 0; i < loops->options.workers; i++)
        loops->nets[i].worker = hub->workers[i];
    for (uint32_t i = 0; i < loops->options.workers; i++) {
        char name[24]; /* Linux takes 15 bytes of it, and shows it in top -H */
        int err = pthread_create(&loops->nets[i].thread, NULL, run, &loops->nets[i]);
        FT_ASSERT(err == 0);
        snprintf(name, sizeof(name), "worker %u", i);
        (void)pthread_setname_np(loops->nets[i].thread, name);
    }
}

const char *ft_loops_address(const struct ft_loops *loops, size_t i)
{
    return i < loops->options.listen_count ? loops->listeners[i].address : NULL;
}

bool ft_loops_configure(struct ft_loops *loops, uint64_t connections, uint32_t shutdown_ms)
{
    atomic_store(&loops->shutdown_ms, shutdown_ms);
    if (connections > loops->places)
        return false;
    atomic_store(&loops->connections_max, connections ? (uint32_t)connections : loops->places);
    return true;
}

bool ft_loops_have_turned(struct ft_loops *loops)
{
    for (uint32_t i = 0; i < loops->options.workers; i++) {
        struct ft_net *net = &loops->nets[i];
        if (atomic_load_explicit(&net->ticks, memory_order_relaxed) == net->ticks_seen)
            return false;
    }
    for (uint32_t i = 0; i < loops->options.workers; i++)
        loops->nets[i].ticks_seen = atomic_load(&loops->nets[i].ticks);
    return true;
}

void ft_loops_stop(struct ft_loops *loops)
{
    atomic_store(&loops->stop, true);
    for (uint32_t i = 0; i < loops->options.workers; i++)
        uv_async_send(&loops->nets[i].wake);
    pthread_barrier_wait(&loops->stopped);
    for (uint32_t i = 0; i < loops->options.workers; i++)
        pthread_join(loops->nets[i].thread, NULL);
}

void ft_loops_free(struct ft_loops *loops)
{
    if (!loops)
        return;
    ft_listeners_close(loops);
    pthread_mutex_destroy(&loops->tls_lock);
    pthread_cond_destroy(&loops->tls_taken);
    pthread_barrier_destroy(&loops->stopped);
    free(loops->tls_cert);
    free(loops->tls_key);
    free(loops->nets);
    free(loops);
}

bool ft_loops_reload_tls(struct ft_loops *loops, const char *cert, const char *key,
                         char error[FT_LOOPS_ERROR_MAX])
{
    if (!loops->nets[0].tls)
        return true; /* nobody listens for it */
    if (!ft_tls_try(cert, key, error))
        return false;
    pthread_mutex_lock(&loops->tls_lock);
    free(loops->tls_cert);
    free(loops->tls_key);
    loops->tls_cert = ft_strdup(cert);
    loops->tls_key = ft_strdup(key);
    loops->tls_behind = loops->options.workers;
    atomic_fetch_add(&loops->tls_loads, 1);
    for (uint32_t i = 0; i < loops->options.workers; i++)
        uv_async_send(&loops->nets[i].wake);
    while (loops->tls_behind > 0) /* so that what is logged next is true */
        pthread_cond_wait(&loops->tls_taken, &loops->tls_lock);
    pthread_mutex_unlock(&loops->tls_lock);
    return true;
}
