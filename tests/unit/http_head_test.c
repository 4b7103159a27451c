/*
 * Heads of requests: what is in them; every way to smuggle that is known, and what each is refused with;
 * as many bytes as came; and damaged ones against a slow twin (support/http_twin.h).
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/support/http_twin.h"
#include "tests/unit/support/input.h"

#define HEAD(text)                                \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }
#define GET      "GET / HTTP/1.1\r\n"
#define GET_HOST GET "Host: a\r\n"

/* Reads from memory of exactly that size, and checks that a problem is told and only then. */
static int read_exact(struct ft_slice bytes, struct ft_http_head *head, struct ft_problem *problem)
{
    struct ft_slice exact = ft_input_exact(bytes);
    *problem = (struct ft_problem){.text = ""};
    int got = ft_http_head_read(exact, head, problem);
    cr_assert_eq(ft_http_head_read(exact, head, NULL), got);
    bool is_refused = got != FT_HTTP_HEAD_READ && got != FT_HTTP_HEAD_MORE;
    cr_assert_eq(is_refused, problem->text[0] != '\0', "%d: %s", got, problem->text);
    ft_input_free(exact);
    return got;
}

/* Gives one byte more each time. The verdict is MORE until it is the last one, for good. */
static int feed(struct ft_slice bytes, size_t *decided)
{
    struct ft_http_head head;
    struct ft_problem problem;
    int verdict = FT_HTTP_HEAD_MORE;
    for (size_t n = 0; n <= bytes.len; n++) {
        int got = read_exact(ft_slice(bytes.ptr, n), &head, &problem);
        cr_assert(verdict == FT_HTTP_HEAD_MORE || got == verdict, "%zu bytes: %d, then %d", n,
                  verdict, got);
        if (got == FT_HTTP_HEAD_READ)
            cr_assert_leq(head.size, n);
        if (verdict == FT_HTTP_HEAD_MORE)
            *decided = n;
        verdict = got;
    }
    return verdict;
}

static void assert_text(struct ft_slice text, const char *expected)
{
    cr_assert(ft_slice_equal(text, ft_slice_str(expected)), "%.*s is not %s", (int)text.len,
              (const char *)text.ptr, expected);
}

Test(http_head, is_taken_apart)
{
    const struct ft_slice bytes = HEAD("GET /v1/events?topic=a%2Fb HTTP/1.1\r\nHost: a.b:80\r\n"
                                       "X-One:\t v \xC3\xA9\t w \t\r\nx-two:\r\n\r\nand more");
    struct ft_http_head head;
    cr_assert_eq(ft_http_head_read(bytes, &head, NULL), FT_HTTP_HEAD_READ);
    assert_text(head.method, "GET");
    assert_text(head.target, "/v1/events?topic=a%2Fb");
    assert_text(head.path, "/v1/events");
    assert_text(head.query, "topic=a%2Fb");
    assert_text(head.host, "a.b:80");
    cr_assert_eq(head.minor, 1);
    cr_assert_eq(head.size, bytes.len - strlen("and more"));
    cr_assert(!head.is_last && !head.has_body_length && !head.expects_continue);
    cr_assert_eq(head.body_bytes, 0);
    cr_assert_eq(head.field_count, 3);
    assert_text(head.fields[1].name, "X-One");
    assert_text(head.fields[1].value, "v \xC3\xA9\t w");
    assert_text(ft_http_field(&head, "x-two", NULL), "");
    cr_assert_not_null(ft_http_field(&head, "x-two", NULL).ptr, "empty is not absent");
    cr_assert_null(ft_http_field(&head, "x-three", NULL).ptr);
}

