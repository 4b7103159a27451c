/* GET /metrics and GET /v1/stats: the figures of the node, as Prometheus reads them and as a map. */
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/hub/metrics.h"
#include "protocol/writer.h"

void ft_answer_metrics(struct ft_exchange *x, const struct ft_http_request *request)
{
    (void)request;
    struct ft_figures figures;
    ft_figures_read(&figures, x->asker.worker, false);
    ft_figures_write_text(&figures, &x->response.body);
    x->response.status = 200;
    x->response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    ft_exchange_done(x);
}

void ft_answer_stats(struct ft_exchange *x, const struct ft_http_request *request)
{
    enum ft_encoding encoding = ft_negotiate_encoding(request->head, FT_JSON);
    struct ft_figures figures;
    struct ft_writer writer;
    ft_figures_read(&figures, x->asker.worker, false);
    ft_writer_init(&writer, encoding, &x->response.body);
    ft_figures_write_stats(&figures, NULL, &writer);
    x->response.status = 200;
    x->response.content_type = ft_negotiate_type(encoding);
    ft_exchange_done(x);
}
