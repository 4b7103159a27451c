/*
 * GET / and what it needs: the console's files and its examples, which are the same for everybody, and
 * /console/config.json, which is not. Browsers may keep the files, and ask each time whether they have changed.
 * The worker's thread.
 */
#include "broker/http/answers.h"
#include "broker/http/negotiate.h"
#include "broker/http/options.h"
#include "broker/http/page_files.h"

#include <stdio.h>

#define CONFIG "/console/config.json"

/* A page may load what comes from here, and run what is in files; what is in the page itself has to be known
 * when it is built. */
#define POLICY                                                                               \
    "Content-Security-Policy: default-src 'none'; script-src 'self'%s; style-src 'self'%s; " \
    "img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "         \
    "form-action 'none'; frame-ancestors 'none'\r\n"                                         \
    "Referrer-Policy: no-referrer\r\n"

bool ft_answer_page_is(struct ft_slice path)
{
    return ft_slice_equal(path, ft_slice_str(CONFIG)) || ft_page_find(path);
}

static void add_policy(struct ft_buffer *headers, const char *scripts, const char *styles)
{
    size_t room = sizeof(POLICY) + strlen(scripts) + strlen(styles);
    uint8_t *at = ft_buffer_reserve(headers, room);
    if (at)
        headers->len += (size_t)snprintf((char *)at, room, POLICY, scripts, styles);
}

/* What the page cannot know: whom it is from, where the WebSocket is, and whether a token is needed for all that
 * the console does. Whom it is from is for those who are let in. */
static void answer_config(struct ft_exchange *x)
{
    const struct ft_identity *who = x->asker.who;
    struct ft_writer w;
    ft_answer_begin(x, FT_JSON, &w);
    ft_write_map(&w, who ? 4 : 2);
    if (who) {
        ft_write_key(&w, "version");
        ft_write_str(&w, ft_slice_str(FT_VERSION));
        ft_write_key(&w, "node");
        ft_write_str(&w, ft_slice_str(x->asker.worker->options->node));
    }
    ft_write_key(&w, "ws");
    ft_write_str(&w, ft_slice_str(ft_exchange_options(x)->ws_path));
    ft_write_key(&w, "auth");
    ft_write_bool(&w, !who || !ft_identity_is_admin(who));
    ft_answer_end(x);
}

/* Says whether the client has what it asks for: RFC 9110 section 13.1.2, where the comparison is the weak one. */
static bool has_it(const struct ft_http_head *head, const char *tag)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct ft_slice rest = head->fields[i].value, element;
        if (!ft_http_is(head->fields[i].name, "if-none-match"))
            continue;
        while (ft_http_list_next(&rest, &element)) {
            if (element.len > 2 && memcmp(element.ptr, "W/", 2) == 0)
                element = ft_slice(element.ptr + 2, element.len - 2);
            if (ft_slice_equal(element, ft_slice_str(tag)) ||
                ft_slice_equal(element, ft_slice_str("*")))
                return true;
        }
    }
    return false;
}

static void answer_file(struct ft_exchange *x, const struct ft_http_head *head,
                        const struct ft_page *page)
{
    struct ft_http_response *response = &x->response;
    bool is_packed = page->packed.len > 0 && ft_negotiate_gzip(head);
    char tag[64]; /* another one for each form: RFC 9110 section 8.8.3.3 */
    snprintf(tag, sizeof(tag), "\"%s%s\"", page->tag, is_packed ? "-gz" : "");
    ft_exchange_header(x, "ETag", tag);
    ft_exchange_header(x, "Vary", "Accept-Encoding");
    add_policy(&response->headers, page->scripts, page->styles);
    response->cache = "no-cache";
    response->status = has_it(head, tag) ? 304 : 200;
    if (response->status == 200) {
        response->content_type = page->type;
        response->file = is_packed ? page->packed : page->plain;
        if (is_packed)
            ft_exchange_header(x, "Content-Encoding", "gzip");
    }
    ft_exchange_done(x);
}

void ft_answer_page(struct ft_exchange *x, const struct ft_http_request *request)
{
    const struct ft_page *page = ft_page_find(request->head->path);
    if (page)
        answer_file(x, request->head, page);
    else
        answer_config(x);
}
