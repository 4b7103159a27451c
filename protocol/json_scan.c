/*
 * The JSON scanner: the hot path of every publish. Iterative, bounded by the bytes that are there;
 * does not check UTF-8 (the caller has) and builds no tree. Pure; any thread.
 */
#include "protocol/json_scan.h"

#include "protocol/envelope.h"
#include "protocol/json_number.h"
#include "protocol/plain_run.h"

_Static_assert(FT_DEPTH_MAX + FT_DEEPER_MAX <= 64, "the open containers are the bits of one word");

/*
 * Inside, the place is an argument and a result, not scan->at: so it stays in a register, where going
 * through memory at each token cost half of the time. NULL is a fault, which `scan` then tells.
 */
typedef const uint8_t *place;

__attribute__((cold)) static place broken(struct ft_scan *scan, place at, const char *fault)
{
    scan->at = at;
    ft_scan_broken(scan, fault);
    return NULL;
}

__attribute__((cold)) static place refused(struct ft_scan *scan, place at, const char *fault)
{
    scan->at = at;
    ft_scan_refused(scan, fault);
    return NULL;
}

static inline place skip_space(place at, place end)
{
    /* One comparison decides for what comes most: no white space. */
    while (at < end && *at <= ' ' && ft_json_is_space(*at))
        at++;
    return at;
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
static place scan_unit(struct ft_scan *scan, place at)
{
    if (scan->end - at < 6)
        return broken(scan, at, FT_FAULT_ENDS);
    uint32_t unit = read_unit(at + 2);
    if (unit > 0xFFFF)
        return broken(scan, at, "a \\u escape without four hexadecimal digits");
    if (is_low_surrogate(unit))
        return refused(scan, at, "a lone surrogate in a string");
    if (!is_high_surrogate(unit))
        return at + 6;
    place other = at + 6;
    if (scan->end - other < 6 || other[0] != '\\' || other[1] != 'u' ||
        !is_low_surrogate(read_unit(other + 2)))
        return refused(scan, at, "a lone surrogate in a string");
    return other + 6;
}

/* Steps over the escape at `at`. */
static place scan_escape(struct ft_scan *scan, place at)
{
    if (scan->end - at < 2)
        return broken(scan, at, FT_FAULT_ENDS);
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at + 2;
    case 'u':
        return scan_unit(scan, at);
    default:
        return broken(scan, at, "an escape that JSON does not have");
    }
}

/* The rest of a string from its first backslash or control character on, to its closing quote. */
static place string_tail(struct ft_scan *scan, place at)
{
    for (;;) {
        if (at == scan->end)
            return broken(scan, at, "a string without its closing quote");
        if (*at == '"')
            return at;
        if (*at != '\\')
            return broken(scan, at, "a control character in a string");
        at = scan_escape(scan, at);
        if (!at)
            return NULL;
        at = ft_plain_run(at, scan->end);
    }
}

/* Reads the string whose quote is at `at`. */
static inline place scan_string(struct ft_scan *scan, place at, place end, struct ft_slice *text,
                                bool *has_escapes)
{
    place from = at + 1;
    at = ft_plain_run(from, end);
    *has_escapes = at == end || *at != '"';
    if (*has_escapes) {
        at = string_tail(scan, at);
        if (!at)
            return NULL;
    }
    *text = ft_slice(from, (size_t)(at - from));
    return at + 1;
}

