/*
 * Lists of sessions: what the workers and the other nodes tell is gathered as nodes tell each other, put in order,
 * and cut. Who may ask is for the caller to say. Each worker's thread, one after the other.
 */
#include "broker/hub/session_list.h"

#include "broker/base/alloc.h"
#include "broker/hub/relay.h"
#include "broker/hub/worker.h"
#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"

#include <stdlib.h>

/* Of what is gathered: a thousand long sessions of each of a few dozen nodes. What comes then is not listed. */
#define GATHERED_MAX ((size_t)32 * 1024 * 1024)

/* Where a session lies among those that were gathered. */
struct item {
    uint64_t since_ms;
    struct ft_slice id, raw;
};

/* A question on its way. It is freed when this node's workers and the other nodes are done with it. */
struct list {
    struct ft_question question; /* the first: a pointer to one is a pointer to the other */
    void (*done)(struct ft_question *question);
    uint32_t out;  /* answers that are still to come: of the workers, of the other nodes */
    uint32_t refs; /* who still has a pointer to it: the same two */
    struct ft_relay_ask *tells; /* for whom it is asked here: it goes back, or with it */
    struct ft_session_query query;
    struct ft_buffer gathered; /* sessions side by side, and … */
    uint64_t total;            /* … how many there are */
    uint32_t nodes;            /* that have answered */
    struct ft_buffer missing;  /* names of those that have not, side by side … */
    uint32_t missing_count;    /* … and how many */
    struct ft_problem problem; /* why it is not all */
    uint8_t bytes[];
};

/* ---- asking this node ---- */

static void gather(struct list *list, const struct ft_session *session, size_t room)
{
    struct ft_session_texts texts;
    struct ft_session_info info;
    size_t len = list->gathered.len;
    ft_session_info_of(session, &info, &texts);
    ft_session_info_write(&info, &list->gathered);
    if (list->gathered.len > room || list->gathered.failed)
        list->gathered.len = len; /* it does not fit */
}

static struct ft_session *before(const struct list *list, const struct ft_roster *roster,
                                 uint32_t *at)
{
    return list->query.user.ptr ? ft_roster_before_of(roster, list->query.user, at)
                                : ft_roster_before(roster, at);
}

static void visit_all(struct list *list, const struct ft_worker *worker)
{
    const struct ft_roster *roster = &worker->sessions;
    size_t room = list->gathered.len + FT_SESSION_LIST_BYTES_MAX;
    uint32_t listed = 0, at = roster->count;
    const struct ft_session *session;
    while ((session = before(list, roster, &at))) {
        list->total += !session->is_ending;
        if (session->is_ending)
            continue;
        gather(list, session, room);
        if (++listed < list->query.limit)
            continue;
        if (!list->query.user.ptr) { /* the others need not be looked at one by one */
            list->total += at;
            return;
        }
        while ((session = before(list, roster, &at)))
            list->total += !session->is_ending;
    }
}

static void visit(struct ft_question *question, struct ft_worker *worker)
{
    struct list *list = (struct list *)question;
    const struct ft_session_query *query = &list->query;
    const struct ft_session *session;
    if (query->node.ptr && !ft_slice_equal(query->node, ft_slice_str(worker->options->node)))
        return;
    if (!query->session.ptr) {
        visit_all(list, worker);
        return;
    }
    session = ft_roster_find(&worker->sessions, query->session);
    bool is_meant =
        session && !session->is_ending &&
        (!query->user.ptr || ft_slice_equal(ft_identity_user(session->asker.who), query->user));
    if (!is_meant)
        return;
    list->total++;
    gather(list, session, list->gathered.len + FT_SESSION_LIST_BYTES_MAX);
}

/* ---- its life ---- */

static void list_release(struct list *list)
{
    if (--list->refs > 0)
        return;
    if (list->tells)
        ft_relay_ask_free(list->tells);
    ft_buffer_fini(&list->gathered);
    ft_buffer_fini(&list->missing);
    free(list);
}

static void on_question_free(struct ft_question *question)
{
    list_release((struct list *)question);
}

/* The workers, or the other nodes, have answered. */
static void on_answered(struct list *list)
{
    if (--list->out == 0 && !list->question.is_abandoned_)
        list->done(&list->question);
}

