/* GET /healthz and GET /readyz, for whoever watches over the process. The worker's thread. */
#include "broker/http/answers.h"
#include "broker/hub/worker.h"

static void answer(struct ft_exchange *x, int status, const char *word)
{
    struct ft_writer w;
    ft_answer_begin(x, FT_JSON, &w);
    x->response.status = status;
    ft_write_map(&w, 1);
    ft_write_key(&w, "status");
    ft_write_str(&w, ft_slice_str(word));
    ft_answer_end(x);
}

/* The process lives, and this worker's loop turns. */
void ft_answer_health(struct ft_exchange *x, const struct ft_http_request *request)
{
    (void)request;
    answer(x, 200, "ok");
}

/* New clients may be sent here. */
void ft_answer_ready(struct ft_exchange *x, const struct ft_http_request *request)
{
    (void)request;
    if (x->asker.worker->is_ending)
        answer(x, 503, "stopping");
    else
        answer(x, 200, "ready");
}
