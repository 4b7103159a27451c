/*
 * POST /v1/topics/<topic>: the body is the data, and what it is its Content-Type says. The topic is what
 * follows in the path, percent-decoded, so that a '/' may stand as it is. The worker's thread.
 */
#include "broker/base/alloc.h"
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/publish.h"
#include "broker/http/query.h"
#include "broker/hub/publish.h"
#include "protocol/json_scan.h"
#include "protocol/utf8.h"

#include <stdlib.h>

#define PREFIX "/v1/topics/"

/* Decodes the topic into `out`, which has room for the path. Whether it is one is for others to say. */
static enum ft_err read_topic(const struct ft_http_head *head, uint8_t *out, struct ft_slice *topic,
                              struct ft_problem *problem)
{
    size_t skip = sizeof(PREFIX) - 1, len;
    struct ft_slice rest = ft_slice(head->path.ptr + skip, head->path.len - skip);
    if (!ft_percent_decode(rest, false, out, &len))
        return ft_problem_set(problem, FT_ERR_BAD_REQUEST,
                              "the topic has a %% without two hexadecimal digits");
    *topic = ft_slice(out, len);
    return FT_OK;
}

/* White space around a JSON value is not part of it. */
static struct ft_slice trim(struct ft_slice text)
{
    while (text.len > 0 && ft_json_is_space(text.ptr[0]))
        text = ft_slice(text.ptr + 1, text.len - 1);
    while (text.len > 0 && ft_json_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* Reads the body as data. A text becomes a JSON string in `text`. */
static enum ft_err read_data(enum ft_media media, struct ft_slice body, struct ft_buffer *text,
                             struct ft_data *data, struct ft_problem *problem)
{
    switch (media) {
    case FT_MEDIA_JSON:
        *data = (struct ft_data){FT_DATA_JSON, trim(body)};
        return ft_data_check(FT_JSON, body, problem);
    case FT_MEDIA_MSGPACK:
        *data = (struct ft_data){FT_DATA_MSGPACK, body};
        return ft_data_check(FT_MSGPACK, body, problem);
    case FT_MEDIA_TEXT:
        if (!ft_utf8_is_valid(body))
            return ft_problem_set(problem, FT_ERR_BAD_DATA, "the text is not UTF-8");
        ft_json_add_quoted(text, body);
        *data = (struct ft_data){FT_DATA_JSON, ft_buffer_slice(text)};
        return FT_OK;
    default:
        *data = (struct ft_data){FT_DATA_BYTES, body.ptr ? body : ft_slice_str("")};
        return FT_OK;
    }
}

/* Everything that a request says about its publication, and where that lies. */
struct upload {
    struct ft_envelope envelope;
    struct ft_query query;
    bool has_retain;
    uint8_t topic[FT_HTTP_HEAD_MAX];
    struct ft_buffer text;
};

static enum ft_err take_key(struct ft_slice value, struct ft_envelope *envelope,
                            struct ft_problem *problem)
{
    enum ft_err err = ft_query_once("key", envelope->key.ptr, problem);
    if (err == FT_OK && value.len > FT_KEY_BYTES_MAX)
        err = ft_problem_set(problem, FT_ERR_BAD_FIELD, "key has %zu bytes, but %d are the most",
                             value.len, FT_KEY_BYTES_MAX);
    envelope->key = value;
    return err;
}

static enum ft_err take(void *context, struct ft_slice name, struct ft_slice value,
                        struct ft_problem *problem)
{
    struct upload *upload = context;
    struct ft_envelope *envelope = &upload->envelope;
    enum ft_err err = FT_OK;
    if (ft_slice_equal(name, ft_slice_str("retain"))) {
        err = ft_query_once("retain", upload->has_retain, problem);
        if (err == FT_OK)
            err = ft_query_bool("retain", value, &envelope->retain, problem);
        upload->has_retain = true;
    } else if (ft_slice_equal(name, ft_slice_str("ttl"))) {
        err = ft_query_once("ttl", envelope->has_ttl, problem);
        if (err == FT_OK)
            err = ft_query_uint("ttl", value, &envelope->ttl_s, problem);
        envelope->has_ttl = true;
    } else if (ft_slice_equal(name, ft_slice_str("key"))) {
        err = take_key(value, envelope, problem);
    }
    return err;
}

static enum ft_err read_upload(const struct ft_http_request *request, struct upload *upload,
                               struct ft_problem *problem)
{
    struct ft_envelope *envelope = &upload->envelope;
    enum ft_err err = read_topic(request->head, upload->topic, &envelope->topic, problem);
    if (err == FT_OK)
        err = ft_query_walk(&upload->query, request->head, take, upload, problem);
    if (err == FT_OK)
        err = read_data(ft_negotiate_media(request->head), request->body, &upload->text,
                        &envelope->data, problem);
    return err;
}

bool ft_answer_topic_check(struct ft_exchange *x, const struct ft_http_request *request)
{
    uint8_t text[FT_HTTP_HEAD_MAX];
    struct ft_slice topic;
    struct ft_problem problem;
    enum ft_media media = ft_negotiate_media(request->head);
    if (media == FT_MEDIA_SEVERAL) {
        ft_exchange_refuse(x, request, 400, "the request has more than one Content-Type");
        return false;
    }
    if (media == FT_MEDIA_CHARSET) {
        ft_exchange_refuse(x, request, 415, "JSON and text are UTF-8, and no other charset");
        return false;
    }
    if (read_topic(request->head, text, &topic, &problem) == FT_OK &&
        ft_publish_check_topic(&x->asker, topic, &problem) == FT_OK)
        return true;
    ft_exchange_problem(x, request, &problem);
    return false;
}

void ft_answer_topics(struct ft_exchange *x, const struct ft_http_request *request)
{
    struct ft_problem problem;
    struct upload *upload = ft_alloc(sizeof(*upload));
    upload->envelope = (struct ft_envelope){.op = FT_OP_PUB};
    upload->has_retain = false;
    ft_buffer_init(&upload->text, 6 * request->body.len + 2); /* \u00XX, and the quotes */
    if (read_upload(request, upload, &problem) == FT_OK)
        ft_http_publish(x, request, &upload->envelope);
    else
        ft_exchange_problem(x, request, &problem);
    ft_buffer_fini(&upload->text);
    free(upload);
}