Test(http_head, fields_are_found_whatever_their_case_and_counted)
{
    struct ft_http_head head;
    uint32_t count = 7;
    cr_assert_eq(ft_http_head_read(ft_slice_str(GET_HOST "A: 1\r\na: 2, Close\r\nB: x\r\n\r\n"),
                                   &head, NULL),
                 0);
    assert_text(ft_http_field(&head, "a", &count), "1");
    cr_assert_eq(count, 2);
    cr_assert_null(ft_http_field(&head, "c", &count).ptr);
    cr_assert_eq(count, 0);
    cr_assert(ft_http_list_has(&head, "a", "close"));
    cr_assert(ft_http_list_has(&head, "A", "1"));
    cr_assert(!ft_http_list_has(&head, "a", "clos"));
    cr_assert(!ft_http_list_has(&head, "b", "1"));
}

static const struct {
    const char *target, *path, *query, *host;
} targets[] = {
    {"/", "/", "", "h"},
    {"/?", "/", "", "h"},
    {"/a/b?c=d?e", "/a/b", "c=d?e", "h"},
    {"//x@y/", "//x@y/", "", "h"},
    {"http://o:1/p?q", "/p", "q", "o:1"},
    {"HTTPS://o/", "/", "", "o"},
    {"http://o", "/", "", "o"},
    {"http://[::1]:8080?q", "/", "q", "[::1]:8080"},
};

Test(http_head, a_target_is_a_path_or_a_whole_address_that_counts_more_than_host)
{
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i].target);
        struct ft_http_head head;
        cr_assert_eq(ft_http_head_read(ft_slice_str(text), &head, NULL), FT_HTTP_HEAD_READ, "%s",
                     text);
        assert_text(head.target, targets[i].target);
        assert_text(head.path, targets[i].path);
        assert_text(head.query, targets[i].query);
        assert_text(head.host, targets[i].host);
    }
}

