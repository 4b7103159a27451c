/*
 * Lines, words and numbers of a text. Pure; any thread.
 */
#include "clients/cli/proc_text.h"

bool ft_proc_next_line(struct ft_slice *text, struct ft_slice *line)
{
    if (text->len == 0)
        return false;
    const uint8_t *newline = memchr(text->ptr, '\n', text->len);
    size_t len = newline ? (size_t)(newline - text->ptr) : text->len;
    size_t step = newline ? len + 1 : len;
    *line = ft_slice(text->ptr, len);
    *text = ft_slice(text->ptr + step, text->len - step);
    return true;
}

struct ft_slice ft_proc_next_word(struct ft_slice *line)
{
    size_t from = 0;
    while (from < line->len && (line->ptr[from] == ' ' || line->ptr[from] == '\t'))
        from++;
    size_t to = from;
    while (to < line->len && line->ptr[to] != ' ' && line->ptr[to] != '\t')
        to++;
    struct ft_slice word = ft_slice(line->ptr + from, to - from);
    *line = ft_slice(line->ptr + to, line->len - to);
    return word;
}

bool ft_proc_number(struct ft_slice word, uint64_t *value)
{
    uint64_t sum = 0;
    if (word.len == 0 || word.len > 19)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(word.ptr[i] - '0');
    }
    *value = sum;
    return true;
}
