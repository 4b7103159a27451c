/*
 * What holds for every request, before its route sees it and before its body is read. The order is that of
 * who may learn what: where it comes from, how often it asks, what it asks for, who it is, what it may.
 * The worker's thread.
 */
#include "broker/http/answers.h"
#include "broker/http/cors.h"
#include "broker/http/credentials.h"
#include "broker/http/route_table.h"
#include "broker/http/upgrade.h"
#include "protocol/quote.h"

#include <stdio.h>

/* A scheme, a name (RFC 1035 section 2.3.4) and a port, and to spare. */
#define FT_HOST_MAX 288

#define CHALLENGE "Bearer realm=\"fantail\""

/* A request on its way. */
struct visit {
    struct ft_exchange *exchange;
    const struct ft_http_request *request;
    const struct ft_http_head *head;
    const struct ft_http_options *options;
    struct ft_worker *worker;
    const struct ft_route_row *route;
    enum ft_cors origin;
    bool has_credentials;
};

static bool refuse(struct visit *v, int status, const char *message)
{
    ft_exchange_refuse(v->exchange, v->request, status, message);
    return false;
}

static bool refuse_problem(struct visit *v, const struct ft_problem *problem)
{
    ft_exchange_problem(v->exchange, v->request, problem);
    return false;
}

static bool is_method(const struct visit *v, const char *method)
{
    return ft_slice_equal(v->head->method, ft_slice_str(method));
}

/* ---- where it comes from ---- */

bool ft_http_is_trusted(const struct ft_http_options *options, const struct ft_ip *ip)
{
    for (size_t i = 0; i < options->trusted_count; i++) {
        if (ft_network_has(&options->trusted[i], ip))
            return true;
    }
    return false;
}

/* Returns the client's address: the peer's, or the one that a trusted proxy says. */
static struct ft_ip client_ip(const struct ft_exchange *x, const struct ft_http_head *head)
{
    const struct ft_http_options *options = ft_exchange_options(x);
    const struct ft_ip *peer = &ft_exchange_peer(x)->ip;
    uint32_t count;
    struct ft_slice list = ft_http_field(head, "x-forwarded-for", &count);
    if (count < 2)
        return ft_forwarded_for(peer, list, options->trusted, options->trusted_count);
    struct ft_buffer joined;
    ft_buffer_init(&joined, FT_HTTP_HEAD_MAX);
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (!ft_http_is(head->fields[i].name, "x-forwarded-for"))
            continue;
        ft_buffer_add(&joined, head->fields[i].value.ptr, head->fields[i].value.len);
        ft_buffer_add_byte(&joined, ',');
    }
    if (joined.len > 0)
        joined.len--;
    struct ft_ip ip =
        ft_forwarded_for(peer, ft_buffer_slice(&joined), options->trusted, options->trusted_count);
    ft_buffer_fini(&joined);
    return ip;
}

/*
 * Says whether Host is a name in the public DNS. Somebody who controls one can have it lead to 127.0.0.1, and
 * so have the page that a browser loaded from it ask here as if it were from here (DNS rebinding).
 */
static bool is_public_name(struct ft_slice host)
{
    static const char local[] = ".localhost";
    size_t len = 0;
    bool has_dot = false, has_letter = false;
    for (; len < host.len && host.ptr[len] != ':' && host.ptr[len] != '['; len++) {
        uint8_t c = host.ptr[len] | 0x20;
        has_dot = has_dot || c == '.';
        has_letter = has_letter || (c >= 'a' && c <= 'z');
    }
    size_t tail = sizeof(local) - 1;
    bool is_local = len > tail && ft_http_is(ft_slice(host.ptr + len - tail, tail), local);
    return has_dot && has_letter && !is_local;
}

static bool has_any(const struct ft_http_head *head, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t count;
        (void)ft_http_field(head, names[i], &count);
        if (count > 0)
            return true;
    }
    return false;
}

/* Says whether a browser asks, for a page: these no script can leave out, or programs send them on purpose. */
static bool is_browser(const struct ft_http_head *head)
{
    static const char *const marks[] = {"origin", "accept-language", "sec-fetch-site", "referer"};
    return has_any(head, marks, sizeof(marks) / sizeof(marks[0]));
}

