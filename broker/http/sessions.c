/* GET /v1/sessions: who is connected, on all nodes (hub/session_list.h). The worker's thread. */
#include "broker/hub/session_list.h"

#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/query.h"
#include "broker/hub/session.h"

#define LIMIT_DEFAULT 100

struct wishes {
    struct ft_query text;
    struct ft_session_query query;
    uint64_t limit; /* 0: not said */
};

/* Takes a name that sessions can have; a longer one is nobody's. */
static enum ft_err take_name(const char *what, struct ft_slice value, size_t most,
                             struct ft_slice *name, struct ft_problem *problem)
{
    enum ft_err err = ft_query_once(what, name->ptr, problem);
    *name = value;
    if (err != FT_OK || value.len <= most)
        return err;
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "%s has %zu bytes, but %zu are the most",
                          what, value.len, most);
}

static enum ft_err take(void *context, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
    struct wishes *wishes = context;
    struct ft_session_query *query = &wishes->query;
    if (ft_slice_equal(name, ft_slice_str("user")))
        return take_name("user", value, FT_SESSION_NAME_MAX, &query->user, problem);
    if (ft_slice_equal(name, ft_slice_str("node")))
        return take_name("node", value, FT_SESSION_NAME_MAX, &query->node, problem);
    if (ft_slice_equal(name, ft_slice_str("session")))
        return take_name("session", value, FT_SESSION_ID_LEN, &query->session, problem);
    if (!ft_slice_equal(name, ft_slice_str("limit")))
        return FT_OK;
    enum ft_err err = ft_query_once("limit", wishes->limit, problem);
    return err == FT_OK ? ft_query_limit(value, FT_SESSIONS_LISTED_MAX, &wishes->limit, problem)
                        : err;
}

static void answer(struct ft_question *question)
{
    struct ft_exchange *x = question->asker;
    enum ft_encoding encoding =
        x->response.content_type == ft_negotiate_type(FT_MSGPACK) ? FT_MSGPACK : FT_JSON;
    struct ft_problem problem;
    struct ft_writer w;
    x->state = NULL; /* the question goes by itself */
    if (ft_session_list_refused(question, &problem) != FT_OK) {
        ft_exchange_fail(x, encoding, &problem);
        return;
    }
    ft_answer_begin(x, encoding, &w);
    ft_session_list_tell(question, &w);
    ft_answer_end(x);
}

static void abandon(struct ft_exchange *x)
{
    if (x->state)
        ft_question_abandon(x->state);
}

void ft_answer_sessions(struct ft_exchange *x, const struct ft_http_request *request)
{
    struct wishes wishes = {.limit = 0};
    struct ft_problem problem;
    if (ft_query_walk(&wishes.text, request->head, take, &wishes, &problem) != FT_OK) {
        ft_exchange_problem(x, request, &problem);
        return;
    }
    wishes.query.limit = wishes.limit ? (uint32_t)wishes.limit : LIMIT_DEFAULT;
    /* Noted here, as the request is gone by then. */
    x->response.content_type = ft_negotiate_type(ft_negotiate_encoding(request->head, FT_JSON));
    x->free_state = abandon;
    x->state = ft_session_list(x->asker.worker, &wishes.query, answer, x);
}
