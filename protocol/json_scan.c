/*
 * The JSON scanner: the hot path of every publish. Iterative, bounded by the bytes that are there;
 * does not check UTF-8 (the caller has) and builds no tree. Pure; any thread.
 */
#include "protocol/json_scan.h"

#include "protocol/envelope.h"
#include "protocol/plain_run.h"

_Static_assert(FT_DEPTH_MAX <= 64, "the open containers are the bits of one word");

static inline bool is_digit(const struct ft_scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

static inline bool is_next(const struct ft_scan *scan, uint8_t byte)
{
    return scan->at < scan->end && *scan->at == byte;
}

/* --- strings --- */

/* The value of a hexadecimal digit, or 16 for what is none. */
static inline unsigned hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10u : 16u;
}

/* Reads the four digits of a \u escape; 0x10000 for what is none. */
static inline uint32_t read_unit(const uint8_t *digits)
{
    unsigned a = hex_of(digits[0]);
    unsigned b = hex_of(digits[1]);
    unsigned c = hex_of(digits[2]);
    unsigned d = hex_of(digits[3]);
    return (a | b | c | d) > 15 ? 0x10000 : a << 12 | b << 8 | c << 4 | d;
}

static inline bool is_high_surrogate(uint32_t unit)
{
    return (unit & 0x1FFC00) == 0xD800;
}

static inline bool is_low_surrogate(uint32_t unit)
{
    return (unit & 0x1FFC00) == 0xDC00;
}

/* Steps over \uXXXX, and over its other half where it is a high surrogate. */
static bool scan_unit(struct ft_scan *scan)
{
    if (scan->end - scan->at < 6)
        return ft_scan_broken(scan, FT_FAULT_ENDS);
    uint32_t unit = read_unit(scan->at + 2);
    if (unit > 0xFFFF)
        return ft_scan_broken(scan, "a \\u escape without four hexadecimal digits");
    if (is_low_surrogate(unit))
        return ft_scan_refused(scan, "a lone surrogate in a string");
    if (is_high_surrogate(unit)) {
        const uint8_t *other = scan->at + 6;
        if (scan->end - other < 6 || other[0] != '\\' || other[1] != 'u' ||
            !is_low_surrogate(read_unit(other + 2)))
            return ft_scan_refused(scan, "a lone surrogate in a string");
        scan->at += 6;
    }
    scan->at += 6;
    return true;
}

/* Steps over the escape at scan->at. */
static bool scan_escape(struct ft_scan *scan)
{
    if (scan->end - scan->at < 2)
        return ft_scan_broken(scan, FT_FAULT_ENDS);
    switch (scan->at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        scan->at += 2;
        return true;
    case 'u':
        return scan_unit(scan);
    default:
        return ft_scan_broken(scan, "an escape that JSON does not have");
    }
}

/* The rest of a string from its first backslash or control character on. */
static bool string_tail(struct ft_scan *scan)
{
    for (;;) {
        if (scan->at == scan->end)
            return ft_scan_broken(scan, "a string without its closing quote");
        if (*scan->at == '"')
            return true;
        if (*scan->at != '\\')
            return ft_scan_broken(scan, "a control character in a string");
        if (!scan_escape(scan))
            return false;
        scan->at = ft_plain_run(scan->at, scan->end);
    }
}

static inline bool scan_string(struct ft_scan *scan, struct ft_slice *text, bool *has_escapes)
{
    const uint8_t *from = ++scan->at;
    scan->at = ft_plain_run(from, scan->end);
    *has_escapes = false;
    if (!is_next(scan, '"')) {
        *has_escapes = true;
        if (!string_tail(scan))
            return false;
    }
    *text = ft_slice(from, (size_t)(scan->at - from));
    scan->at++;
    return true;
}

bool ft_json_string(struct ft_scan *scan, struct ft_slice *text, bool *has_escapes)
{
    if (!is_next(scan, '"'))
        return ft_scan_broken(scan, "a string was expected");
    return scan_string(scan, text, has_escapes);
}

