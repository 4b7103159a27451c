/*
 * Topics and filters: validity, matching, covering, each by its definition and without an index.
 * The index over many filters is broker/core/topic_trie.c. Pure; any thread.
 */
#include "protocol/topic.h"

#include "protocol/quote.h"
#include "protocol/utf8.h"

/* What a byte means to a topic. Anything else is part of a level's text. */
enum byte_class { TEXT, SLASH, PLUS, HASH, CONTROL };

static const uint8_t classes[256] = {
    [0x00] = CONTROL, [0x01] = CONTROL, [0x02] = CONTROL, [0x03] = CONTROL, [0x04] = CONTROL,
    [0x05] = CONTROL, [0x06] = CONTROL, [0x07] = CONTROL, [0x08] = CONTROL, [0x09] = CONTROL,
    [0x0A] = CONTROL, [0x0B] = CONTROL, [0x0C] = CONTROL, [0x0D] = CONTROL, [0x0E] = CONTROL,
    [0x0F] = CONTROL, [0x10] = CONTROL, [0x11] = CONTROL, [0x12] = CONTROL, [0x13] = CONTROL,
    [0x14] = CONTROL, [0x15] = CONTROL, [0x16] = CONTROL, [0x17] = CONTROL, [0x18] = CONTROL,
    [0x19] = CONTROL, [0x1A] = CONTROL, [0x1B] = CONTROL, [0x1C] = CONTROL, [0x1D] = CONTROL,
    [0x1E] = CONTROL, [0x1F] = CONTROL, [0x7F] = CONTROL, ['/'] = SLASH,    ['+'] = PLUS,
    ['#'] = HASH,
};

/* The two kinds of name, which differ in wildcards only. */
struct kind {
    enum ft_err err;
    const char *noun;
    bool may_have_wildcards;
};

static const struct kind topic_kind = {FT_ERR_BAD_TOPIC, "topic", false};
static const struct kind filter_kind = {FT_ERR_BAD_FILTER, "filter", true};

static enum ft_err refuse(const struct kind *kind, struct ft_slice name, struct ft_problem *problem,
                          const char *why)
{
    char shown[FT_QUOTE_MAX];
    return ft_problem_set(problem, kind->err, "%s %s %s", kind->noun, ft_quote(name, shown), why);
}

static enum ft_err refuse_control(const struct kind *kind, struct ft_slice name, size_t at,
                                  struct ft_problem *problem)
{
    char shown[FT_QUOTE_MAX];
    return ft_problem_set(problem, kind->err, "%s %s holds the control character U+%04X",
                          kind->noun, ft_quote(name, shown), name.ptr[at]);
}

static enum ft_err refuse_count(const struct kind *kind, struct ft_slice name,
                                struct ft_problem *problem, size_t count, const char *of, int most)
{
    char shown[FT_QUOTE_MAX];
    return ft_problem_set(problem, kind->err, "%s %s has %zu %s, at most %d are allowed",
                          kind->noun, ft_quote(name, shown), count, of, most);
}

/* Says whether the byte at `at` is a whole level. */
static bool is_whole_level(struct ft_slice name, size_t at)
{
    bool begins = at == 0 || name.ptr[at - 1] == '/';
    bool ends = at + 1 == name.len || name.ptr[at + 1] == '/';
    return begins && ends;
}

static enum ft_err check_wildcard(const struct kind *kind, struct ft_slice name, size_t at,
                                  struct ft_problem *problem)
{
    if (!kind->may_have_wildcards)
        return refuse(kind, name, problem, "holds '+' or '#', which only a filter may");
    if (!is_whole_level(name, at))
        return refuse(kind, name, problem,
                      "has '+' or '#' inside a level; a wildcard must be a whole level");
    if (name.ptr[at] == '#' && at + 1 != name.len)
        return refuse(kind, name, problem, "has '#' before its last level");
    return FT_OK;
}

