/*
 * The slow twin of protocol/http_head.h: a head as a few regular expressions, line by line, once the
 * empty line that ends it was found. Says only whether it is one and what is in it, not what is wrong. A
 * header alone, so that unit tests and fuzz targets can use it. One thread.
 */
#ifndef FT_TESTS_HTTP_TWIN_H
#define FT_TESTS_HTTP_TWIN_H

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#include "protocol/http_head.h"

#define FT_TWIN_HOST_     "([A-Za-z0-9._~%!$&'()*+;=-]+|\\[[0-9A-Fa-f:.]{2,}\\])(:[0-9]*)?"
#define FT_TWIN_TOKEN_    "[!#$%&'*+.^_`|~0-9A-Za-z-]"
#define FT_TWIN_CONTINUE_ "[ \t]*(100-[cC][oO][nN][tT][iI][nN][uU][eE])?[ \t]*"

enum ft_twin_pattern_ {
    FT_TWIN_REQUEST_,
    FT_TWIN_ORIGIN_,
    FT_TWIN_ABSOLUTE_,
    FT_TWIN_FIELD_,
    FT_TWIN_NAMED_,
    FT_TWIN_EXPECT_,
    FT_TWIN_CLOSE_,
    FT_TWIN_COUNT_
};

/* A line, and where its text is in the bytes. */
struct ft_twin_line_ {
    const uint8_t *at;
    char text[FT_HTTP_HEAD_MAX + 1];
    regmatch_t groups[10];
};

static inline bool ft_twin_match_(enum ft_twin_pattern_ pattern, const char *text,
                                  regmatch_t groups[10])
{
    static const char *const patterns[FT_TWIN_COUNT_] = {
        [FT_TWIN_REQUEST_] = "^(" FT_TWIN_TOKEN_ "{1,32}) ([!\"$-~]+) HTTP/1[.]([0-9])$",
        [FT_TWIN_ORIGIN_] = "^(/[^?]*)([?](.*))?$",
        [FT_TWIN_ABSOLUTE_] = "^[Hh][Tt][Tt][Pp][Ss]?://(" FT_TWIN_HOST_ ")(/[^?]*)?([?](.*))?$",
        [FT_TWIN_FIELD_] = "^(" FT_TWIN_TOKEN_ "+):[ \t]*(([^ \t].*)?[^ \t])?[ \t]*$",
        [FT_TWIN_NAMED_] = "^" FT_TWIN_HOST_ "$",
        [FT_TWIN_EXPECT_] = "^(" FT_TWIN_CONTINUE_ ",)*" FT_TWIN_CONTINUE_ "$",
        [FT_TWIN_CLOSE_] = "(^|,)[ \t]*[cC][lL][oO][sS][eE][ \t]*(,|$)",
    };
    static regex_t compiled[FT_TWIN_COUNT_];
    static bool is_compiled[FT_TWIN_COUNT_];
    if (!is_compiled[pattern] && regcomp(&compiled[pattern], patterns[pattern], REG_EXTENDED) != 0)
        abort();
    is_compiled[pattern] = true;
    return regexec(&compiled[pattern], text, groups ? 10 : 0, groups, 0) == 0;
}

static inline struct ft_slice ft_twin_group_(const struct ft_twin_line_ *line, int group)
{
    regmatch_t match = line->groups[group];
    return match.rm_so < 0 ? ft_slice(NULL, 0)
                           : ft_slice(line->at + match.rm_so, (size_t)(match.rm_eo - match.rm_so));
}

/* Copies a line as a string. False: it has a control character. */
static inline bool ft_twin_copy_(struct ft_twin_line_ *line, struct ft_slice from)
{
    line->at = from.ptr;
    for (size_t i = 0; i < from.len; i++) {
        if ((from.ptr[i] < 0x20 && from.ptr[i] != '\t') || from.ptr[i] == 0x7F)
            return false;
        line->text[i] = (char)from.ptr[i];
    }
    line->text[from.len] = '\0';
    return true;
}

static inline bool ft_twin_request_(struct ft_twin_line_ *line, struct ft_http_head *head)
{
    if (!ft_twin_match_(FT_TWIN_REQUEST_, line->text, line->groups))
        return false;
    head->method = ft_twin_group_(line, 1);
    head->target = ft_twin_group_(line, 2);
    head->minor = line->text[line->groups[3].rm_so] == '0' ? 0 : 1;
    head->is_last = head->minor == 0;
    struct ft_twin_line_ target;
    ft_twin_copy_(&target, head->target);
    if (ft_twin_match_(FT_TWIN_ORIGIN_, target.text, target.groups)) {
        head->path = ft_twin_group_(&target, 1);
        head->query = ft_twin_group_(&target, 3);
        return true;
    }
    if (ft_twin_match_(FT_TWIN_ABSOLUTE_, target.text, target.groups)) {
        head->host = ft_twin_group_(&target, 1);
        head->path = ft_twin_group_(&target, 4);
        head->query = ft_twin_group_(&target, 6);
        if (!head->path.ptr)
            head->path = ft_slice_str("/");
        return true;
    }
    head->path = head->target;
    return strcmp(target.text, "*") == 0 && ft_slice_equal(head->method, ft_slice_str("OPTIONS"));
}