/* Says whether it comes from this machine, through nobody who could have brought it from elsewhere: but a
 * browser here may have been led to us by a page from anywhere. */
static bool is_near(const struct ft_exchange *x, const struct ft_http_head *head)
{
    static const char *const marks[] = {"x-forwarded-for", "forwarded", "x-real-ip", "via"};
    return ft_exchange_peer(x)->is_local && !has_any(head, marks, sizeof(marks) / sizeof(marks[0]));
}

/* Says whether the operator named the host, as that of pages that may ask. */
static bool is_named(const struct visit *v)
{
    static const char *const schemes[] = {"http://", "https://"};
    char origin[FT_HOST_MAX];
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        int n = snprintf(origin, sizeof(origin), "%s%.*s", schemes[i], (int)v->head->host.len,
                         (const char *)v->head->host.ptr);
        if (n > 0 && n < FT_HOST_MAX &&
            ft_http_origin_find(v->options, ft_slice(origin, (size_t)n)) != FT_ORIGIN_FOREIGN)
            return true;
    }
    return false;
}

/* Says whether a browser asks for a page of ours: of a GET it says so in another field than Origin (W3C, Fetch
 * Metadata), where it can be sure of the connection. */
static bool is_own_page(const struct ft_http_head *head)
{
    uint32_t count;
    struct ft_slice site = ft_http_field(head, "sec-fetch-site", &count);
    return count == 1 && ft_slice_equal(site, ft_slice_str("same-origin"));
}

static bool check_origin(struct visit *v)
{
    char text[FT_QUOTE_MAX + 64], quoted[FT_QUOTE_MAX];
    v->origin = ft_cors_judge(v->head, ft_exchange_peer(v->exchange)->is_tls, v->options);
    ft_cors_add(&v->exchange->response.headers, v->head, v->origin);
    switch (v->origin) {
    case FT_CORS_SEVERAL:
        return refuse(v, 400, "the request has more than one Origin");
    case FT_CORS_FOREIGN:
        snprintf(text, sizeof(text), "the origin %s is not allowed (http.origins)",
                 ft_quote(ft_http_field(v->head, "origin", NULL), quoted));
        return refuse(v, 403, text);
    case FT_CORS_NONE:
        if (!v->options->allow_no_origin && !is_own_page(v->head) &&
            (v->route->access == FT_ACCESS_ANYBODY || v->route->access == FT_ACCESS_ADMIN))
            return refuse(v, 403,
                          "requests without an Origin are not allowed "
                          "(http.allow_no_origin)");
        return true;
    default:
        return true;
    }
}

/* ---- how often it asks ---- */

static bool pass_rate(struct visit *v, enum ft_quota_kind kind)
{
    struct ft_problem problem;
    uint32_t retry_ms = 0;
    if (ft_quota_pass(ft_asker_share(&v->exchange->asker, kind), FT_QUOTA_REQUESTS,
                      v->worker->mono_ms * 1000, &retry_ms, &problem) == FT_OK)
        return true;
    problem.retry_ms = retry_ms;
    return refuse_problem(v, &problem);
}

static bool check_address(struct visit *v)
{
    struct ft_ip ip = client_ip(v->exchange, v->head);
    ft_asker_limit(&v->exchange->asker, FT_QUOTA_ADDRESS,
                   ft_quota_share(v->worker->hub->quotas, FT_QUOTA_ADDRESS,
                                  ft_slice(ip.bytes, sizeof(ip.bytes))));
    return pass_rate(v, FT_QUOTA_ADDRESS);
}

static bool check_user(struct visit *v)
{
    struct ft_slice user = ft_identity_user(v->exchange->asker.who);
    if (!user.ptr)
        return true;
    ft_asker_limit(&v->exchange->asker, FT_QUOTA_USER,
                   ft_quota_share(v->worker->hub->quotas, FT_QUOTA_USER, user));
    return pass_rate(v, FT_QUOTA_USER);
}

/* When to try again where there is no room; load balancers go by it. */
#define FULL_RETRY_MS 5000

