/*
 * Settings that are lists, and their items: addresses, networks, origins, filters, files, names. An
 * item ends at a comma; of those that cannot hold a blank, at a blank too. Where an item can hold any
 * byte, a backslash takes the one behind it as it is: `a\,b` is one item.
 */
#ifndef FT_APP_OPTION_LIST_H
#define FT_APP_OPTION_LIST_H

#include "broker/app/option.h"

/* For the rows of option_value.c; `field` is a struct ft_strings. */
FT_MUST_USE
bool ft_list_parse(const struct ft_option *option, const char *text, void *field);
void ft_list_show(const struct ft_option *option, const void *field, char *out, size_t size);
void ft_list_expects(const struct ft_option *option, char *out, size_t size);
void ft_list_explain(const struct ft_option *option, const char *text, char *out, size_t size);
bool ft_list_copy(const struct ft_strings *from, struct ft_strings *to);
void ft_list_clear(struct ft_strings *list);

/* Says whether it is UTF-8 without control characters. */
bool ft_text_is_plain(const char *text);

#endif
