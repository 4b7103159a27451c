/*
 * GET /v1/events: makes a `sub` of the query, and hands the connection over to a session that carries it out
 * (conn.c). What a `sub` may hold is checked there, as for everybody. The worker's thread.
 */
#include "broker/http/answers.h"
#include "broker/http/query.h"
#include "protocol/utf8.h"

#include <stdio.h>

/* What a `sub` of one request can take: escapes make a byte six. */
#define SUB_MAX (8 * (size_t)FT_HTTP_HEAD_MAX)

struct events {
    struct ft_query query;
    struct ft_buffer topics, since;       /* elements of JSON arrays, each with a comma in front */
    bool has_last, has_every, is_resumed; /* resumed: Last-Event-ID says from where */
    uint64_t last, every;
};

static void add_text(struct ft_buffer *list, struct ft_slice text)
{
    ft_buffer_add_byte(list, ',');
    ft_json_add_quoted(list, text);
}

/* Adds positions: an event's id is all of them where it is that of several streams. */
static void add_positions(struct ft_buffer *list, struct ft_slice text)
{
    struct ft_slice position;
    while (ft_http_list_next(&text, &position))
        add_text(list, position);
}

static enum ft_err take(void *context, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
    struct events *events = context;
    enum ft_err err = FT_OK;
    if (ft_slice_equal(name, ft_slice_str("topic"))) {
        ft_query_keep_wildcards(&events->query, value);
        add_text(&events->topics, value);
    } else if (ft_slice_equal(name, ft_slice_str("since"))) {
        if (!events->is_resumed)
            add_positions(&events->since, value);
    } else if (ft_slice_equal(name, ft_slice_str("last"))) {
        err = ft_query_once("last", events->has_last, problem);
        if (err == FT_OK)
            err = ft_query_uint("last", value, &events->last, problem);
        events->has_last = true;
    } else if (ft_slice_equal(name, ft_slice_str("every"))) {
        err = ft_query_once("every", events->has_every, problem);
        if (err == FT_OK)
            err = ft_query_uint("every", value, &events->every, problem);
        events->has_every = true;
    }
    return err;
}

static enum ft_err read_request(struct events *events, const struct ft_http_head *head,
                                struct ft_problem *problem)
{
    struct ft_slice id = ft_http_field(head, "last-event-id", NULL);
    if (id.len > 0) {
        if (!ft_utf8_is_valid(id))
            return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "Last-Event-ID is not UTF-8");
        events->is_resumed = true;
        add_positions(&events->since, id);
    }
    enum ft_err err = ft_query_walk(&events->query, head, take, events, problem);
    if (err == FT_OK && events->topics.len == 0)
        err = ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                             "an event stream needs a topic: /v1/events?topic=a/b");
    return err;
}

static void add_list(struct ft_buffer *sub, const char *key, const struct ft_buffer *list)
{
    ft_buffer_add_str(sub, key);
    ft_buffer_add(sub, list->ptr + 1, list->len - 1);
    ft_buffer_add_byte(sub, ']');
}

static void write_sub(const struct events *events, struct ft_buffer *sub)
{
    char text[80];
    ft_buffer_add_str(sub, "{\"op\":\"sub\"");
    add_list(sub, ",\"topics\":[", &events->topics);
    if (events->since.len > 0)
        add_list(sub, ",\"since\":[", &events->since);
    if (events->has_last) {
        snprintf(text, sizeof(text), ",\"last\":%llu", (unsigned long long)events->last);
        ft_buffer_add_str(sub, text);
    }
    if (events->has_every) {
        snprintf(text, sizeof(text), ",\"every\":%llu", (unsigned long long)events->every);
        ft_buffer_add_str(sub, text);
    }
    ft_buffer_add_byte(sub, '}');
}

void ft_answer_events(struct ft_exchange *x, const struct ft_http_request *request)
{
    struct events events = {0};
    struct ft_problem problem;
    struct ft_buffer sub;
    ft_buffer_init(&events.topics, SUB_MAX);
    ft_buffer_init(&events.since, SUB_MAX);
    ft_buffer_init(&sub, 2 * SUB_MAX);
    if (read_request(&events, request->head, &problem) != FT_OK) {
        ft_exchange_problem(x, request, &problem);
    } else if (x->is_head) {
        x->response.status = 200;
        x->response.content_type = "text/event-stream";
        x->response.is_endless = true;
        ft_exchange_done(x);
    } else {
        write_sub(&events, &sub);
        ft_exchange_stream(x, request, ft_buffer_slice(&sub));
    }
    ft_buffer_fini(&sub);
    ft_buffer_fini(&events.since);
    ft_buffer_fini(&events.topics);
}