enum ft_err ft_http_admit(struct ft_exchange *x, const struct ft_http_request *request,
                          struct ft_http_places *places, struct ft_problem *problem)
{
    struct ft_worker *w = x->asker.worker;
    struct ft_quota_share *share = NULL;
    *places = (struct ft_http_places){0};
    problem->retry_ms = 0;
    if (w->is_ending || ft_exchange_peer(x)->is_over_limit) {
        enum ft_err err = ft_problem_set(
            problem, FT_ERR_UNAVAILABLE,
            w->is_ending ? "this node is shutting down"
                         : "this node has as many connections as limits.connections allows");
        problem->retry_ms = FULL_RETRY_MS;
        if (!w->is_ending)
            ft_count(&w->metrics.connections_refused[FT_REFUSAL_FULL], 1);
        return err;
    }
    if (ft_http_is_trusted(ft_exchange_options(x), &ft_exchange_peer(x)->ip)) {
        struct ft_ip ip = client_ip(x, request->head);
        ft_exchange_speaks_for(x, &ip);
        share =
            ft_quota_share(w->hub->quotas, FT_QUOTA_ADDRESS, ft_slice(ip.bytes, sizeof(ip.bytes)));
        uint32_t retry_ms = 0;
        enum ft_err err =
            ft_quota_pass(share, FT_QUOTA_CONNECTS, w->mono_ms * 1000, &retry_ms, problem);
        if (err != FT_OK)
            problem->retry_ms = retry_ms;
        else
            err = ft_quota_take(share, FT_QUOTA_CONNECTIONS, 1, problem);
        if (err != FT_OK) {
            ft_quota_release(share);
            return err;
        }
    }
    enum ft_err err = ft_admit_user(w, x->asker.who, &places->user, problem);
    if (err == FT_OK) {
        places->address = share;
        return FT_OK;
    }
    ft_quota_give(share, FT_QUOTA_CONNECTIONS, 1);
    ft_quota_release(share);
    return err;
}

/* ---- what it asks for ---- */

static bool refuse_path(struct visit *v)
{
    char text[2 * FT_QUOTE_MAX + 64], quoted[FT_QUOTE_MAX];
    struct ft_slice path = v->head->path;
    ft_quote(path, quoted);
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (path.len < v->head->path.len && ft_route_find(path, v->options) != FT_ROUTE_NONE)
        snprintf(text, sizeof(text), "there is nothing at %s, but there is without the slash",
                 quoted);
    else
        snprintf(text, sizeof(text), "there is nothing at %s", quoted);
    return refuse(v, 404, text);
}

static bool is_allowed(const struct visit *v)
{
    if (v->route->method == FT_METHOD_POST)
        return is_method(v, "POST");
    return is_method(v, "GET") ||
           (is_method(v, "HEAD") && v->exchange->route != FT_ROUTE_WEBSOCKET);
}

static bool check_method(struct visit *v)
{
    const char *methods = ft_route_methods((enum ft_route)v->exchange->route);
    if (is_allowed(v))
        return true;
    char quoted[FT_QUOTE_MAX], text[FT_QUOTE_MAX + 64];
    ft_exchange_header(v->exchange, "Allow", methods);
    snprintf(text, sizeof(text), "method %s is not for this path, but %s%s",
             ft_quote(v->head->method, quoted), methods,
             v->exchange->route == FT_ROUTE_TOPIC_LIST ? "; a topic belongs behind /v1/topics/"
                                                       : "");
    return refuse(v, 405, text);
}

/* OPTIONS, of any path that there is: what may be done there; and a browser's question in advance. */
static bool answer_options(struct visit *v)
{
    struct ft_http_response *response = &v->exchange->response;
    bool is_star = ft_slice_equal(v->head->path, ft_slice_str("*"));
    if (v->exchange->route == FT_ROUTE_NONE && !is_star)
        return refuse_path(v);
    const char *methods =
        is_star ? "GET, HEAD, POST, OPTIONS" : ft_route_methods((enum ft_route)v->exchange->route);
    ft_exchange_header(v->exchange, "Allow", methods);
    if (ft_cors_is_preflight(v->head))
        ft_cors_add_preflight(&response->headers, methods);
    response->status = 204;
    ft_exchange_done(v->exchange);
    return false;
}

