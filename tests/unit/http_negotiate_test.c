/* Content-Type, Accept and Accept-Encoding. */
#include "broker/http/negotiate.h"
#include "tests/unit/support/http_text.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum ft_media media_of(const char *type)
{
    char fields[256];
    snprintf(fields, sizeof(fields), "Content-Type: %s\n", type);
    return ft_negotiate_media(ft_http_text("POST /", fields));
}

Test(http_negotiate, knows_what_a_body_is)
{
    static const struct {
        const char *type;
        enum ft_media media;
    } rows[] = {
        {"application/json", FT_MEDIA_JSON},
        {"Application/JSON", FT_MEDIA_JSON},
        {"application/json;charset=utf-8", FT_MEDIA_JSON},
        {"application/json ; charset=\"UTF-8\"", FT_MEDIA_JSON},
        {"application/json; version=1; charset=utf8", FT_MEDIA_JSON},
        {"application/json; charset=us-ascii", FT_MEDIA_JSON},
        {"application/json; charset=iso-8859-1", FT_MEDIA_CHARSET},
        {"application/json; version=1; charset=utf-16", FT_MEDIA_CHARSET},
        {"application/jsonx", FT_MEDIA_OTHER},
        {"application/ld+json", FT_MEDIA_OTHER},
        {"json", FT_MEDIA_OTHER},
        {"application/msgpack", FT_MEDIA_MSGPACK},
        {"application/x-msgpack", FT_MEDIA_MSGPACK},
        {"application/vnd.msgpack", FT_MEDIA_MSGPACK},
        {"application/msgpack; charset=latin1", FT_MEDIA_MSGPACK},
        {"text/plain", FT_MEDIA_TEXT},
        {"text/plain; charset=latin1", FT_MEDIA_CHARSET},
        {"text/plain; charset=", FT_MEDIA_CHARSET},
        {"text/plain; format=flowed", FT_MEDIA_TEXT},
        {"text/html", FT_MEDIA_OTHER},
        {"", FT_MEDIA_NONE},
        {";charset=utf-16", FT_MEDIA_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_eq(media_of(rows[i].type), rows[i].media, "%s", rows[i].type);
    cr_assert_eq(ft_negotiate_media(ft_http_text("POST /", "")), FT_MEDIA_NONE);
}

Test(http_negotiate, two_content_types_are_none)
{
    const char *fields = "Content-Type: application/json\nContent-Type: application/json\n";
    cr_assert_eq(ft_negotiate_media(ft_http_text("POST /", fields)), FT_MEDIA_SEVERAL);
}

Test(http_negotiate, answers_as_the_client_prefers)
{
    static const struct {
        const char *accept;
        enum ft_encoding encoding;
    } rows[] = {
        {"application/msgpack", FT_MSGPACK},
        {"APPLICATION/X-MSGPACK", FT_MSGPACK},
        {"application/json, application/msgpack", FT_JSON},
        {"application/msgpack, application/json", FT_MSGPACK},
        {"application/msgpack;q=0.5, application/json;q=0.4", FT_MSGPACK},
        {"application/msgpack;q=0.5, application/json;q=0.501", FT_JSON},
        {"application/json;q=0.9, application/msgpack", FT_MSGPACK},
        {"application/msgpack;q=0", FT_JSON},
        {"application/msgpack;q=0.000", FT_JSON},
        {"application/msgpack;q=2", FT_JSON},
        {"application/msgpack;q=x", FT_JSON},
        {"application/msgpack; v=1 ; q=1.000, */*;q=0.1", FT_MSGPACK},
        {"text/html, */*", FT_JSON},
        {"application/*", FT_JSON},
        {",,", FT_JSON},
        {"", FT_JSON},
    };
    char fields[256];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(fields, sizeof(fields), "Accept: %s\n", rows[i].accept);
        cr_assert_eq(ft_negotiate_encoding(ft_http_text("GET /", fields), FT_JSON),
                     rows[i].encoding, "%s", rows[i].accept);
    }
    const char *several = "Accept: text/html\nAccept: application/msgpack\n";
    cr_assert_eq(ft_negotiate_encoding(ft_http_text("GET /", several), FT_JSON), FT_MSGPACK);
    cr_assert_eq(ft_negotiate_encoding(ft_http_text("GET /", "Accept: */*\n"), FT_MSGPACK),
                 FT_MSGPACK);
}

Test(http_negotiate, compresses_for_who_takes_it)
{
    static const struct {
        const char *fields;
        bool gzip;
    } rows[] = {
        {"", false},
        {"Accept-Encoding: \n", false},
        {"Accept-Encoding: gzip\n", true},
        {"Accept-Encoding: GZIP;q=0.1\n", true},
        {"Accept-Encoding: x-gzip\n", true},
        {"Accept-Encoding: br, deflate;q=0.5 , gzip ; q=0.001\n", true},
        {"Accept-Encoding: br\nAccept-Encoding: gzip\n", true},
        {"Accept-Encoding: *\n", true},
        {"Accept-Encoding: *;q=0\n", false},
        {"Accept-Encoding: gzip;q=0, *\n", false},
        {"Accept-Encoding: *;q=0, gzip\n", true},
        {"Accept-Encoding: gzip;q=0.000\n", false},
        {"Accept-Encoding: gzip;q=often\n", false},
        {"Accept-Encoding: gzipped, identity\n", false},
        {"Accept: gzip\n", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_eq(ft_negotiate_gzip(ft_http_text("GET /", rows[i].fields)), rows[i].gzip, "%s",
                     rows[i].fields);
}
