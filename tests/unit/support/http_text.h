/* Heads of requests from text, for tests of what looks at heads. */
#ifndef FT_TESTS_HTTP_TEXT_H
#define FT_TESTS_HTTP_TEXT_H

#include "protocol/http_head.h"

/* Reads a head whose request line is "METHOD TARGET HTTP/1.1" and whose fields are lines that end with '\n';
 * Host is added. It is lent until the next call. */
const struct ft_http_head *ft_http_text(const char *line, const char *fields);

#endif
