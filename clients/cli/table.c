/*
 * Tables for the terminal. Does not know what is in them. Pure; the main thread.
 */
#include "clients/cli/table.h"

#include "broker/base/alloc.h"
#include "protocol/quote.h"
#include "protocol/utf8.h"

enum { TABLE_MAX = 16 << 20 };

void ft_table_init(struct ft_table *table, size_t columns)
{
    FT_ASSERT(columns > 0 && columns <= FT_TABLE_COLUMNS_MAX);
    *table = (struct ft_table){.columns = columns};
    ft_buffer_init(&table->cells_, TABLE_MAX);
}

void ft_table_fini(struct ft_table *table)
{
    ft_buffer_fini(&table->cells_);
}

/* Characters, as far as bytes tell. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Says whether text can be shown as it is. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F || (unsigned char)*c == 0xC2)
            return false; /* 0xC2: U+0080 to U+009F are control characters, too */
    return text[0] != '\0' && ft_utf8_is_valid(ft_slice_str(text));
}

void ft_table_add(struct ft_table *table, const char *text)
{
    char quoted[FT_QUOTE_MAX];
    if (!is_plain(text))
        text = ft_quote(ft_slice_str(text), quoted);
    size_t *width = &table->widths_[table->count_ % table->columns];
    size_t len = width_of(text);
    ft_buffer_add(&table->cells_, text, strlen(text) + 1);
    if (table->cells_.failed)
        return;
    *width = len > *width ? len : *width;
    table->count_++;
}

void ft_table_print(const struct ft_table *table, struct ft_buffer *out)
{
    const char *cell = (const char *)table->cells_.ptr;
    for (size_t i = 0; i < table->count_; i++) {
        size_t column = i % table->columns;
        bool is_last = column + 1 == table->columns;
        ft_buffer_add_str(out, cell);
        for (size_t n = width_of(cell); !is_last && n < table->widths_[column] + 2; n++)
            ft_buffer_add_byte(out, ' ');
        if (is_last)
            ft_buffer_add_byte(out, '\n');
        cell += strlen(cell) + 1;
    }
}
