/* How a delivery looks on standard output. */
#ifndef FT_CLI_PRINT_H
#define FT_CLI_PRINT_H

#include "clients/c/fantail.h"
#include "protocol/buffer.h"

enum ft_print_form {
    FT_PRINT_DATA, /* the data and a newline: strings bare, other values as JSON, bytes as base64 */
    FT_PRINT_VERBOSE, /* the same behind the topic and a space; a last value behind "[retained] " */
    FT_PRINT_JSON,    /* the whole `msg` envelope as one line of JSON */
    FT_PRINT_RAW      /* the bytes of strings and of bytes, other values as JSON; nothing behind */
};

/* Appends a delivery to `out`. One line each but for FT_PRINT_RAW: a string that holds control
 * characters is printed as JSON, and white space between the values of JSON becomes spaces. */
void ft_print_message(const struct fantail_message *message, enum ft_print_form form,
                      struct ft_buffer *out);

#endif
