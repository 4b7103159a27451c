/*
 * Doubles as text. printf and strtod do the hard part; they obey the process's locale, which a
 * client library does not own, so each call switches this thread to "C" and back (glibc hands out a
 * static object for it: no allocation). Any thread.
 */
#include "protocol/number.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* Longest number that is read from the stack: any sane one. A longer one takes an allocation. */
#define STACK_TEXT 512

struct c_locale {
    locale_t mine;
    locale_t before;
};

static struct c_locale enter_c_locale(void)
{
    locale_t mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return (struct c_locale){.mine = mine, .before = uselocale(mine)};
}

static void leave_c_locale(struct c_locale locale)
{
    uselocale(locale.before);
    if (locale.mine)
        freelocale(locale.mine);
}

/* Says whether two doubles are the same bits: -0.0 is not 0.0. */
static bool is_same(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

size_t ft_double_print(double value, char out[FT_DOUBLE_TEXT_MAX])
{
    struct c_locale locale = enter_c_locale();
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, FT_DOUBLE_TEXT_MAX, "%.*g", digits, value);
        if (is_same(strtod(out, NULL), value))
            break;
    }
    leave_c_locale(locale);

    size_t len = (size_t)n;
    if (!strpbrk(out, ".e")) {
        memcpy(out + len, ".0", 3);
        len += 2;
    }
    return len;
}

double ft_double_read(struct ft_slice text)
{
    char on_stack[STACK_TEXT];
    char *copy = text.len < sizeof(on_stack) ? on_stack : malloc(text.len + 1);
    if (!copy)
        abort();
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';

    struct c_locale locale = enter_c_locale();
    double value = strtod(copy, NULL);
    leave_c_locale(locale);

    if (copy != on_stack)
        free(copy);
    return value;
}
