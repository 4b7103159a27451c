/*
 * The head of an HTTP request, read in one pass and in the order of its bytes: what can be refused is
 * refused at the first byte that is wrong, so that a client that speaks another protocol is not waited
 * for. Problems never quote what came: it may be a credential. What values are made of is http_value.c's;
 * what is done with them, the callers'. Pure; any thread.
 */
#include "protocol/http_head.h"

#include "protocol/http_value.h"

/* The longest registered method has 17 characters (IANA). */
#define METHOD_MAX 32

/* What a character may be part of. */
enum { IS_TOKEN = 1, IS_TARGET = 2, IS_HOST = 4 };

/*
 * Token: RFC 9110 section 5.6.2. Target: visible ASCII but '#' (RFC 9112 section 3.2). Host: RFC 3986
 * section 3.2.2, but no comma: two hosts are not one.
 */
static const uint8_t classes[256] = {
    [0x20] = 0, 7, 2, 1, 7, 7, 7, 7, 6, 6, 7, 7, 2, 7, 7, 2, /*   ! " # $ % & ' ( ) * + , - . / */
    [0x30] = 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 6, 2, 6, 2, 2, /* 0 1 2 3 4 5 6 7 8 9 : ; < = > ? */
    [0x40] = 2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, /* @ A B C D E F G H I J K L M N O */
    [0x50] = 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 2, 2, 3, 7, /* P Q R S T U V W X Y Z [ \ ] ^ _ */
    [0x60] = 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, /* ` a b c d e f g h i j k l m n o */
    [0x70] = 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 3, 2, 7, 0, /* p q r s t u v w x y z { | } ~   */
};

/* Where the reader stands. Its steps return FT_HTTP_HEAD_READ to go on, or what the whole returns. */
struct cursor {
    const uint8_t *at, *end;
    struct ft_http_head *head;
    struct ft_problem *problem;
    uint32_t host_count;
};

static int refuse(struct cursor *cursor, int status, const char *text)
{
    enum ft_err err = status == 411 ? FT_ERR_NO_LENGTH : FT_ERR_BAD_REQUEST;
    ft_problem_set(cursor->problem, err, "%s", text);
    return status;
}

static int malformed(struct cursor *cursor, const char *text)
{
    return refuse(cursor, 400, text);
}

static const uint8_t *skip(const uint8_t *at, const uint8_t *end, uint8_t class)
{
    while (at < end && classes[*at] & class)
        at++;
    return at;
}

/* Takes the CR that is there, and the LF behind it. */
static int read_crlf(struct cursor *cursor)
{
    if (cursor->end - cursor->at < 2)
        return FT_HTTP_HEAD_MORE;
    if (cursor->at[1] != '\n')
        return malformed(cursor, "a CR must be followed by LF");
    cursor->at += 2;
    return FT_HTTP_HEAD_READ;
}

static int read_line_end(struct cursor *cursor, const char *complaint)
{
    if (cursor->at == cursor->end)
        return FT_HTTP_HEAD_MORE;
    return *cursor->at == '\r' ? read_crlf(cursor) : malformed(cursor, complaint);
}

/* Takes characters of one class, at least one, and the space behind them. */
static int read_word(struct cursor *cursor, uint8_t class, struct ft_slice *word,
                     const char *complaint)
{
    const uint8_t *end = skip(cursor->at, cursor->end, class);
    *word = ft_slice(cursor->at, (size_t)(end - cursor->at));
    if (class == IS_TOKEN && word->len > METHOD_MAX)
        return malformed(cursor, "there is no method that long");
    if (end == cursor->end)
        return FT_HTTP_HEAD_MORE;
    if (*end != ' ' || word->len == 0)
        return malformed(cursor, complaint);
    cursor->at = end + 1;
    return FT_HTTP_HEAD_READ;
}