/* Writes one code point as UTF-8 and returns the end of it. */
static uint8_t *put_char(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (uint8_t)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (uint8_t)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (uint8_t)(0xE0 | c >> 12);
        } else {
            *to++ = (uint8_t)(0xF0 | c >> 18);
            *to++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
        }
        *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    }
    *to++ = (uint8_t)(0x80 | (c & 0x3F));
    return to;
}

/* Decodes the escape at `*at`, which is valid, into `out`; steps over it and returns the size. */
static size_t decode_escape(const uint8_t **at, uint8_t out[4])
{
    const uint8_t *from = *at;
    if (from[1] != 'u') {
        static const char letters[] = "\"\\/bfnrt";
        static const char bytes[] = "\"\\/\b\f\n\r\t";
        out[0] = (uint8_t)bytes[strchr(letters, from[1]) - letters];
        *at += 2;
        return 1;
    }
    uint32_t c = read_unit(from + 2);
    *at += 6;
    if (is_high_surrogate(c)) {
        c = 0x10000 + ((c - 0xD800) << 10) + (read_unit(from + 8) - 0xDC00);
        *at += 6;
    }
    return (size_t)(put_char(out, c) - out);
}

bool ft_json_decode(struct ft_slice text, uint8_t *out, size_t cap, size_t *len)
{
    size_t used = 0;
    const uint8_t *at = text.ptr;
    const uint8_t *end = text.ptr + text.len;
    while (at < end) {
        const uint8_t *from = at;
        uint8_t character[4];
        at = ft_plain_run(from, end);
        size_t n = (size_t)(at - from);
        if (n == 0) {
            n = decode_escape(&at, character);
            from = character;
        }
        if (n > cap - used)
            return false;
        memmove(out + used, from, n);
        used += n;
    }
    *len = used;
    return true;
}

/* --- numbers --- */

/*
 * The 309 digits of 2^1024 - 2^970: half-way between the greatest float64 and the next power of two.
 * A number of this size or more rounds to infinity (ties go to even), a smaller one does not.
 */
static const char overflow_digits[] =
    "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
    "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
    "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
    "342711559699508093042880177904174497792";

/* Compares the digits of a number, leading zeros stripped, with the boundary; both have 309 before
 * the point. The boundary is an integer: digits after it are more, unless they are zeros. */
static bool reaches_overflow(const uint8_t *at, const uint8_t *end)
{
    for (const char *bound = overflow_digits; *bound; bound++) {
        while (at < end && *at == '.')
            at++;
        uint8_t digit = at < end && *at >= '0' && *at <= '9' ? *at++ : '0';
        if (digit != (uint8_t)*bound)
            return digit > (uint8_t)*bound;
    }
    return true;
}

/* Reads the exponent after its e, clamped: no message holds as many digits as the clamp. */
static int64_t read_exponent(const uint8_t *at, const uint8_t *end)
{
    const int64_t clamp = INT64_C(1) << 40;
    bool is_negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    int64_t exponent = 0;
    for (; at < end; at++)
        exponent = exponent < clamp ? exponent * 10 + (*at - '0') : clamp;
    return is_negative ? -exponent : exponent;
}

/*
 * Says whether a number, whose grammar is right, overflows a float64, exactly and without a float:
 * its size is 0.ddd × 10^size, with the first d not zero.
 */
static bool overflows(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *digits_end = at;
    int64_t before_point = -1; /* digits before the point, once it was seen */
    const uint8_t *first = NULL;
    int64_t digits = 0;
    int64_t first_at = 0;
    for (; digits_end < end && (*digits_end | 0x20) != 'e'; digits_end++) {
        if (*digits_end == '-')
            continue;
        if (*digits_end == '.') {
            before_point = digits;
            continue;
        }
        if (!first && *digits_end != '0') {
            first = digits_end;
            first_at = digits;
        }
        digits++;
    }
    if (!first)
        return false;
    int64_t size = (before_point < 0 ? digits : before_point) - first_at;
    if (digits_end < end)
        size += read_exponent(digits_end + 1, end);
    if (size != 309)
        return size > 309;
    return reaches_overflow(first, digits_end);
}

