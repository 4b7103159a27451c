/* Asks over HTTP, one broker after the other; says what went wrong; hands what came to the command. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/c/servers.h"
#include "clients/cli/ask.h"
#include "clients/cli/http_get.h"
#include "clients/cli/output.h"
#include "protocol/quote.h"

uint64_t ft_ask_count(const json_t *value)
{
    json_int_t number = json_integer_value(value);
    return number > 0 ? (uint64_t)number : 0;
}

void ft_ask_add_count(struct ft_table *table, uint64_t count)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, count);
    ft_table_add(table, text);
}

void ft_ask_add_text(struct ft_table *table, const json_t *value)
{
    ft_table_add(table, json_is_string(value) ? json_string_value(value) : "?");
}

static int complain(const char *url, const char *what, enum ft_exit code)
{
    fprintf(stderr, "fantail: %s: %s\n", url, what);
    return (int)code;
}

/* Says why the broker refused: its own words, where it had any. */
static int refuse(const struct ft_ask *ask, const char *url, int status, const json_t *top)
{
    const char *message =
        json_string_value(json_object_get(json_object_get(top, "error"), "message"));
    char quoted[FT_QUOTE_MAX], text[FT_QUOTE_MAX + 96];
    snprintf(text, sizeof(text), "the broker refused the %s (%d)%s%s", ask->what, status,
             message ? ": " : "", message ? ft_quote(ft_slice_str(message), quoted) : "");
    return complain(url, text, FT_EXIT_FAILED);
}

static int print_list(const struct ft_ask *ask, struct ft_slice body, const json_t *top)
{
    struct ft_output output;
    ft_output_init(&output);
    int code = FT_EXIT_OK;
    if (!ask->is_json) {
        code = (int)ask->print(top, &output.bytes);
    } else {
        ft_buffer_add(&output.bytes, body.ptr, body.len);
        if (body.ptr[body.len - 1] != '\n')
            ft_buffer_add_byte(&output.bytes, '\n');
    }
    ft_output_flush(&output);
    if (output.state == FT_OUTPUT_FAILED)
        code = FT_EXIT_FAILED;
    ft_output_fini(&output);
    return code;
}

static int print_answer(const struct ft_ask *ask, const char *url,
                        const struct ft_http_answer *answer)
{
    struct ft_slice body = ft_buffer_slice(&answer->body);
    json_t *top = json_loadb(body.ptr ? (const char *)body.ptr : "", body.len, 0, NULL);
    char text[96];
    int code;
    snprintf(text, sizeof(text), "that is no %s: is it a broker?", ask->what);
    if (answer->status != 200)
        code = refuse(ask, url, answer->status, top);
    else if (!json_is_array(json_object_get(top, ask->key)))
        code = complain(url, text, FT_EXIT_FAILED);
    else
        code = print_list(ask, body, top);
    json_decref(top);
    return code;
}

/* Asks one node. False: it could not be reached, and that was said. */
static bool ask_one(const struct ft_ask *ask, const struct ft_server *server, const char *token,
                    int *code)
{
    struct ft_http_get get = {
        .url = &server->url,
        .path = ask->path,
        .token = token,
        .ca_file = ask->link->ca_file,
        .is_insecure = ask->link->insecure,
    };
    struct ft_http_answer answer;
    ft_http_get(&get, &answer);
    bool is_there = answer.status != 0;
    *code = is_there ? print_answer(ask, server->text, &answer)
                     : complain(server->text, answer.reason, FT_EXIT_NO_BROKER);
    ft_buffer_fini(&answer.body);
    return is_there;
}

int ft_ask(const struct ft_ask *ask)
{
    static char file_token[FT_LINK_TOKEN_MAX + 2];
    struct ft_link_urls urls;
    struct ft_servers servers;
    struct ft_problem problem;
    const char *token = ask->link->token ? ask->link->token : getenv("FANTAIL_TOKEN");
    if (ask->link->token_file)
        token = ft_link_read_token(ask->link->token_file, file_token);
    int code = FT_EXIT_USAGE;
    ft_link_urls_init(&urls, ask->link);
    if (ft_servers_init(&servers, urls.items, urls.count, &problem) != FT_OK) {
        fprintf(stderr, "fantail: %s\n", problem.text);
    } else {
        size_t left = servers.count;
        while (left-- > 0 && !ask_one(ask, ft_servers_now(&servers), token, &code))
            ft_servers_failed(&servers, 0);
    }
    ft_servers_fini(&servers);
    ft_link_urls_fini(&urls);
    return code;
}