/* Takes HTTP/1.x and the end of the line. */
static int read_version(struct cursor *cursor)
{
    static const char shape[] = "HTTP/0.0"; /* '0' stands for any digit */
    enum { MAJOR = 5, MINOR = 7, SIZE = 8 };
    const uint8_t *version = cursor->at;
    for (size_t i = 0; i < SIZE; i++, cursor->at++) {
        if (cursor->at == cursor->end)
            return FT_HTTP_HEAD_MORE;
        uint8_t c = *cursor->at;
        if (shape[i] == '0' ? c < '0' || c > '9' : c != (uint8_t)shape[i])
            return malformed(cursor, "the request line must end with HTTP/1.1");
    }
    int got = read_line_end(cursor, "the request line must end with HTTP/1.1 and CR LF");
    if (got != FT_HTTP_HEAD_READ)
        return got;
    if (version[MAJOR] != '1')
        return refuse(cursor, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    cursor->head->minor = version[MINOR] > '0' ? 1 : 0; /* 1.2 would be read as 1.1 */
    return FT_HTTP_HEAD_READ;
}

/* Finds the end of the address that begins with a bracket; NULL when it is none. */
static const uint8_t *skip_ip6(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *close = memchr(at, ']', (size_t)(end - at));
    if (!close || close - at < 3)
        return NULL;
    for (at++; at < close; at++)
        if (!memchr("0123456789:.abcdefABCDEF", *at, 24))
            return NULL;
    return close + 1;
}

/* Says whether a text is a name or an address, and perhaps a port (RFC 9110 section 7.2). */
static bool is_host(struct ft_slice text)
{
    const uint8_t *end = text.ptr + text.len;
    if (text.len == 0)
        return false;
    const uint8_t *at = text.ptr[0] == '[' ? skip_ip6(text.ptr, end) : skip(text.ptr, end, IS_HOST);
    if (!at || at == text.ptr)
        return false;
    if (at < end && *at == ':')
        for (at++; at < end && *at >= '0' && *at <= '9';)
            at++;
    return at == end;
}

/* Cuts what begins with a path at its '?'. */
static void split_query(struct ft_http_head *head, struct ft_slice rest)
{
    const uint8_t *mark = memchr(rest.ptr, '?', rest.len);
    size_t path_len = mark ? (size_t)(mark - rest.ptr) : rest.len;
    head->path = ft_slice(rest.ptr, path_len);
    size_t skipped = mark ? path_len + 1 : path_len;
    head->query = ft_slice(rest.ptr + skipped, rest.len - skipped);
}

/* Reads "http://host/path?query" (RFC 9112 section 3.2.2), which every server has to take. */
static int split_absolute(struct cursor *cursor)
{
    struct ft_http_head *head = cursor->head;
    size_t scheme = head->target.len >= 8 && head->target.ptr[4] == ':' ? 7 : 8;
    if (head->target.len <= scheme || !(ft_http_is(ft_slice(head->target.ptr, scheme), "http://") ||
                                        ft_http_is(ft_slice(head->target.ptr, scheme), "https://")))
        return malformed(cursor, "the target must begin with / or http://");
    struct ft_slice rest = ft_slice(head->target.ptr + scheme, head->target.len - scheme);
    size_t len = 0;
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
        len++;
    head->host = ft_slice(rest.ptr, len);
    if (!is_host(head->host))
        return malformed(cursor, "the target must have a host and no user name");
    split_query(head, ft_slice(rest.ptr + len, rest.len - len));
    if (head->path.len == 0)
        head->path = ft_slice(rest.ptr - 1, 1); /* "/", as RFC 9110 section 4.2.3 says */
    return FT_HTTP_HEAD_READ;
}

static int split_target(struct cursor *cursor)
{
    struct ft_http_head *head = cursor->head;
    head->host = (struct ft_slice){0};
    if (head->target.ptr[0] == '/') {
        split_query(head, head->target);
        return FT_HTTP_HEAD_READ;
    }
    if (head->target.ptr[0] != '*')
        return split_absolute(cursor);
    if (head->target.len > 1 || !ft_slice_equal(head->method, ft_slice_str("OPTIONS")))
        return malformed(cursor, "the target * is for OPTIONS");
    split_query(head, head->target);
    return FT_HTTP_HEAD_READ;
}

/* Takes the request line (RFC 9112 section 3), and the empty line that may be before it. */
static int read_request_line(struct cursor *cursor)
{
    struct ft_http_head *head = cursor->head;
    if (cursor->at < cursor->end && *cursor->at == '\r') {
        int got = read_crlf(cursor);
        if (got != FT_HTTP_HEAD_READ)
            return got;
    }
    int got = read_word(cursor, IS_TOKEN, &head->method,
                        "the request must begin with a method and one space");
    if (got != FT_HTTP_HEAD_READ)
        return got;
    if (cursor->at < cursor->end && !memchr("/*hH", *cursor->at, 4))
        return malformed(cursor, "the target must begin with / or http://");
    got = read_word(cursor, IS_TARGET, &head->target,
                    "the target must be ASCII without # and be followed by one space");
    if (got != FT_HTTP_HEAD_READ)
        return got;
    got = read_version(cursor);
    return got == FT_HTTP_HEAD_READ ? split_target(cursor) : got;
}

/* Reads 1*DIGIT below 2^63; a list of equal numbers, which RFC 9110 section 8.6 lets pass, is refused. */
static bool read_length(struct ft_slice text, uint64_t *length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.ptr[i] - '0';
        if (digit > 9 || value > (INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *length = value;
    return text.len > 0;
}

static int on_content_length(struct cursor *cursor, struct ft_slice value)
{
    if (cursor->head->has_body_length)
        return malformed(cursor, "Content-Length must be there once");
    if (!read_length(value, &cursor->head->body_bytes))
        return malformed(cursor, "Content-Length must be one number");
    cursor->head->has_body_length = true;
    return FT_HTTP_HEAD_READ;
}

static int on_host(struct cursor *cursor, struct ft_slice value)
{
    if (++cursor->host_count > 1)
        return malformed(cursor, "Host must be there once");
    if (!is_host(value))
        return malformed(cursor, "Host must be a name or an address, with a port or without");
    /* A target with a host of its own counts more (RFC 9112 section 3.2.2). */
    if (!cursor->head->host.ptr)
        cursor->head->host = value;
    return FT_HTTP_HEAD_READ;
}

static int on_expect(struct cursor *cursor, struct ft_slice value)
{
    if (cursor->head->minor == 0)
        return FT_HTTP_HEAD_READ; /* RFC 9110 section 10.1.1 */
    struct ft_slice element;
    while (ft_http_list_next(&value, &element)) {
        if (!ft_http_is(element, "100-continue"))
            return refuse(cursor, 417, "the only Expect that can be met is 100-continue");
        cursor->head->expects_continue = true;
    }
    return FT_HTTP_HEAD_READ;
}

static int on_connection(struct cursor *cursor, struct ft_slice value)
{
    struct ft_slice element;
    while (ft_http_list_next(&value, &element))
        if (ft_http_is(element, "close"))
            cursor->head->is_last = true;
    return FT_HTTP_HEAD_READ;
}

static int on_transfer_encoding(struct cursor *cursor, struct ft_slice value)
{
    (void)value;
    return refuse(cursor, 411, "a body needs a Content-Length and no Transfer-Encoding");
}

/* The fields that decide where a request ends, and for whom it is. */
static const struct {
    const char *name;
    size_t len;
    int (*look)(struct cursor *cursor, struct ft_slice value);
} known[] = {
    {"host", 4, on_host},
    {"connection", 10, on_connection},
    {"content-length", 14, on_content_length},
    {"transfer-encoding", 17, on_transfer_encoding},
    {"expect", 6, on_expect},
};

static int look_at(struct cursor *cursor, const struct ft_http_field *field)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (field->name.len == known[i].len && ft_http_is(field->name, known[i].name))
            return known[i].look(cursor, field->value);
    return FT_HTTP_HEAD_READ;
}

/* Says whether one of eight bytes is a control character (protocol/plain_run_swar.h explains it). */
static bool word_has_control(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t del = word ^ (ones * 0x7F);
    return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & (ones * 0x80)) != 0;
}

/* Finds the end of a value: a control character that is not a tab. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    for (;;) {
        for (; end - at >= 8; at += 8) {
            uint64_t word;
            memcpy(&word, at, sizeof(word));
            if (word_has_control(word))
                break;
        }
        while (at < end && *at >= 0x20 && *at != 0x7F)
            at++;
        if (at == end || *at != '\t')
            return at;
        at++;
    }
}

/* Takes a field line (RFC 9112 section 5). */
static int read_field(struct cursor *cursor)
{
    struct ft_http_head *head = cursor->head;
    if (head->field_count == FT_HTTP_FIELDS_MAX)
        return refuse(cursor, 431, "there are more header fields than are taken");
    if (*cursor->at == ' ' || *cursor->at == '\t')
        return malformed(cursor, "a header field must not go on in the next line");
    const uint8_t *colon = skip(cursor->at, cursor->end, IS_TOKEN);
    if (colon == cursor->end)
        return FT_HTTP_HEAD_MORE;
    if (*colon != ':' || colon == cursor->at)
        return malformed(cursor, "a header field must be a name, a colon and a value");

    struct ft_slice name = ft_slice(cursor->at, (size_t)(colon - cursor->at));
    const uint8_t *begin = colon + 1;
    const uint8_t *end = skip_value(begin, cursor->end);
    cursor->at = end;
    int got = read_line_end(cursor, "a header field must not have control characters and must "
                                    "end with CR LF");
    if (got != FT_HTTP_HEAD_READ)
        return got;
    struct ft_slice value = ft_http_trim(ft_slice(begin, (size_t)(end - begin)));
    struct ft_http_field *field = &head->fields[head->field_count++];
    *field = (struct ft_http_field){name, value};
    return look_at(cursor, field);
}

static int read_fields(struct cursor *cursor)
{
    for (;;) {
        if (cursor->at == cursor->end)
            return FT_HTTP_HEAD_MORE;
        bool is_end = *cursor->at == '\r';
        int got = is_end ? read_crlf(cursor) : read_field(cursor);
        if (is_end || got != FT_HTTP_HEAD_READ)
            return got;
    }
}

int ft_http_head_read(struct ft_slice bytes, struct ft_http_head *head, struct ft_problem *problem)
{
    if (bytes.len == 0)
        return FT_HTTP_HEAD_MORE;
    size_t len = bytes.len < FT_HTTP_HEAD_MAX ? bytes.len : FT_HTTP_HEAD_MAX;
    struct cursor cursor = {
        .at = bytes.ptr, .end = bytes.ptr + len, .head = head, .problem = problem};
    head->field_count = 0;
    head->body_bytes = 0;
    head->has_body_length = head->is_last = head->expects_continue = false;

    head->target = (struct ft_slice){0};
    int got = read_request_line(&cursor);
    if (got == FT_HTTP_HEAD_READ) {
        head->is_last = head->minor == 0;
        got = read_fields(&cursor);
    }
    if (got == FT_HTTP_HEAD_MORE && len == FT_HTTP_HEAD_MAX)
        return head->target.len < FT_HTTP_HEAD_MAX / 2
                   ? refuse(&cursor, 431, "the header fields are longer than is taken")
                   : refuse(&cursor, 414, "the target is longer than is taken");
    if (got != FT_HTTP_HEAD_READ)
        return got;
    if (head->minor > 0 && cursor.host_count == 0)
        return malformed(&cursor, "a Host field is needed");
    head->size = (uint32_t)(cursor.at - bytes.ptr);
    return FT_HTTP_HEAD_READ;
}

struct ft_slice ft_http_field(const struct ft_http_head *head, const char *name, uint32_t *count)
{
    struct ft_slice first = {0};
    uint32_t found = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (!ft_http_is(head->fields[i].name, name))
            continue;
        if (found++ == 0)
            first = head->fields[i].value;
    }
    if (count)
        *count = found;
    return first;
}

bool ft_http_list_has(const struct ft_http_head *head, const char *name, const char *token)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (!ft_http_is(head->fields[i].name, name))
            continue;
        struct ft_slice rest = head->fields[i].value, element;
        while (ft_http_list_next(&rest, &element))
            if (ft_http_is(element, token))
                return true;
    }
    return false;
}
