/* GET /healthz and GET /readyz, for whoever watches over the process. The worker's thread. */
#include "broker/http/answers.h"
#include "broker/hub/worker.h"

static void answer(struct ft_exchange *x, int status, const char *word, const char *reason)
{
    struct ft_writer w;
    ft_answer_begin(x, FT_JSON, &w);
    x->response.status = status;
    ft_write_map(&w, reason ? 2 : 1);
    ft_write_key(&w, "status");
    ft_write_str(&w, ft_slice_str(word));
    if (reason) {
        ft_write_key(&w, "reason");
        ft_write_str(&w, ft_slice_str(reason));
    }
    ft_answer_end(x);
}

/* The process lives, and this worker's loop turns. */
void ft_answer_health(struct ft_exchange *x, const struct ft_http_request *request)
{
    (void)request;
    answer(x, 200, "ok", NULL);
}

/* New clients may be sent here: they would get everything, and what they publish would be taken. */
void ft_answer_ready(struct ft_exchange *x, const struct ft_http_request *request)
{
    const struct ft_worker *worker = x->asker.worker;
    const struct ft_hub *hub = worker->hub;
    char why[200];
    (void)request;
    if (worker->is_ending)
        answer(x, 503, "stopping", NULL);
    else if (hub->relay_ops && hub->relay_ops->is_unready(hub->relay, why))
        answer(x, 503, "unready", why);
    else
        answer(x, 200, "ready", NULL);
}
