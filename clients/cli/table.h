/* Rows and columns for people: each column as wide as its widest cell, two spaces between. */
#ifndef FT_CLI_TABLE_H
#define FT_CLI_TABLE_H

#include "protocol/buffer.h"

#define FT_TABLE_COLUMNS_MAX 9

struct ft_table {
    size_t columns;
    size_t count_;           /* cells */
    struct ft_buffer cells_; /* their texts, each with a NUL */
    size_t widths_[FT_TABLE_COLUMNS_MAX];
};

void ft_table_init(struct ft_table *table, size_t columns);
void ft_table_fini(struct ft_table *table);

/* Adds the next cell, from left to right and row by row. Text that holds control characters, or that would not
 * be seen, is quoted. Whoever chose it cannot steer the terminal. */
void ft_table_add(struct ft_table *table, const char *text);

/* Appends the rows to `out`, a line each. */
void ft_table_print(const struct ft_table *table, struct ft_buffer *out);

#endif
