/* Writes the head as a client would and has the broker's own reader read it. */
#include "tests/unit/support/http_text.h"

#include "broker/base/alloc.h"

#include <stdio.h>
#include <string.h>

const struct ft_http_head *ft_http_text(const char *line, const char *fields)
{
    static struct ft_http_head head;
    static char text[FT_HTTP_HEAD_MAX];
    const char *host = strstr(fields, "Host:") ? "" : "Host: broker.example\r\n";
    size_t n = (size_t)snprintf(text, sizeof(text), "%s HTTP/1.1\r\n%s", line, host);
    for (; *fields; fields++) {
        FT_ASSERT(n + 4 < sizeof(text));
        if (*fields == '\n')
            text[n++] = '\r';
        text[n++] = *fields;
    }
    n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
    FT_ASSERT(ft_http_head_read(ft_slice(text, n), &head, NULL) == FT_HTTP_HEAD_READ);
    return &head;
}