static enum ft_err check(const struct kind *kind, struct ft_slice name, struct ft_problem *problem)
{
    if (name.len == 0)
        return ft_problem_set(problem, kind->err, "the %s is empty; it must have 1 to %d bytes",
                              kind->noun, FT_TOPIC_BYTES_MAX);
    if (name.len > FT_TOPIC_BYTES_MAX)
        return refuse_count(kind, name, problem, name.len, "bytes", FT_TOPIC_BYTES_MAX);

    size_t levels = 1;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t class = classes[name.ptr[i]];
        if (class == TEXT)
            continue;
        if (class == SLASH) {
            levels++;
            continue;
        }
        if (class == CONTROL)
            return refuse_control(kind, name, i, problem);
        enum ft_err err = check_wildcard(kind, name, i, problem);
        if (err)
            return err;
    }
    if (levels > FT_TOPIC_LEVELS_MAX)
        return refuse_count(kind, name, problem, levels, "levels", FT_TOPIC_LEVELS_MAX);
    if (!ft_utf8_is_valid(name))
        return refuse(kind, name, problem, "is not valid UTF-8");
    return FT_OK;
}

enum ft_err ft_topic_check(struct ft_slice topic, struct ft_problem *problem)
{
    return check(&topic_kind, topic, problem);
}

enum ft_err ft_filter_check(struct ft_slice filter, struct ft_problem *problem)
{
    return check(&filter_kind, filter, problem);
}

static bool level_is(struct ft_slice level, char wildcard)
{
    return level.len == 1 && level.ptr[0] == wildcard;
}

static bool begins_with_wildcard(struct ft_slice filter)
{
    return filter.len > 0 && (filter.ptr[0] == '+' || filter.ptr[0] == '#');
}

bool ft_filter_matches(struct ft_slice filter, struct ft_slice topic)
{
    if (begins_with_wildcard(filter) && ft_topic_is_reserved(topic))
        return false;

    struct ft_slice want, have;
    size_t filter_at = 0, topic_at = 0;
    while (ft_topic_next_level(filter, &filter_at, &want)) {
        if (level_is(want, '#'))
            return true;
        if (!ft_topic_next_level(topic, &topic_at, &have))
            return false;
        if (!level_is(want, '+') && !ft_slice_equal(want, have))
            return false;
    }
    return !ft_topic_next_level(topic, &topic_at, &have);
}

bool ft_filter_covers(struct ft_slice wide, struct ft_slice narrow)
{
    if (begins_with_wildcard(wide) && ft_topic_is_reserved(narrow))
        return false;
    /* A `#` stands for no level too, except where that would leave the empty name, which is no
     * topic: "#" is no more than "+/#", and "/#" no more than "/+/#". */
    if (ft_slice_equal(narrow, ft_slice_str("#")))
        narrow = ft_slice_str("+/#");
    else if (ft_slice_equal(narrow, ft_slice_str("/#")))
        narrow = ft_slice_str("/+/#");

    struct ft_slice allow, ask;
    size_t wide_at = 0, narrow_at = 0;
    while (ft_topic_next_level(wide, &wide_at, &allow)) {
        if (level_is(allow, '#'))
            return true;
        if (!ft_topic_next_level(narrow, &narrow_at, &ask) || level_is(ask, '#'))
            return false;
        if (!level_is(allow, '+') && !ft_slice_equal(allow, ask))
            return false;
    }
    return !ft_topic_next_level(narrow, &narrow_at, &ask);
}

bool ft_filter_is_exact(struct ft_slice filter)
{
    for (size_t i = 0; i < filter.len; i++)
        if (filter.ptr[i] == '+' || filter.ptr[i] == '#')
            return false;
    return true;
}

bool ft_topic_is_reserved(struct ft_slice topic)
{
    return topic.len > 0 && topic.ptr[0] == '$';
}

bool ft_topic_next_level(struct ft_slice topic, size_t *at, struct ft_slice *level)
{
    if (*at > topic.len)
        return false;
    size_t end = *at;
    while (end < topic.len && topic.ptr[end] != '/')
        end++;
    *level = ft_slice(topic.ptr + *at, end - *at);
    *at = end + 1;
    return true;
}
