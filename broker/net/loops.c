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

/* Requests whose headers are being read at a time; each takes FT_HEADER_BYTES and some. */
#define HEADERS_MAX 1024
/* Longest request line and headers together. */
#define HEADER_BYTES 8192
/* The largest single send; what it does not take is copied by libwebsockets. Must not change while a
 * TLS write is retried, so it is a constant. */
#define TX_BYTES (1024 * 1024)

/* Steps of libwebsockets' destruction (it takes three), and turns of the loop after each: one to close
 * handles, one for what their callbacks close in turn. */
#define DESTROY_STEPS_MAX 4
#define DESTROY_TURNS     3

/* The first is the default for everything that is not a WebSocket; its name cannot be offered,
 * because a token holds no space. The second is what clients get who offer nothing. */
static const struct lws_protocols protocols[] = {
    {.name = "not offered", .callback = ft_http_callback, .tx_packet_size = TX_BYTES},
    {.name = FT_SUBPROTOCOL_JSON,
     .callback = ft_ws_callback,
     .per_session_data_size = sizeof(struct ft_ws_conn),
     .rx_buffer_size = FT_RX_BYTES,
     .id = FT_JSON,
     .tx_packet_size = TX_BYTES},
    {.name = FT_SUBPROTOCOL_MSGPACK,
     .callback = ft_ws_callback,
     .per_session_data_size = sizeof(struct ft_ws_conn),
     .rx_buffer_size = FT_RX_BYTES,
     .id = FT_MSGPACK,
     .tx_packet_size = TX_BYTES},
    {0},
};

/* `ws-protocols` options: which one is the default. */
static const struct lws_protocol_vhost_options default_option = {
    .name = "default",
    .value = "1",
};
static const struct lws_protocol_vhost_options vhost_options = {
    .options = &default_option,
    .name = FT_SUBPROTOCOL_JSON,
    .value = "",
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

static void on_wake(uv_async_t *wake)
{
    struct ft_net *net = wake->data;
    ft_net_enter(net);
    check_stop(net);
}

static void on_tick(uv_timer_t *timer)
{
    struct ft_net *net = timer->data;
    ft_net_enter(net);
    ft_worker_tick(net->worker);
    ft_arrivals_tick(net);
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

static bool net_init(struct ft_net *net, struct ft_loops *loops, uint32_t index)
{
    net->loops = loops;
    net->index = index;
    ft_buffer_init(&net->out, (size_t)2 * 1024 * 1024);
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
        .pvo = &vhost_options,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = foreign,
        .user = net,
        .retry_and_idle_policy = &no_pings,
        .max_http_header_data = HEADER_BYTES,
        .max_http_header_pool = HEADERS_MAX,
        .pt_serv_buf_size = FT_RX_BYTES + LWS_PRE,
        .alpn = "http/1.1", /* raw writes are wrong on HTTP/2 */
        .vhost_name = "fantail",
        .pcontext = &net->context,
    };
    net->context = lws_create_context(&info);
    if (net->context)
        net->vhost = lws_create_vhost(net->context, &info);
    return net->vhost != NULL;
}

/*
 * Frees what is left when the loop has stopped. On a foreign loop libwebsockets takes its context down
 * in steps, with turns of the loop between them for the handles that close; net->context is NULL after
 * the last. Our own handles go afterwards, because the steps may still wake us.
 */
static void net_fini(struct ft_net *net)
{
    for (int step = 0; step < DESTROY_STEPS_MAX && net->context; step++) {
        lws_context_destroy(net->context);
        for (int turn = 0; turn < DESTROY_TURNS; turn++)
            uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    uv_handle_t *own[] = {(uv_handle_t *)&net->wake, (uv_handle_t *)&net->before_sleep,
                          (uv_handle_t *)&net->again, (uv_handle_t *)&net->tick,
                          (uv_handle_t *)&net->quick};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        uv_close(own[i], NULL);
    for (int turn = 0; turn < DESTROY_TURNS; turn++)
        uv_run(&net->loop, UV_RUN_NOWAIT);
    uv_loop_close(&net->loop);
    free(net->accepters);
    ft_buffer_fini(&net->out);
}

static void *run(void *arg)
{
    struct ft_net *net = arg;
    uv_prepare_start(&net->before_sleep, before_sleep);
    uv_timer_start(&net->tick, on_tick, FT_WHEEL_TICK_MS, FT_WHEEL_TICK_MS);
    ft_accept_start(net);
    uv_run(&net->loop, UV_RUN_DEFAULT);
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
    atomic_init(&loops->shutdown_ms, options->shutdown_ms);
    loops->nets = ft_alloc_zero(options->workers * sizeof(*loops->nets));
    bool ok = ft_limits_settle(loops, error) && ft_listeners_open(loops, error);
    if (ok) {
        bool debug = ft_log_is_on(FT_LOG_DEBUG);
        lws_set_log_level(debug ? LLL_ERR | LLL_WARN | LLL_NOTICE : 0, on_lws_log);
        ft_lws_memory_install();
    }
    for (uint32_t i = 0; ok && i < options->workers; i++) {
        ok = net_init(&loops->nets[i], loops, i);
        if (!ok)
            snprintf(error, FT_LOOPS_ERROR_MAX,
                     "cannot start worker %u: libwebsockets has no libuv loop "
                     "(is libwebsockets-evlib-uv installed?)",
                     i);
    }
    if (ok)
        return loops;
    ft_listeners_close(loops);
    free(loops->nets);
    free(loops);
    return NULL;
}

static void wake(void *context, uint32_t index)
{
    struct ft_loops *loops = context;
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
        int err = pthread_create(&loops->nets[i].thread, NULL, run, &loops->nets[i]);
        FT_ASSERT(err == 0);
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

void ft_loops_stop(struct ft_loops *loops)
{
    atomic_store(&loops->stop, true);
    for (uint32_t i = 0; i < loops->options.workers; i++)
        uv_async_send(&loops->nets[i].wake);
    for (uint32_t i = 0; i < loops->options.workers; i++)
        pthread_join(loops->nets[i].thread, NULL);
}

void ft_loops_free(struct ft_loops *loops)
{
    if (!loops)
        return;
    ft_listeners_close(loops);
    free(loops->nets);
    free(loops);
}
