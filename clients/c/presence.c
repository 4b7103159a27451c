/*
 * Requests for who is there, and their answers taken apart: rare, so by a library. Does not send. Pure;
 * the client's thread.
 */
#include "clients/c/presence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "broker/base/alloc.h"
#include "clients/c/message_json.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

struct ft_presence_request {
    char id[24]; /* "": to be asked for */
    fantail_presence_fn *done;
    void *user;
    struct ft_presence_request *prev, *next;
    char topic[]; /* with a NUL */
};

void ft_client_presences_init(struct ft_client_presences *presences, struct fantail *client)
{
    *presences = (struct ft_client_presences){.client_ = client};
}

static void free_one(struct ft_client_presences *presences, struct ft_presence_request *request)
{
    presences->unasked_ -= request->id[0] == '\0';
    presences->count--;
    DL_DELETE(presences->all_, request);
    free(request);
}

void ft_client_presences_fini(struct ft_client_presences *presences)
{
    while (presences->all_)
        free_one(presences, presences->all_);
}

enum ft_err ft_client_presences_add(struct ft_client_presences *presences, const char *topic,
                                    fantail_presence_fn *done, void *user,
                                    struct ft_problem *problem)
{
    if (presences->count >= FT_PRESENCES_MAX)
        return ft_problem_set(problem, FT_ERR_TOO_MANY, "%d presences are waiting for an answer",
                              FT_PRESENCES_MAX);
    enum ft_err err = ft_topic_check(ft_slice_str(topic), problem);
    if (err)
        return err;
    size_t len = strlen(topic) + 1;
    struct ft_presence_request *request = ft_alloc_zero(sizeof(*request) + len);
    memcpy(request->topic, topic, len);
    request->done = done;
    request->user = user;
    DL_APPEND(presences->all_, request);
    presences->count++;
    presences->unasked_++;
    return FT_OK;
}

bool ft_client_presences_ask(struct ft_client_presences *presences, enum ft_encoding encoding,
                             struct ft_buffer *envelope)
{
    struct ft_presence_request *request;
    struct ft_writer writer;
    if (presences->unasked_ == 0)
        return false;
    DL_FOREACH(presences->all_, request)
    if (request->id[0] == '\0')
        break;
    snprintf(request->id, sizeof(request->id), "%c%" PRIu64, FT_PRESENCE_ID,
             ++presences->last_request_);
    presences->unasked_--;
    ft_writer_init(&writer, encoding, envelope);
    ft_write_map(&writer, 3);
    ft_write_key(&writer, "op");
    ft_write_str(&writer, ft_slice_str("presence"));
    ft_write_key(&writer, "id");
    ft_write_str(&writer, ft_slice_str(request->id));
    ft_write_key(&writer, "topic");
    ft_write_str(&writer, ft_slice_str(request->topic));
    return true;
}

void ft_client_presences_break(struct ft_client_presences *presences)
{
    struct ft_presence_request *request;
    DL_FOREACH(presences->all_, request)
    request->id[0] = '\0';
    presences->unasked_ = presences->count;
}

/* Finds the envelope with this id, lent. */
static const json_t *find_envelope(const json_t *top, const char *id)
{
    if (json_is_object(top))
        return top;
    for (size_t i = 0; i < json_array_size(top); i++) {
        const json_t *envelope = json_array_get(top, i);
        const char *its = json_string_value(json_object_get(envelope, "id"));
        if (its && strcmp(its, id) == 0)
            return envelope;
    }
    return NULL;
}

static uint64_t as_count(const json_t *value)
{
    json_int_t number = json_integer_value(value);
    return number > 0 ? (uint64_t)number : 0;
}

/* Lends what the envelope lists. False: it is no answer. */
static bool read_clients(const json_t *envelope, struct fantail_presence *presence,
                         struct fantail_present **clients)
{
    const json_t *count = json_object_get(envelope, "count");
    const json_t *list = json_object_get(envelope, "clients");
    if (!json_is_integer(count) || !json_is_array(list))
        return false;
    size_t n = json_array_size(list);
    *clients = ft_alloc_zero((n + 1) * sizeof(**clients));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        (*clients)[i] = (struct fantail_present){
            .session = json_string_value(json_object_get(item, "session")),
            .user = json_string_value(json_object_get(item, "user")),
            .since_ms = as_count(json_object_get(item, "since")),
        };
        if (!(*clients)[i].session)
            return false;
    }
    presence->count = as_count(count);
    presence->clients = *clients;
    presence->client_count = n;
    return true;
}

static void end(struct ft_client_presences *presences, struct ft_presence_request *request,
                const struct fantail_presence *answer)
{
    fantail_presence_fn *done = request->done;
    void *user = request->user;
    free_one(presences, request); /* first: the callback may ask for the next */
    done(presences->client_, answer, user);
}

bool ft_client_presences_answer(struct ft_client_presences *presences, struct ft_slice id,
                                const struct fantail_result *result, enum ft_encoding encoding,
                                struct ft_slice message)
{
    struct ft_presence_request *request;
    DL_FOREACH(presences->all_, request)
    if (request->id[0] != '\0' && ft_slice_equal(id, ft_slice_str(request->id)))
        break;
    if (!request)
        return false;
    struct fantail_presence answer = {
        .code = result->code, .message = result->message, .retry_ms = result->retry_ms};
    json_t *top = result->code == 0 ? ft_message_json(encoding, message) : NULL;
    struct fantail_present *clients = NULL;
    if (result->code == 0 && !read_clients(find_envelope(top, request->id), &answer, &clients)) {
        answer.code = ft_err_wire(FT_ERR_INTERNAL);
        answer.message = "the answer does not say who is present";
    }
    end(presences, request, &answer);
    free(clients);
    json_decref(top);
    return true;
}

void ft_client_presences_end_all(struct ft_client_presences *presences)
{
    static const struct fantail_presence closed = {
        .code = FANTAIL_UNAVAILABLE,
        .message = "the client is closed",
    };
    while (presences->all_)
        end(presences, presences->all_, &closed);
}