static bool check_upgrade(struct visit *v, struct ft_http_upgrade *upgrade)
{
    if (v->exchange->route != FT_ROUTE_WEBSOCKET) {
        if (!ft_upgrade_is_asked(v->head))
            return true;
        char quoted[FT_QUOTE_MAX], text[2 * FT_QUOTE_MAX + 64];
        snprintf(text, sizeof(text), "there is no WebSocket at %s, but at %s",
                 ft_quote(v->head->path, quoted), v->options->ws_path);
        return refuse(v, 404, text);
    }
    struct ft_upgrade_refusal refusal;
    if (ft_upgrade_check(v->head, upgrade, &refusal))
        return true;
    ft_buffer_add_str(&v->exchange->response.headers, refusal.headers);
    return refuse(v, refusal.status, refusal.message);
}

/* ---- who it is, what it may ---- */

/* Refuses with 401 (RFC 6750 section 3): `error` where there were credentials. */
static bool challenge(struct visit *v, const char *error, const char *message)
{
    char value[80];
    ft_count(&v->worker->metrics
                  .credentials_refused[error ? FT_CREDENTIALS_INVALID : FT_CREDENTIALS_MISSING],
             1);
    snprintf(value, sizeof(value), CHALLENGE "%s%s%s", error ? ", error=\"" : "",
             error ? error : "", error ? "\"" : "");
    ft_exchange_header(v->exchange, "WWW-Authenticate", value);
    return refuse(v, 401, message);
}

/* Says whether everybody on this machine may do everything. */
static bool is_open_here(const struct ft_hub *hub)
{
    struct ft_identity *who = hub->gate_ops->anonymous(hub->gate, true);
    bool is_open = who && ft_identity_is_admin(who);
    ft_identity_unref(who);
    return is_open;
}

/*
 * Finds who somebody without credentials is, if anybody. Where everybody here may do everything, a page that has
 * led a browser here under a name of its own (DNS rebinding) is not everybody.
 */
static bool look_at_nobody(struct visit *v)
{
    const struct ft_hub *hub = v->worker->hub;
    struct ft_slice host = v->head->host;
    bool is_here = is_near(v->exchange, v->head), is_public = is_public_name(host);
    bool is_led = is_public && is_browser(v->head) && !is_named(v) &&
                  (v->origin == FT_CORS_NONE || v->origin == FT_CORS_SAME);
    if (is_here && is_led && is_open_here(hub)) {
        char text[FT_QUOTE_MAX + 160], quoted[FT_QUOTE_MAX];
        snprintf(text, sizeof(text),
                 "the host %s is no name of this machine's own: ask for localhost or an address, "
                 "name it in http.origins, or have people sign in (auth.mode)",
                 ft_quote(host, quoted));
        return refuse(v, 403, text);
    }
    v->exchange->asker.who = hub->gate_ops->anonymous(hub->gate, is_here && !is_public);
    return true;
}

static bool identify_nobody(struct visit *v)
{
    return look_at_nobody(v) && (v->exchange->asker.who || challenge(v, NULL, "a token is needed"));
}

static bool identify(struct visit *v)
{
    const struct ft_hub *hub = v->worker->hub;
    struct ft_identity **who = &v->exchange->asker.who;
    uint8_t decoded[FT_HTTP_HEAD_MAX];
    struct ft_credentials_places places = {
        .cookie = v->origin == FT_CORS_ANYBODY ? NULL : v->options->cookie,
        .subprotocols = v->exchange->route == FT_ROUTE_WEBSOCKET,
    };
    struct ft_credentials found;
    struct ft_problem problem;
    enum ft_err err = ft_credentials_find(v->head, &places, decoded, &found, &problem);
    v->has_credentials = err != FT_OK || found.text.ptr;
    if (err == FT_OK && found.text.ptr)
        err = hub->gate_ops->check(hub->gate, found.place, found.text, v->worker->now_ms, who,
                                   &problem);
    else if (err == FT_OK)
        return identify_nobody(v);
    if (err == FT_ERR_UNAUTHORIZED)
        return challenge(v, "invalid_token", problem.text);
    return err == FT_OK || refuse_problem(v, &problem);
}