/* Heads that are read: what follows them decides nothing. */
static const struct {
    struct ft_slice bytes;
    uint64_t body_bytes;
    bool has_length, is_last, expects_continue;
} good[] = {
    {HEAD(GET_HOST "\r\n"), 0, false, false, false},
    {HEAD("\r\n" GET_HOST "\r\n"), 0, false, false, false},
    {HEAD("GET / HTTP/1.0\r\n\r\n"), 0, false, true, false},
    {HEAD("GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: x\r\n\r\n"), 0, false, true, false},
    {HEAD("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), 0, false, false, false},
    {HEAD("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0, false, false, false},
    {HEAD("M-SEARCH!#$%&'*+-.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n"), 0, false, false, false},
    {HEAD("POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 007\r\n\r\n"), 7, true, false, false},
    {HEAD(GET_HOST "Content-Length: 0\r\n\r\n"), 0, true, false, false},
    {HEAD(GET_HOST "Content-Length: 9223372036854775807\r\n\r\n"), INT64_MAX, true, false, false},
    {HEAD(GET_HOST "Connection: Upgrade, ,CLOSE\r\n\r\n"), 0, false, true, false},
    {HEAD(GET_HOST "Connection: a\r\nConnection: close\r\n\r\n"), 0, false, true, false},
    {HEAD(GET_HOST "Connection: \"a, close\r\n\r\n"), 0, false, true, false},
    {HEAD(GET_HOST "Connection: closed\r\n\r\n"), 0, false, false, false},
    {HEAD(GET_HOST "Expect: 100-Continue\r\n\r\n"), 0, false, false, true},
    {HEAD(GET_HOST "Content-Lengths: x\r\nTransfer-Encodin: x\r\n\r\n"), 0, false, false, false},
    {HEAD(GET "Host:a\r\n\r\n"), 0, false, false, false},
    {HEAD(GET "hOST: [2001:db8::1]:80\r\n\r\n"), 0, false, false, false},
    {HEAD(GET "Host: [::]\r\n\r\n"), 0, false, false, false},
    {HEAD(GET "Host: xn--a_b.%20~:\r\n\r\n"), 0, false, false, false},
};

Test(http_head, is_read_once_its_last_byte_is_there_and_never_sooner)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct ft_http_head head;
        struct ft_problem problem;
        int got = read_exact(good[i].bytes, &head, &problem);
        cr_assert_eq(got, FT_HTTP_HEAD_READ, "%zu: %d %s", i, got, problem.text);
        cr_assert_eq(head.size, good[i].bytes.len, "%zu", i);
        cr_assert_eq(head.body_bytes, good[i].body_bytes, "%zu", i);
        cr_assert_eq(head.has_body_length, good[i].has_length, "%zu", i);
        cr_assert_eq(head.is_last, good[i].is_last, "%zu", i);
        cr_assert_eq(head.expects_continue, good[i].expects_continue, "%zu", i);
        size_t decided;
        cr_assert_eq(feed(good[i].bytes, &decided), FT_HTTP_HEAD_READ, "%zu", i);
        cr_assert_eq(decided, good[i].bytes.len, "%zu", i);
    }
}

/* Refused by the last byte that is given here, and not before. */
static const struct {
    struct ft_slice bytes;
    int status;
} bad[] = {
    /* Other protocols, and garbage: at once. */
    {HEAD("\x16"), 400},
    {HEAD("\x80"), 400},
    {HEAD("{"), 400},
    {HEAD("\0"), 400},
    {HEAD("PRI * HTTP/2.0\r\n"), 505},
    {HEAD("GET / HTTP/0.9\r\n"), 505},
    {HEAD("SSH-2.0-OpenSSH_9.2p1 D"), 400},
    {HEAD("SSH-2.0-OpenSSH\r"), 400},
    {HEAD("a-method-of-thirty-three-characte"), 400},
    /* The request line. */
    {HEAD(" "), 400},
    {HEAD("\n"), 400},
    {HEAD("\r\r"), 400},
    {HEAD("\r\n\r"), 400},
    {HEAD("GET\t"), 400},
    {HEAD("GET  "), 400},
    {HEAD("GET\r"), 400},
    {HEAD("GE("), 400},
    {HEAD("GET x"), 400},
    {HEAD("GET ?"), 400},
    {HEAD("GET /\r"), 400},
    {HEAD("GET /\n"), 400},
    {HEAD("GET /\t"), 400},
    {HEAD("GET /#"), 400},
    {HEAD("GET /\xC3"), 400},
    {HEAD("GET /\x7F"), 400},
    {HEAD("GET /\0"), 400},
    {HEAD("GET /  "), 400},
    {HEAD("GET / h"), 400},
    {HEAD("GET / HTTP/x"), 400},
    {HEAD("GET / HTTP/1.\r"), 400},
    {HEAD("GET / HTTP/1.10"), 400},
    {HEAD("GET / HTTP/1.1 "), 400},
    {HEAD("GET / HTTP/1.1\n"), 400},
    {HEAD("GET / HTTP/1.1\r\r"), 400},
    {HEAD("GET * HTTP/1.1\r\n"), 400},
    {HEAD("OPTIONS *a HTTP/1.1\r\n"), 400},
    {HEAD("CONNECT a"), 400},
    {HEAD("CONNECT h:443 HTTP/1.1\r\n"), 400},
    {HEAD("GET http:// HTTP/1.1\r\n"), 400},
    {HEAD("GET http:///x HTTP/1.1\r\n"), 400},
    {HEAD("GET http://a@b/ HTTP/1.1\r\n"), 400},
    {HEAD("GET http://[::1/ HTTP/1.1\r\n"), 400},
    {HEAD("GET http:/a/ HTTP/1.1\r\n"), 400},
    {HEAD("GET httpx://a/ HTTP/1.1\r\n"), 400},
    {HEAD("GET h HTTP/1.1\r\n"), 400},
    /* Lines that another parser may see elsewhere. */
    {HEAD(GET " "), 400},
    {HEAD(GET "\n"), 400},
    {HEAD(GET "\r\r"), 400},
    {HEAD(GET ":"), 400},
    {HEAD(GET "Host "), 400},
    {HEAD(GET "Host\t"), 400},
    {HEAD(GET "Host\r"), 400},
    {HEAD(GET "Ho\0"), 400},
    {HEAD(GET "Ho\xC3"), 400},
    {HEAD(GET_HOST "A: b\n"), 400},
    {HEAD(GET_HOST "A: b\rC"), 400},
    {HEAD(GET_HOST "A: b\0"), 400},
    {HEAD(GET_HOST "A: b\x7F"), 400},
    {HEAD(GET_HOST "A: 01234567 0123456\x0B"), 400},
    {HEAD(GET_HOST "A: b\r\n "), 400},
    {HEAD(GET_HOST "A: b\r\n\t"), 400},
    {HEAD(GET_HOST "\r\r"), 400},
    {HEAD(GET_HOST "\rX"), 400},
    /* Whose it is. */
    {HEAD(GET "\r\n"), 400},
    {HEAD(GET "Host:\r\n"), 400},
    {HEAD(GET "Host: \t \r\n"), 400},
    {HEAD(GET_HOST "Host: a\r\n"), 400},
    {HEAD(GET_HOST "hosT: b\r\n"), 400},
    {HEAD("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n"), 400},
    {HEAD("GET http://a/ HTTP/1.1\r\n\r\n"), 400},
    {HEAD(GET "Host: a,b\r\n"), 400},
    {HEAD(GET "Host: a b\r\n"), 400},
    {HEAD(GET "Host: a/b\r\n"), 400},
    {HEAD(GET "Host: u@a\r\n"), 400},
    {HEAD(GET "Host: a:b\r\n"), 400},
    {HEAD(GET "Host: a:1:2\r\n"), 400},
    {HEAD(GET "Host: :80\r\n"), 400},
    {HEAD(GET "Host: []\r\n"), 400},
    {HEAD(GET "Host: [::1\r\n"), 400},
    {HEAD(GET "Host: [::g]\r\n"), 400},
    {HEAD(GET "Host: [::1]a\r\n"), 400},
    {HEAD(GET "Host: \xC3\xA9\r\n"), 400},
    /* Where it ends. */
    {HEAD(GET_HOST "Content-Length:\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: +5\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: -1\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 0x5\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 5 5\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 5, 5\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 5,\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 5.0\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: \"5\"\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: \xD9\xA5\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 9223372036854775808\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 18446744073709551621\r\n"), 400},
    {HEAD(GET_HOST "Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
    {HEAD(GET_HOST "Content-Length "), 400},
    {HEAD(GET_HOST "Transfer-Encoding: chunked\r\n"), 411},
    {HEAD(GET_HOST "transfer-encoding:\r\n"), 411},
    {HEAD(GET_HOST "Transfer-Encoding: identity\r\n"), 411},
    {HEAD(GET_HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 411},
    {HEAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"), 411},
    {HEAD(GET_HOST "Transfer-Encoding "), 400},
    {HEAD(GET_HOST "Transfer-Encoding\x0B"), 400},
    {HEAD(GET_HOST "Expect: 200-ok\r\n"), 417},
    {HEAD(GET_HOST "Expect: 100-continue, x\r\n"), 417},
    {HEAD(GET_HOST "Expect: 100-continue=1\r\n"), 417},
};

Test(http_head, what_two_parsers_could_read_in_two_ways_is_refused_at_the_byte_that_is_wrong)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t decided = 0;
        int got = feed(bad[i].bytes, &decided);
        cr_assert_eq(got, bad[i].status, "%zu: %d", i, got);
        cr_assert_eq(decided, bad[i].bytes.len, "%zu: %zu, %.*s", i, decided, (int)decided,
                     (const char *)bad[i].bytes.ptr);
    }
}

/* A head of `n` bytes whose last field takes what is over. */
static struct ft_slice long_head(char *out, size_t n, const char *target)
{
    int used = sprintf(out, "GET %s HTTP/1.1\r\nHost: a\r\nA: ", target);
    memset(out + used, 'x', n - (size_t)used - 4);
    memcpy(out + n - 4, "\r\n\r\n", 4);
    return ft_slice(out, n);
}

Test(http_head, has_a_longest_size)
{
    static char text[FT_HTTP_HEAD_MAX + 100];
    struct ft_http_head head;
    struct ft_problem problem;
    struct ft_slice longest = long_head(text, FT_HTTP_HEAD_MAX, "/");
    cr_assert_eq(read_exact(longest, &head, &problem), FT_HTTP_HEAD_READ);
    longest.len--;
    cr_assert_eq(read_exact(longest, &head, &problem), FT_HTTP_HEAD_MORE);
    struct ft_slice longer = long_head(text, FT_HTTP_HEAD_MAX + 1, "/");
    cr_assert_eq(read_exact(longer, &head, &problem), 431);
    longer.len--;
    cr_assert_eq(read_exact(longer, &head, &problem), 431, "what is there cannot become one");
}

Test(http_head, a_target_that_leaves_no_room_is_told_from_fields_that_are_too_long)
{
    static char text[FT_HTTP_HEAD_MAX + 100], target[FT_HTTP_HEAD_MAX + 1];
    struct ft_http_head head;
    struct ft_problem problem;
    memset(target, '/', FT_HTTP_HEAD_MAX - 100);
    struct ft_slice longer = long_head(text, FT_HTTP_HEAD_MAX + 1, target);
    cr_assert_eq(read_exact(longer, &head, &problem), 414);
    target[4000] = '\0';
    longer = long_head(text, FT_HTTP_HEAD_MAX + 1, target);
    cr_assert_eq(read_exact(longer, &head, &problem), 431);
    memset(text, '/', sizeof(text));
    memcpy(text, "GET ", 4);
    cr_assert_eq(read_exact(ft_slice(text, FT_HTTP_HEAD_MAX - 1), &head, &problem),
                 FT_HTTP_HEAD_MORE);
    cr_assert_eq(read_exact(ft_slice(text, FT_HTTP_HEAD_MAX), &head, &problem), 414);
}

Test(http_head, has_a_largest_number_of_fields)
{
    struct ft_buffer text;
    ft_buffer_init(&text, 1 << 16);
    ft_buffer_add_str(&text, GET_HOST);
    for (int i = 1; i < FT_HTTP_FIELDS_MAX; i++)
        ft_buffer_add_str(&text, "a: b\r\n");
    size_t len = text.len;
    ft_buffer_add_str(&text, "\r\n");
    size_t decided;
    cr_assert_eq(feed(ft_buffer_slice(&text), &decided), FT_HTTP_HEAD_READ);
    text.len = len;
    ft_buffer_add_str(&text, "a");
    cr_assert_eq(feed(ft_buffer_slice(&text), &decided), 431);
    ft_buffer_fini(&text);
}

Test(http_head, problems_have_a_code_and_quote_nothing_that_came)
{
    static const char *const texts[] = {
        GET_HOST "Authorization: Bearer\r\nsecret\r\n",
        GET_HOST "Authorization: Bearer secret\x01",
        GET_HOST "Expect: secret\r\n",
        GET "Host: secret,secret\r\n",
        GET_HOST "Content-Length: secret\r\n",
        GET_HOST "Transfer-Encoding: secret\r\n",
        "GET /?token=secret\xC3",
        "secret\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ft_http_head head;
        struct ft_problem problem;
        int got = read_exact(ft_slice_str(texts[i]), &head, &problem);
        cr_assert_gt(got, 399, "%s", texts[i]);
        cr_assert_eq(problem.err, got == 411 ? FT_ERR_NO_LENGTH : FT_ERR_BAD_REQUEST);
        cr_assert_null(strstr(problem.text, "secret"), "%s", problem.text);
    }
}

/* What heads are made of, whole and in parts. */
static const char *const pieces[] = {
    "GET ",
    "POST ",
    "OPTIONS ",
    "/",
    "/a?b=%20",
    "*",
    "http://a",
    "http://",
    "https://[::1]",
    " HTTP/1.1",
    " HTTP/1.0",
    "\r\n",
    "\r\n\r\n",
    "Host: a",
    "Host: ",
    "hOsT:a:80",
    "Content-Length:",
    "7",
    "Connection: ",
    "close",
    ", ",
    "\"",
    "\\",
    "Expect: ",
    "100-Continue",
    " ",
    "\t",
    "X-A: b",
    ":",
    "\r",
    "\n",
    "\xC3\xA9",
    "\x7F",
    "Transfer-Encoding: a",
    "#",
    "@",
};

/* A head that is good, before it is damaged. */
static void put_head(uint64_t *state, struct ft_buffer *out)
{
    static const char *const lines[] = {GET, "OPTIONS * HTTP/1.1\r\n", "POST /a?b HTTP/1.0\r\n",
                                        "PUT http://a:1/b?c HTTP/1.1\r\n",
                                        "\r\nGET https://a?c HTTP/1.1\r\n"};
    static const char *const fields[] = {"Content-Length: 12\r\n",
                                         "Connection: keep-alive, \"a,b\", Close\r\n",
                                         "A:\r\n",
                                         "Expect: 100-continue\r\n",
                                         "X-Forwarded-For: \t1.2.3.4 ,  5.6.7.8 \t\r\n",
                                         "Cookie: a=b; c=\"d\"\r\n",
                                         "X: \xFF\x80\t.\r\n"};
    ft_buffer_add_str(out, lines[ft_input_random(state, 5)]);
    ft_buffer_add_str(out, "Host: a.example:8080\r\n");
    for (uint64_t n = ft_input_random(state, 6); n > 0; n--)
        ft_buffer_add_str(out, fields[ft_input_random(state, 7)]);
    ft_buffer_add_str(out, "\r\n");
}

static void put_pieces(uint64_t *state, struct ft_buffer *out)
{
    for (uint64_t n = ft_input_random(state, 12); n > 0; n--)
        ft_buffer_add_str(out, pieces[ft_input_random(state, sizeof(pieces) / sizeof(pieces[0]))]);
}

/* Puts a piece somewhere into a head. */
static void put_damaged(uint64_t *state, struct ft_buffer *out)
{
    struct ft_buffer head;
    ft_buffer_init(&head, 1 << 16);
    put_head(state, &head);
    size_t at = (size_t)ft_input_random(state, head.len);
    size_t skipped = (size_t)ft_input_random(state, 3);
    skipped = skipped < head.len - at ? skipped : head.len - at;
    ft_buffer_add(out, head.ptr, at);
    ft_buffer_add_str(out, pieces[ft_input_random(state, sizeof(pieces) / sizeof(pieces[0]))]);
    ft_buffer_add(out, head.ptr + at + skipped, head.len - at - skipped);
    ft_buffer_fini(&head);
}

Test(http_head, agrees_with_a_slow_twin_about_heads_that_are_damaged)
{
    static void (*const makers[])(uint64_t *, struct ft_buffer *) = {put_head, put_pieces,
                                                                     put_damaged};
    uint64_t state = 5;
    size_t read = 0, refused = 0;
    for (int round = 0; round < 9000; round++) {
        struct ft_buffer text;
        ft_buffer_init(&text, 1 << 16);
        makers[round % 3](&state, &text);
        if (round % 2)
            ft_input_damage(&state, &text);
        struct ft_slice exact = ft_input_exact(ft_buffer_slice(&text));
        static struct ft_http_head head, twin;
        int got = ft_http_head_read(exact, &head, NULL);
        bool is_head = ft_http_twin(exact, &twin);
        cr_assert_eq(got == FT_HTTP_HEAD_READ, is_head, "round %d: %d\n%.*s", round, got,
                     (int)text.len, (const char *)text.ptr);
        cr_assert(!is_head || ft_http_twin_agrees(&head, &twin), "round %d:\n%.*s", round,
                  (int)text.len, (const char *)text.ptr);
        read += is_head;
        refused += got > FT_HTTP_HEAD_MORE;
        ft_input_free(exact);
        ft_buffer_fini(&text);
    }
    cr_assert(read > 2000 && refused > 2000, "%zu read, %zu refused", read, refused);
}