static void on_question_done(struct ft_question *question)
{
    struct list *list = (struct list *)question;
    list->nodes++;
    on_answered(list);
}

static struct list *list_new(const struct ft_session_query *query,
                             void (*done)(struct ft_question *question), void *asker)
{
    size_t size = query->user.len + query->session.len + query->node.len;
    struct list *list = ft_alloc_zero(sizeof(*list) + size);
    uint8_t *at = list->bytes;
    list->query = (struct ft_session_query){
        .limit = query->limit,
        .user = ft_slice_copy(query->user, &at),
        .session = ft_slice_copy(query->session, &at),
        .node = ft_slice_copy(query->node, &at),
    };
    ft_buffer_init(&list->gathered, GATHERED_MAX);
    ft_buffer_init(&list->missing, GATHERED_MAX);
    list->done = done;
    list->question = (struct ft_question){
        .visit = visit, .done = on_question_done, .free = on_question_free, .asker = asker};
    return list;
}

static void ask_workers(struct list *list, struct ft_worker *worker)
{
    list->out++;
    list->refs++;
    ft_question_ask(&list->question, worker);
}

/* ---- asking other nodes ---- */

static void on_nodes(struct ft_letter *letter, struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct list *list = ask->asker;
    (void)worker;
    ft_buffer_add(&list->gathered, ask->answer.ptr, ask->answer.len);
    list->total += ask->count;
    list->nodes += ask->outcome.nodes;
    ft_buffer_add(&list->missing, ask->missing.ptr, ask->missing.len);
    list->missing_count = ask->missing_count;
    list->problem = ask->problem;
    ft_relay_ask_free(ask);
    on_answered(list);
    list_release(list);
}

static void on_nodes_dropped(struct ft_letter *letter)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct list *list = ask->asker;
    ft_relay_ask_free(ask);
    list_release(list);
}

static void ask_nodes(struct list *list, const struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_new(worker->index, FT_ASK_SESSIONS, on_nodes);
    ask->letter.drop = on_nodes_dropped;
    ask->asker = list;
    list->out++;
    list->refs++;
    ft_session_query_write(&list->query, &ask->body);
    worker->hub->relay_ops->ask(worker->hub->relay, ask);
}

struct ft_question *ft_session_list(struct ft_worker *worker, const struct ft_session_query *query,
                                    void (*done)(struct ft_question *question), void *asker)
{
    struct list *list = list_new(query, done, asker);
    bool is_elsewhere =
        query->node.ptr && !ft_slice_equal(query->node, ft_slice_str(worker->options->node));
    if (worker->hub->relay_ops && (!query->node.ptr || is_elsewhere))
        ask_nodes(list, worker);
    else if (is_elsewhere)
        (void)ft_problem_set(&list->problem, FT_ERR_NOT_FOUND,
                             "this node is on its own, and has another name");
    ask_workers(list, worker);
    return &list->question;
}

/* ---- for other nodes ---- */

/* Reads what was gathered into `items`, where they are not NULL; returns how many there are. */
static uint32_t read_gathered(const struct list *list, struct item *items)
{
    struct ft_scan scan = ft_scan_of(ft_buffer_slice(&list->gathered));
    struct ft_session_info info;
    uint32_t n = 0;
    for (const uint8_t *begin = scan.at; scan.at < scan.end; begin = scan.at) {
        if (!ft_session_info_read(&scan, &info))
            break;
        if (items)
            items[n] = (struct item){.since_ms = info.since_ms,
                                     .id = info.session,
                                     .raw = ft_slice(begin, (size_t)(scan.at - begin))};
        n++;
    }
    return n;
}

/* The latest first. */
static int compare(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->since_ms != y->since_ms)
        return x->since_ms > y->since_ms ? -1 : 1;
    int order = memcmp(x->id.ptr, y->id.ptr, x->id.len < y->id.len ? x->id.len : y->id.len);
    return order != 0 ? order : (x->id.len > y->id.len) - (x->id.len < y->id.len);
}

