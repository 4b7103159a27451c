/*
 * Compares each counter with what it was. Opens no file and knows no topic. The main thread.
 */
#include "clients/cli/kernel_counters.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "clients/cli/proc_text.h"

struct counter {
    char name[FT_COUNTER_NAME_MAX];
    int64_t value;
};

struct ft_kernel_counters {
    size_t next; /* in this reading; the kernel gives them in the same order each time */
    struct counter counters[FT_COUNTERS_MAX];
};

struct ft_kernel_counters *ft_kernel_counters_new(void)
{
    return ft_alloc_zero(sizeof(struct ft_kernel_counters));
}

void ft_kernel_counters_free(struct ft_kernel_counters *counters)
{
    free(counters);
}

void ft_kernel_counters_forget(struct ft_kernel_counters *counters)
{
    memset(counters->counters, 0, sizeof(counters->counters));
}

void ft_kernel_counters_begin(struct ft_kernel_counters *counters)
{
    counters->next = 0;
}

/* Some counters of TCP are -1 for "none". */
static bool read_value(struct ft_slice word, int64_t *value)
{
    bool is_negative = word.len > 0 && word.ptr[0] == '-';
    uint64_t number;
    if (is_negative)
        word = ft_slice(word.ptr + 1, word.len - 1);
    if (!ft_proc_number(word, &number) || number > INT64_MAX)
        return false;
    *value = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static void compare(struct ft_kernel_counters *counters, struct ft_slice group,
                    struct ft_slice name, struct ft_slice word, ft_give_counter *give,
                    void *context)
{
    char text[FT_COUNTER_NAME_MAX];
    int64_t value;
    if (name.len == 0 || !read_value(word, &value) || counters->next == FT_COUNTERS_MAX ||
        group.len + 1 + name.len >= sizeof(text))
        return;
    snprintf(text, sizeof(text), "%.*s/%.*s", (int)group.len, (const char *)group.ptr,
             (int)name.len, (const char *)name.ptr);
    struct counter *counter = &counters->counters[counters->next++];
    bool is_new = strcmp(counter->name, text) != 0;
    int64_t before = is_new ? value : counter->value;
    memcpy(counter->name, text, sizeof(text));
    counter->value = value;
    if (is_new || value != before)
        give(context, counter->name, value, value - before);
}

void ft_kernel_counters_read_list(struct ft_kernel_counters *counters, const char *group,
                                  struct ft_slice text, ft_give_counter *give, void *context)
{
    struct ft_slice line;
    while (ft_proc_next_line(&text, &line)) {
        struct ft_slice name = ft_proc_next_word(&line);
        compare(counters, ft_slice_str(group), name, ft_proc_next_word(&line), give, context);
    }
}

void ft_kernel_counters_read_table(struct ft_kernel_counters *counters, struct ft_slice text,
                                   ft_give_counter *give, void *context)
{
    struct ft_slice names, values;
    while (ft_proc_next_line(&text, &names) && ft_proc_next_line(&text, &values)) {
        struct ft_slice group = ft_proc_next_word(&names);
        struct ft_slice name;
        if (!ft_slice_equal(group, ft_proc_next_word(&values)) || group.len < 2)
            return;  /* it is written otherwise than we know */
        group.len--; /* the colon */
        while ((name = ft_proc_next_word(&names)).len > 0)
            compare(counters, group, name, ft_proc_next_word(&values), give, context);
    }
}