static bool check_admin(struct visit *v)
{
    bool wanted = v->route->access == FT_ACCESS_ADMIN ||
                  (v->route->access == FT_ACCESS_METRICS && v->options->metrics_admin);
    if (!wanted || ft_identity_is_admin(v->exchange->asker.who))
        return true;
    if (v->has_credentials)
        return refuse(v, 403,
                      "this is for admins: neither a token nor a key says that you are one");
    return challenge(v, NULL, "this is for admins: a token or an API key of one is needed");
}

static bool is_open(const struct visit *v)
{
    return v->route->access == FT_ACCESS_OPEN ||
           (v->route->access == FT_ACCESS_METRICS && !v->options->metrics_admin);
}

/* ---- its body ---- */

/* How large it may be. */
static bool check_size(struct visit *v)
{
    char text[128];
    uint64_t size = v->head->body_bytes, most = v->options->body_bytes;
    const char *limit = "http.body";
    if (v->exchange->route == FT_ROUTE_TOPICS && v->worker->options->message_bytes < most) {
        most = v->worker->options->message_bytes;
        limit = "limits.message";
    }
    if (size <= most)
        return true;
    snprintf(text, sizeof(text), "the body has %llu bytes, but %llu are the most here (%s)",
             (unsigned long long)size, (unsigned long long)most, limit);
    return refuse(v, 413, text);
}

static bool check_body(struct visit *v)
{
    enum ft_encoding encoding;
    if (v->route->method == FT_METHOD_GET)
        return v->head->body_bytes == 0 || refuse(v, 400, "a GET request has no body");
    if (!v->head->has_body_length)
        return refuse(v, 411, "a POST request needs a Content-Length");
    bool is_good = v->exchange->route == FT_ROUTE_TOPICS
                       ? ft_answer_topic_check(v->exchange, v->request)
                       : ft_answer_body_encoding(v->exchange, v->request, &encoding);
    return is_good && check_size(v);
}

/* ---- all of it ---- */

static bool accept_upgrade(struct visit *v, struct ft_http_upgrade *upgrade)
{
    struct ft_problem problem;
    return ft_http_admit(v->exchange, v->request, &upgrade->places, &problem) == FT_OK ||
           refuse_problem(v, &problem);
}

static bool judge(struct visit *v, struct ft_http_upgrade *upgrade)
{
    if (!check_origin(v) || !check_address(v))
        return false;
    /* Whoever wants to upgrade gets a WebSocket or a refusal, whatever the method. */
    bool is_upgrade = v->exchange->route == FT_ROUTE_WEBSOCKET && ft_upgrade_is_asked(v->head);
    if (is_method(v, "OPTIONS") && !is_upgrade)
        return answer_options(v);
    if (v->exchange->route == FT_ROUTE_NONE)
        return refuse_path(v);
    if (!check_method(v) || !check_upgrade(v, upgrade))
        return false;
    if (!is_open(v) && (!identify(v) || !check_admin(v) || !check_user(v)))
        return false;
    /* The console is for all, but says what somebody without a token may do. */
    if (v->exchange->route == FT_ROUTE_CONSOLE && !look_at_nobody(v))
        return false;
    return v->exchange->route == FT_ROUTE_WEBSOCKET ? accept_upgrade(v, upgrade) : check_body(v);
}

enum ft_http_verdict ft_http_accept_head(struct ft_exchange *x,
                                         const struct ft_http_request *request,
                                         struct ft_http_upgrade *upgrade)
{
    struct visit v = {.exchange = x,
                      .request = request,
                      .head = request->head,
                      .options = ft_exchange_options(x),
                      .worker = x->asker.worker};
    x->route = ft_route_find(request->head->path, v.options);
    v.route = ft_route_row((enum ft_route)x->route);
    ft_asker_init(&x->asker, v.worker, NULL, NULL);
    if (judge(&v, upgrade))
        return x->route == FT_ROUTE_WEBSOCKET ? FT_HTTP_UPGRADE : FT_HTTP_READ_BODY;
    /* Whoever wanted a WebSocket speaks no more HTTP. */
    x->is_last = x->is_last || ft_upgrade_is_asked(request->head);
    return FT_HTTP_ANSWERED;
}