bool ft_json_string(struct ft_scan *scan, struct ft_slice *text, bool *has_escapes)
{
    place at = scan->at;
    if (at == scan->end || *at != '"')
        return ft_scan_broken(scan, "a string was expected");
    at = scan_string(scan, at, scan->end, text, has_escapes);
    if (!at)
        return false;
    scan->at = at;
    return true;
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

/* A number that is too long for a quick answer is looked at with care: 308 digits without an
 * exponent, or 200 with one of two digits, stay below 10^308. */
#define QUICK_DIGITS          308
#define QUICK_MANTISSA        200
#define QUICK_EXPONENT_DIGITS 2

/* Byte by byte: the numbers of feeds are short, and where their lengths repeat, prediction makes this
 * faster than any wider step. */
static inline place skip_digits(place at, place end)
{
    while (at < end && (uint8_t)(*at - '0') <= 9)
        at++;
    return at;
}

/* The rest of a number whose integer part ends at `at`, where a point or an e stands. Sets `*is_long`
 * where it may overflow. */
static inline place number_tail(struct ft_scan *scan, place start, place at, bool *is_long)
{
    place end = scan->end;
    if (*at == '.') {
        place from = at + 1;
        at = skip_digits(from, end);
        if (at == from)
            return broken(scan, at, "a number without a digit after its point");
    }
    if (at == end || (*at | 0x20) != 'e')
        return at;
    *is_long |= at - start > QUICK_MANTISSA;
    at++;
    if (at < end && (*at == '+' || *at == '-'))
        at++;
    place from = at;
    at = skip_digits(from, end);
    if (at == from)
        return broken(scan, at, "a number without a digit in its exponent");
    *is_long |= at - from > QUICK_EXPONENT_DIGITS;
    return at;
}

static inline place scan_number(struct ft_scan *scan, place start, place end)
{
    place from = start + (*start == '-');
    place at = skip_digits(from, end);
    if (at == from)
        return broken(scan, at, "a minus without a digit after it");
    if (*from == '0' && at - from > 1)
        return broken(scan, at, "a number that begins with a needless zero");
    bool is_long = at - from > QUICK_DIGITS;
    if (at < end && (*at == '.' || (*at | 0x20) == 'e')) {
        at = number_tail(scan, start, at, &is_long);
        if (!at)
            return NULL;
    }
    if (is_long && ft_json_overflows(ft_slice(start, (size_t)(at - start))))
        return refused(scan, start, "a number too large for a float64");
    return at;
}

/* --- values --- */

static inline place scan_word(struct ft_scan *scan, place at, const char *word, size_t len)
{
    if ((size_t)(scan->end - at) < len || memcmp(at, word, len) != 0)
        return broken(scan, at, "something that is no JSON value");
    return at + len;
}

/* Reads anything but a container. */
static inline place scan_scalar(struct ft_scan *scan, place at, place end, struct ft_value *value)
{
    switch (*at) {
    case '"':
        value->kind = FT_VALUE_STR;
        return scan_string(scan, at, end, &value->text, &value->has_escapes);
    case 't':
        value->kind = FT_VALUE_BOOL;
        value->is_true = true;
        return scan_word(scan, at, "true", 4);
    case 'f':
        value->kind = FT_VALUE_BOOL;
        value->is_true = false;
        return scan_word(scan, at, "false", 5);
    case 'n':
        value->kind = FT_VALUE_NULL;
        return scan_word(scan, at, "null", 4);
    case '-':
    case '0' ... '9':
        value->kind = FT_VALUE_NUMBER;
        return scan_number(scan, at, end);
    default:
        return broken(scan, at, "something that is no JSON value");
    }
}

/* The containers that are open: bit n of `maps` says whether the one at depth n + 1 is a map. */
struct nest {
    uint64_t maps;
    unsigned depth;
};

/* Reads a key of a map and its colon, and stands at the value then. */
static inline place scan_key(struct ft_scan *scan, place at, place end, struct ft_slice *text,
                             bool *has_escapes)
{
    if (at == end || *at != '"')
        return broken(scan, at, "a key in quotes was expected");
    at = scan_string(scan, at, end, text, has_escapes);
    if (!at)
        return NULL;
    at = skip_space(at, end);
    if (at == end || *at != ':')
        return broken(scan, at, "a colon was expected after a key");
    return skip_space(at + 1, end);
}

/* A key that nobody asks for. */
static inline place skip_key(struct ft_scan *scan, place at, place end)
{
    struct ft_slice text;
    bool has_escapes;
    return scan_key(scan, at, end, &text, &has_escapes);
}

/* Opens the container at `at`, and closes it where it is empty; else stands at its first value. */
static inline place open_container(struct ft_scan *scan, place at, place end, struct nest *nest,
                                   bool *is_empty)
{
    if (nest->depth == (unsigned)FT_DEPTH_MAX + scan->deeper)
        return refused(scan, at, FT_FAULT_DEPTH);
    bool is_map = *at == '{';
    at = skip_space(at + 1, end);
    *is_empty = at < end && *at == (is_map ? '}' : ']');
    if (*is_empty)
        return at + 1;
    nest->maps = nest->maps << 1 | is_map;
    nest->depth++;
    return is_map ? skip_key(scan, at, end) : at;
}

/* After a value: closes what closes here. Stands at the next value then; or nest->depth is 0. */
static inline place go_on(struct ft_scan *scan, place at, place end, struct nest *nest)
{
    while (nest->depth > 0) {
        at = skip_space(at, end);
        bool is_map = nest->maps & 1;
        if (at < end && *at == ',') {
            at = skip_space(at + 1, end);
            return is_map ? skip_key(scan, at, end) : at;
        }
        if (at == end || *at != (is_map ? '}' : ']'))
            return broken(scan, at,
                          is_map ? "a comma or } was expected after a value"
                                 : "a comma or ] was expected after a value");
        at++;
        nest->maps >>= 1;
        nest->depth--;
    }
    return at;
}

static place scan_container(struct ft_scan *scan, place at, place end)
{
    struct nest nest = {0};
    struct ft_value ignored;
    do {
        if (at == end)
            return broken(scan, at, FT_FAULT_ENDS);
        if (*at == '{' || *at == '[') {
            bool is_empty;
            at = open_container(scan, at, end, &nest, &is_empty);
            if (at && !is_empty)
                continue;
        } else {
            at = scan_scalar(scan, at, end, &ignored);
        }
        if (!at)
            return NULL;
        at = go_on(scan, at, end, &nest);
    } while (at && nest.depth > 0);
    return at;
}

/* Says whether a number is an integer from 0 to 2^64 - 1. Up to 19 digits always fit. */
static inline bool is_uint(struct ft_slice number, uint64_t *num)
{
    bool is_negative;
    if (number.len > 19)
        return ft_json_integer(number, &is_negative, num) && !is_negative;
    uint64_t sum = 0;
    for (size_t i = 0; i < number.len; i++) {
        unsigned digit = (unsigned)number.ptr[i] - '0';
        if (digit > 9)
            return false;
        sum = sum * 10 + digit;
    }
    *num = sum;
    return true;
}

static inline place scan_value(struct ft_scan *scan, place from, place end, struct ft_value *value)
{
    if (from == end)
        return broken(scan, from, FT_FAULT_ENDS);
    place at;
    if (*from == '{' || *from == '[') {
        value->kind = *from == '{' ? FT_VALUE_MAP : FT_VALUE_ARRAY;
        at = scan_container(scan, from, end);
    } else {
        at = scan_scalar(scan, from, end, value);
    }
    if (!at)
        return NULL;
    value->raw = ft_slice(from, (size_t)(at - from));
    if (value->kind == FT_VALUE_NUMBER && is_uint(value->raw, &value->num))
        value->kind = FT_VALUE_UINT;
    return at;
}

bool ft_json_value(struct ft_scan *scan, struct ft_value *value)
{
    place at = scan_value(scan, scan->at, scan->end, value);
    if (!at)
        return false;
    scan->at = at;
    return true;
}

/* Reads what follows the value of a pair. */
static inline place scan_pair_end(struct ft_scan *scan, place at, place end, bool *is_last)
{
    at = skip_space(at, end);
    if (at == end || (*at != ',' && *at != '}'))
        return broken(scan, at, "a comma or } was expected after a value");
    *is_last = *at == '}';
    return *is_last ? at + 1 : skip_space(at + 1, end);
}

bool ft_json_pair(struct ft_scan *scan, struct ft_json_pair *pair)
{
    place end = scan->end;
    pair->from = NULL;
    pair->is_value_whole = false;
    place at = scan_key(scan, scan->at, end, &pair->key, &pair->has_escapes);
    if (!at)
        return false;
    pair->from = at;
    at = scan_value(scan, at, end, &pair->value);
    if (!at)
        return false;
    pair->is_value_whole = true;
    at = scan_pair_end(scan, at, end, &pair->is_last);
    if (!at)
        return false;
    scan->at = at;
    return true;
}

bool ft_json_pair_end(struct ft_scan *scan, bool *is_last)
{
    place at = scan_pair_end(scan, scan->at, scan->end, is_last);
    if (!at)
        return false;
    scan->at = at;
    return true;
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