/* Reads the fraction and the exponent of a number whose integer part began at `from`. */
static bool number_tail(struct ft_scan *scan, const uint8_t *from, bool *is_long)
{
    if (is_next(scan, '.')) {
        scan->at++;
        if (!is_digit(scan))
            return ft_scan_broken(scan, "a number without a digit after its point");
        while (is_digit(scan))
            scan->at++;
    }
    if (scan->at < scan->end && (*scan->at | 0x20) == 'e') {
        scan->at++;
        if (is_next(scan, '+') || is_next(scan, '-'))
            scan->at++;
        if (!is_digit(scan))
            return ft_scan_broken(scan, "a number without a digit in its exponent");
        const uint8_t *exponent = scan->at;
        while (is_digit(scan))
            scan->at++;
        /* Two digits of exponent and 200 of mantissa stay below 10^300. */
        *is_long |= scan->at - exponent > 2 || exponent - from > 200;
    }
    return true;
}

static inline bool scan_number(struct ft_scan *scan, struct ft_value *value)
{
    const uint8_t *start = scan->at;
    bool is_negative = *start == '-';
    scan->at += is_negative;
    if (!is_digit(scan))
        return ft_scan_broken(scan, "a minus without a digit after it");
    const uint8_t *from = scan->at;
    uint64_t num = 0;
    if (*scan->at == '0') {
        scan->at++;
        if (is_digit(scan))
            return ft_scan_broken(scan, "a number that begins with a needless zero");
    } else {
        while (is_digit(scan))
            num = num * 10 + (*scan->at++ - (uint64_t)'0');
    }
    ptrdiff_t digits = scan->at - from;
    bool is_long = digits > 308;
    const uint8_t *integer_end = scan->at;
    if (!number_tail(scan, from, &is_long))
        return false;
    if (is_long && overflows(start, scan->at)) {
        scan->at = start;
        return ft_scan_refused(scan, "a number too large for a float64");
    }
    value->kind = FT_VALUE_NUMBER;
    /* 19 digits always fit 64 bits; 20 may have wrapped, so they are read again with care. */
    if (!is_negative && scan->at == integer_end && digits <= 20) {
        bool fits = digits <= 19 || ft_json_integer(ft_slice(from, 20), &is_negative, &num);
        value->kind = fits ? FT_VALUE_UINT : FT_VALUE_NUMBER;
        value->num = num;
    }
    return true;
}

