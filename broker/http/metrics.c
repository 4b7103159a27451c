/* GET /metrics and GET /v1/stats: the same figures, for Prometheus and for everybody else. The worker's
 * thread. */
#include "broker/hub/metrics.h"

#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/hub/worker.h"

void ft_answer_metrics(struct ft_exchange *exchange, const struct ft_http_request *request)
{
    (void)request;
    struct ft_figures figures;
    ft_figures_read(&figures, exchange->asker.worker, false);
    exchange->response.status = 200;
    exchange->response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    ft_figures_write_text(&figures, &exchange->response.body);
    ft_exchange_done(exchange);
}

void ft_answer_stats(struct ft_exchange *exchange, const struct ft_http_request *request)
{
    struct ft_figures figures;
    struct ft_writer writer;
    ft_figures_read(&figures, exchange->asker.worker, false);
    ft_answer_begin(exchange, ft_negotiate_encoding(request->head, FT_JSON), &writer);
    ft_figures_write_stats(&figures, NULL, &writer);
    ft_answer_end(exchange);
}