/* Returns the sessions in order, `*count` of them; from malloc. */
static struct item *settle(const struct list *list, uint32_t *count)
{
    uint32_t n = read_gathered(list, NULL);
    struct item *items = ft_alloc((n + 1) * sizeof(*items));
    (void)read_gathered(list, items);
    qsort(items, n, sizeof(*items), compare);
    *count = n < list->query.limit ? n : list->query.limit;
    return items;
}

/* Puts what was found where the relay expects it: as many of the latest as fit. */
static void write_told(const struct list *list, struct ft_buffer *out)
{
    uint32_t count, fit = 0;
    size_t bytes = 0;
    struct item *items = settle(list, &count);
    while (fit < count && bytes + items[fit].raw.len <= FT_SESSION_LIST_BYTES_MAX)
        bytes += items[fit++].raw.len;
    ft_buffer_clear(out);
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, fit);
    for (uint32_t i = 0; i < fit; i++)
        ft_buffer_add(out, items[i].raw.ptr, items[i].raw.len);
    free(items);
}

static void on_told(struct ft_question *question)
{
    struct list *list = (struct list *)question;
    struct ft_hub *hub = question->asker;
    struct ft_relay_ask *ask = list->tells;
    list->tells = NULL;
    write_told(list, &ask->body);
    ask->count = list->total;
    hub->relay_ops->ask(hub->relay, ask);
}

/* Where nobody takes the answer any more. */
static void on_told_back(struct ft_letter *letter, struct ft_worker *worker)
{
    (void)worker;
    ft_relay_ask_free(ft_relay_ask_of(letter));
}

static void on_foreign(struct ft_letter *letter, struct ft_worker *worker)
{
    struct ft_relay_ask *ask = ft_relay_ask_of(letter);
    struct ft_session_query query;
    ask->letter.open = on_told_back;
    if (!ft_session_query_read(ft_buffer_slice(&ask->body), &query)) {
        ft_relay_ask_free(ask);
        return;
    }
    struct list *list = list_new(&query, on_told, worker->hub);
    list->tells = ask;
    ask_workers(list, worker);
}

void ft_session_list_foreign(struct ft_hub *hub, struct ft_relay_ask *ask)
{
    ask->letter.open = on_foreign;
    ft_letter_post(hub, ask->worker, &ask->letter);
}

/* ---- the answer ---- */

enum ft_err ft_session_list_refused(const struct ft_question *question, struct ft_problem *problem)
{
    const struct list *list = (const struct list *)question;
    if (list->problem.err != FT_ERR_NOT_FOUND)
        return FT_OK;
    *problem = list->problem;
    return problem->err;
}

static void tell_sessions(const struct list *list, struct ft_writer *w)
{
    uint32_t count;
    struct item *items = settle(list, &count);
    struct ft_session_info info;
    ft_write_key(w, "sessions");
    ft_write_array(w, count);
    for (uint32_t i = 0; i < count; i++) {
        struct ft_scan scan = ft_scan_of(items[i].raw);
        FT_ASSERT(ft_session_info_read(&scan, &info)); /* it was, a moment ago */
        ft_session_info_tell(&info, w);
    }
    free(items);
    ft_write_key(w, "total");
    ft_write_uint(w, list->total > count ? list->total : count);
    ft_write_key(w, "more");
    ft_write_bool(w, list->total > count);
}

static void tell_missing(const struct list *list, struct ft_writer *w)
{
    struct ft_scan scan = ft_scan_of(ft_buffer_slice(&list->missing));
    struct ft_value name;
    ft_write_key(w, "missing");
    ft_write_array(w, list->missing_count);
    for (uint32_t i = 0; i < list->missing_count; i++)
        ft_write_str(w, ft_msgpack_item(&scan, &name) ? name.text : ft_slice_str("?"));
}

void ft_session_list_tell(const struct ft_question *question, struct ft_writer *w)
{
    const struct list *list = (const struct list *)question;
    bool is_whole = list->problem.err == FT_OK;
    ft_write_map(w, is_whole ? 5 : 6);
    tell_sessions(list, w);
    ft_write_key(w, "nodes");
    ft_write_uint(w, list->nodes);
    tell_missing(list, w);
    if (is_whole)
        return;
    ft_write_key(w, "problem");
    ft_write_str(w, ft_slice_str(list->problem.text));
}