bool ft_json_integer(struct ft_slice number, bool *is_negative, uint64_t *num)
{
    const uint8_t *at = number.ptr;
    const uint8_t *end = at + number.len;
    bool has_minus = *at == '-';
    uint64_t sum = 0;
    for (at += has_minus; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    if (has_minus && sum > UINT64_C(1) << 63)
        return false;
    *is_negative = has_minus;
    *num = sum;
    return true;
}

/* --- values --- */

static bool scan_word(struct ft_scan *scan, const char *word, size_t len)
{
    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
        return ft_scan_broken(scan, "something that is no JSON value");
    scan->at += len;
    return true;
}

/* Reads anything but a container. */
static inline bool scan_scalar(struct ft_scan *scan, struct ft_value *value)
{
    switch (*scan->at) {
    case '"':
        value->kind = FT_VALUE_STR;
        return scan_string(scan, &value->text, &value->has_escapes);
    case 't':
        value->kind = FT_VALUE_BOOL;
        value->is_true = true;
        return scan_word(scan, "true", 4);
    case 'f':
        value->kind = FT_VALUE_BOOL;
        value->is_true = false;
        return scan_word(scan, "false", 5);
    case 'n':
        value->kind = FT_VALUE_NULL;
        return scan_word(scan, "null", 4);
    case '-':
    case '0' ... '9':
        return scan_number(scan, value);
    default:
        return ft_scan_broken(scan, "something that is no JSON value");
    }
}

/* The containers that are open: bit n of `maps` says whether the one at depth n + 1 is a map. */
struct nest {
    uint64_t maps;
    unsigned depth;
};

static inline bool is_in_map(const struct nest *nest)
{
    return nest->maps >> (nest->depth - 1) & 1;
}

/* Reads a key of a map and its colon, and stands at the value then. */
static inline bool scan_key(struct ft_scan *scan)
{
    struct ft_slice text;
    bool has_escapes;
    if (!is_next(scan, '"'))
        return ft_scan_broken(scan, "a key in quotes was expected");
    if (!scan_string(scan, &text, &has_escapes))
        return false;
    ft_json_skip_space(scan);
    if (!is_next(scan, ':'))
        return ft_scan_broken(scan, "a colon was expected after a key");
    scan->at++;
    ft_json_skip_space(scan);
    return true;
}

/* Opens the container at scan->at, and closes it where it is empty; else stands at its first value. */
static inline bool open_container(struct ft_scan *scan, struct nest *nest, bool *is_empty)
{
    if (nest->depth == FT_DEPTH_MAX)
        return ft_scan_refused(scan, FT_FAULT_DEPTH);
    bool is_map = *scan->at == '{';
    scan->at++;
    ft_json_skip_space(scan);
    *is_empty = is_next(scan, is_map ? '}' : ']');
    if (*is_empty) {
        scan->at++;
        return true;
    }
    nest->maps &= ~(UINT64_C(1) << nest->depth);
    nest->maps |= (uint64_t)is_map << nest->depth;
    nest->depth++;
    return !is_map || scan_key(scan);
}

/* After a value: closes what closes here. Stands at the next value then; or nest->depth is 0. */
static inline bool go_on(struct ft_scan *scan, struct nest *nest)
{
    while (nest->depth > 0) {
        ft_json_skip_space(scan);
        bool is_map = is_in_map(nest);
        if (is_next(scan, ',')) {
            scan->at++;
            ft_json_skip_space(scan);
            return is_map ? scan_key(scan) : true;
        }
        if (!is_next(scan, is_map ? '}' : ']'))
            return ft_scan_broken(scan, is_map ? "a comma or } was expected after a value"
                                               : "a comma or ] was expected after a value");
        scan->at++;
        nest->depth--;
    }
    return true;
}

static bool scan_container(struct ft_scan *scan)
{
    struct nest nest = {0};
    struct ft_value ignored;
    do {
        if (scan->at == scan->end)
            return ft_scan_broken(scan, FT_FAULT_ENDS);
        if (*scan->at == '{' || *scan->at == '[') {
            bool is_empty;
            if (!open_container(scan, &nest, &is_empty))
                return false;
            if (!is_empty)
                continue;
        } else if (!scan_scalar(scan, &ignored)) {
            return false;
        }
        if (!go_on(scan, &nest))
            return false;
    } while (nest.depth > 0);
    return true;
}

bool ft_json_value(struct ft_scan *scan, struct ft_value *value)
{
    if (scan->at == scan->end)
        return ft_scan_broken(scan, FT_FAULT_ENDS);
    const uint8_t *from = scan->at;
    bool is_good;
    if (*from == '{' || *from == '[') {
        value->kind = *from == '{' ? FT_VALUE_MAP : FT_VALUE_ARRAY;
        is_good = scan_container(scan);
    } else {
        is_good = scan_scalar(scan, value);
    }
    value->raw = ft_slice(from, (size_t)(scan->at - from));
    return is_good;
}

/* Steps over a string by its quotes, whatever its escapes are. */
static bool step_over_string(struct ft_scan *scan)
{
    for (scan->at++; scan->at < scan->end; scan->at++) {
        if (*scan->at == '"') {
            scan->at++;
            return true;
        }
        if (*scan->at == '\\' && scan->end - scan->at > 1)
            scan->at++;
    }
    return false;
}

bool ft_json_step_over(struct ft_scan *scan)
{
    size_t depth = 0;
    do {
        if (scan->at == scan->end)
            return ft_scan_broken(scan, FT_FAULT_ENDS);
        uint8_t c = *scan->at;
        if (c == '"') {
            if (!step_over_string(scan))
                return ft_scan_broken(scan, FT_FAULT_ENDS);
            continue;
        }
        /* A number at the top ends where something else begins. */
        if (depth == 0 && c != '{' && c != '[') {
            while (scan->at < scan->end && !strchr(" \t\r\n,]}", *scan->at))
                scan->at++;
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        scan->at++;
    } while (depth > 0);
    return true;
}