static inline bool ft_twin_decides_(const char *name, const char *value, struct ft_http_head *head,
                                    unsigned *hosts)
{
    if (strcasecmp(name, "transfer-encoding") == 0)
        return false;
    if (strcasecmp(name, "host") == 0)
        return ++*hosts == 1 && ft_twin_match_(FT_TWIN_NAMED_, value, NULL);
    if (strcasecmp(name, "content-length") == 0) {
        errno = 0;
        head->body_bytes = strtoull(value, NULL, 10);
        bool is_first = !head->has_body_length;
        head->has_body_length = true;
        return is_first && *value && strspn(value, "0123456789") == strlen(value) && errno == 0 &&
               head->body_bytes <= INT64_MAX;
    }
    if (strcasecmp(name, "connection") == 0 && ft_twin_match_(FT_TWIN_CLOSE_, value, NULL))
        head->is_last = true;
    if (strcasecmp(name, "expect") != 0 || head->minor == 0)
        return true;
    head->expects_continue = head->expects_continue || strchr(value, '1');
    return ft_twin_match_(FT_TWIN_EXPECT_, value, NULL);
}

static inline bool ft_twin_field_(struct ft_twin_line_ *line, struct ft_http_head *head,
                                  unsigned *hosts)
{
    if (head->field_count == FT_HTTP_FIELDS_MAX ||
        !ft_twin_match_(FT_TWIN_FIELD_, line->text, line->groups))
        return false;
    struct ft_http_field *field = &head->fields[head->field_count++];
    field->name = ft_twin_group_(line, 1);
    field->value = ft_twin_group_(line, 2);
    line->text[line->groups[1].rm_eo] = '\0';
    const char *value = line->text + line->groups[1].rm_eo;
    if (field->value.len > 0) {
        line->text[line->groups[2].rm_eo] = '\0';
        value = line->text + line->groups[2].rm_so;
    }
    if (!ft_twin_decides_(line->text, value, head, hosts))
        return false;
    if (*hosts == 1 && !head->host.ptr)
        head->host = field->value;
    return true;
}

/* Says whether the bytes begin with a head, and fills it. */
static inline bool ft_http_twin(struct ft_slice bytes, struct ft_http_head *head)
{
    *head = (struct ft_http_head){0};
    size_t at = bytes.len >= 2 && memcmp(bytes.ptr, "\r\n", 2) == 0 ? 2 : 0;
    const uint8_t *last = memmem(bytes.ptr + at, bytes.len - at, "\r\n\r\n", 4);
    if (!last || last + 4 - bytes.ptr > FT_HTTP_HEAD_MAX)
        return false;
    head->size = (uint32_t)(last + 4 - bytes.ptr);

    unsigned hosts = 0;
    for (bool is_first = true; at < head->size - 2; is_first = false) {
        const uint8_t *begin = bytes.ptr + at;
        const uint8_t *end = memmem(begin, head->size - at, "\r\n", 2);
        struct ft_twin_line_ line;
        if (!ft_twin_copy_(&line, ft_slice(begin, (size_t)(end - begin))) ||
            !(is_first ? ft_twin_request_(&line, head) : ft_twin_field_(&line, head, &hosts)))
            return false;
        at = (size_t)(end + 2 - bytes.ptr);
    }
    return hosts == 1 || head->minor == 0;
}

/* Says whether both read the same. */
static inline bool ft_http_twin_agrees(const struct ft_http_head *a, const struct ft_http_head *b)
{
    if (!ft_slice_equal(a->method, b->method) || !ft_slice_equal(a->target, b->target) ||
        !ft_slice_equal(a->path, b->path) || !ft_slice_equal(a->query, b->query) ||
        !ft_slice_equal(a->host, b->host) || !a->host.ptr != !b->host.ptr || a->minor != b->minor ||
        a->size != b->size || a->body_bytes != b->body_bytes || a->is_last != b->is_last ||
        a->has_body_length != b->has_body_length || a->expects_continue != b->expects_continue ||
        a->field_count != b->field_count)
        return false;
    for (uint32_t i = 0; i < a->field_count; i++)
        if (!ft_slice_equal(a->fields[i].name, b->fields[i].name) ||
            !ft_slice_equal(a->fields[i].value, b->fields[i].value))
            return false;
    return true;
}

#endif
