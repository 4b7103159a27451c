/* PROXY headers byte by byte, addresses and networks as text, and who is behind a chain of proxies. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "protocol/proxy_head.h"
#include "tests/unit/support/input.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a "

static struct ft_ip ip_of(const char *text)
{
    struct ft_ip ip;
    cr_assert(ft_ip_read(ft_slice_str(text), &ip), "%s", text);
    return ip;
}

static void assert_ip(const struct ft_ip *ip, const char *expected)
{
    char text[FT_IP_TEXT_MAX];
    cr_assert_str_eq(ft_ip_text(ip, text), expected);
}

/* Reads from memory of exactly that size. */
static int read_exact(struct ft_slice bytes, struct ft_proxy_head *head, struct ft_problem *problem)
{
    struct ft_slice exact = ft_input_exact(bytes);
    const struct ft_proxy_head untouched = {.size = 4242};
    *head = untouched;
    *problem = (struct ft_problem){.text = ""};
    int got = ft_proxy_head_read(exact, head, problem);
    cr_assert_eq(got == 1, head->size != untouched.size);
    cr_assert_eq(got == -1, problem->text[0] != '\0');
    cr_assert_eq(got == -1, problem->err == FT_ERR_BAD_REQUEST);
    cr_assert_eq(ft_proxy_head_read(exact, head, NULL), got);
    ft_input_free(exact);
    return got;
}

/* Gives one byte more each time; returns the verdict and with how many bytes it came. */
static int feed(struct ft_slice bytes, size_t *decided)
{
    struct ft_proxy_head head;
    struct ft_problem problem;
    for (*decided = 0; *decided <= bytes.len; ++*decided) {
        int got = read_exact(ft_slice(bytes.ptr, *decided), &head, &problem);
        if (got != 0)
            return got;
    }
    return 0;
}

static const struct {
    const char *what, *hex, *client; /* no client: not proxied */
    unsigned port;
} good[] = {
    {"IPv4", SIGNATURE "21 11 000c c0000207 0a000001 1267 01bb", "192.0.2.7", 0x1267},
    {"IPv6",
     SIGNATURE "21 21 0024 20010db8000000000000000000000001 00000000000000000000000000000001"
               "ffff 0050",
     "2001:db8::1", 65535},
    {"TLVs", SIGNATURE "21 11 0013 c0000207 0a000001 0001 01bb 04 0004 00000000", "192.0.2.7", 1},
    {"LOCAL", SIGNATURE "20 00 0000", NULL, 0},
    {"LOCAL, with what is to be skipped", SIGNATURE "20 ff 0003 010203", NULL, 0},
    {"unspecified", SIGNATURE "21 00 0002 0102", NULL, 0},
};

Test(proxy_head, says_who_is_connected_once_all_of_it_is_there)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct ft_slice bytes = ft_input_hex(good[i].hex);
        size_t decided;
        cr_assert_eq(feed(bytes, &decided), 1, "%s", good[i].what);
        cr_assert_eq(decided, bytes.len, "%s", good[i].what);
        struct ft_proxy_head head;
        struct ft_problem problem;
        read_exact(bytes, &head, &problem);
        cr_assert_eq(head.size, bytes.len, "%s", good[i].what);
        cr_assert_eq(head.is_proxied, good[i].client != NULL, "%s", good[i].what);
        if (good[i].client)
            assert_ip(&head.client, good[i].client);
        cr_assert_eq(head.port, good[i].port, "%s", good[i].what);
        ft_input_free(bytes);
    }
}

Test(proxy_head, takes_unix_sockets_and_what_follows_is_left)
{
    uint8_t bytes[FT_PROXY_HEAD_MAX + 10] = "\r\n\r\n\0\r\nQUIT\n\x21\x31";
    bytes[15] = 216;
    struct ft_proxy_head head;
    struct ft_problem problem;
    cr_assert_eq(read_exact(ft_slice(bytes, sizeof(bytes)), &head, &problem), 1);
    cr_assert_eq(head.size, 16 + 216);
    cr_assert(!head.is_proxied);
    bytes[15] = 215;
    cr_assert_eq(read_exact(ft_slice(bytes, sizeof(bytes)), &head, &problem), -1);
}

Test(proxy_head, has_a_longest_size_that_is_known_from_its_first_bytes)
{
    uint8_t bytes[FT_PROXY_HEAD_MAX + 1] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";
    bytes[14] = (FT_PROXY_HEAD_MAX - 16) >> 8;
    bytes[15] = (FT_PROXY_HEAD_MAX - 16) & 0xFF;
    struct ft_proxy_head head;
    struct ft_problem problem;
    cr_assert_eq(read_exact(ft_slice(bytes, FT_PROXY_HEAD_MAX), &head, &problem), 1);
    cr_assert_eq(head.size, FT_PROXY_HEAD_MAX);
    cr_assert_eq(read_exact(ft_slice(bytes, FT_PROXY_HEAD_MAX - 1), &head, &problem), 0);
    bytes[15]++;
    cr_assert_eq(read_exact(ft_slice(bytes, 16), &head, &problem), -1);
    cr_assert_eq(read_exact(ft_slice(bytes, 15), &head, &problem), 0);
}

/* Refused by the last byte that is given here. */
static const struct {
    const char *what, *hex, *text;
} bad[] = {
    {"version 1", "50", "version 1 (text); send version 2"},
    {"HTTP", "47", "must begin with a PROXY header"},
    {"another signature", "0d0a0d0a000d0a515549540d", "must begin with a PROXY header"},
    {"version 3", SIGNATURE "31", "not of version 2"},
    {"command 2", SIGNATURE "22", "an unknown command"},
    {"datagrams", SIGNATURE "21 12 000c c0000207 0a000001 1267 01bb", "TCP"},
    {"a family that is unknown", SIGNATURE "21 41 0000", "TCP"},
    {"IPv4 cut short", SIGNATURE "21 11 000b c0000207 0a000001 1267 01", "too short"},
    {"IPv6 cut short", SIGNATURE "21 21 000c c0000207 0a000001 1267 01bb", "too short"},
    {"far too long", SIGNATURE "21 11 ffff", "longer"},
};

Test(proxy_head, is_refused_for_a_reason_at_the_byte_that_is_wrong)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ft_slice bytes = ft_input_hex(bad[i].hex);
        size_t decided;
        cr_assert_eq(feed(bytes, &decided), -1, "%s", bad[i].what);
        cr_assert_eq(decided, bytes.len, "%s: %zu", bad[i].what, decided);
        struct ft_proxy_head head;
        struct ft_problem problem;
        read_exact(bytes, &head, &problem);
        cr_assert_not_null(strstr(problem.text, bad[i].text), "%s: %s", bad[i].what, problem.text);
        ft_input_free(bytes);
    }
}

Test(proxy_head, post_is_not_taken_for_proxy)
{
    struct ft_proxy_head head;
    struct ft_problem problem;
    cr_assert_eq(read_exact(ft_slice_str("POST / HTTP/1.1\r\n"), &head, &problem), -1);
    cr_assert_null(strstr(problem.text, "version 1"), "%s", problem.text);
    cr_assert_eq(read_exact(ft_slice_str("PROXY TCP4 "), &head, &problem), -1);
    cr_assert_not_null(strstr(problem.text, "version 1"), "%s", problem.text);
}

static const struct {
    const char *text, *address; /* no address: it is none */
} addresses[] = {
    {"192.0.2.7", "192.0.2.7"},
    {"192.0.2.7:4711", "192.0.2.7"},
    {"192.0.2.7:65535", "192.0.2.7"},
    {"::ffff:192.0.2.7", "192.0.2.7"},
    {"2001:DB8:0::1", "2001:db8::1"},
    {"[2001:db8::1]", "2001:db8::1"},
    {"[2001:db8::1]:80", "2001:db8::1"},
    {"2001:db8::1:80", "2001:db8::1:80"},
    {"::", "::"},
    {"::1", "::1"},
    {"", NULL},
    {"unknown", NULL},
    {"_hidden", NULL},
    {"192.0.2", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2.07", NULL},
    {" 192.0.2.7", NULL},
    {"192.0.2.7 ", NULL},
    {"192.0.2.7:", NULL},
    {"192.0.2.7:65536", NULL},
    {"192.0.2.7:+1", NULL},
    {"192.0.2.7:000080", NULL},
    {"[192.0.2.7]", NULL},
    {"[::1", NULL},
    {"[::1]80", NULL},
    {"[::1]:", NULL},
    {"[]", NULL},
    {"::1]", NULL},
    {"fe80::1%eth0", NULL},
    {":80", NULL},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999", NULL},
    {"0000000000000000000000000000000000000000000000000000000000::1", NULL},
};

Test(ip, is_read_as_proxies_write_it)
{
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct ft_slice exact = ft_input_exact(ft_slice_str(addresses[i].text));
        struct ft_ip ip = {{42}};
        bool is_ip = ft_ip_read(exact, &ip);
        cr_assert_eq(is_ip, addresses[i].address != NULL, "%s", addresses[i].text);
        if (is_ip)
            assert_ip(&ip, addresses[i].address);
        else
            cr_assert_eq(ip.bytes[0], 42, "untouched on failure");
        ft_input_free(exact);
    }
    struct ft_ip ip;
    cr_assert(!ft_ip_read(ft_slice("1.2.3.4\0", 8), &ip), "a NUL ends nothing");
}

Test(ip, of_loopback_is_a_whole_network_in_one_family_and_one_address_in_the_other)
{
    static const char *const loopback[] = {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"};
    static const char *const other[] = {
        "126.0.0.1", "128.0.0.1", "::", "::2", "7f00::1", "0.0.0.1"};
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
        struct ft_ip ip = ip_of(loopback[i]);
        cr_assert(ft_ip_is_loopback(&ip), "%s", loopback[i]);
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        struct ft_ip ip = ip_of(other[i]);
        cr_assert(!ft_ip_is_loopback(&ip), "%s", other[i]);
    }
}

static const struct {
    const char *network, *inside, *outside;
} networks[] = {
    {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
    {"10.64.0.0/10", "10.127.1.2", "10.128.0.0"},
    {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
    {"192.0.2.6/31", "192.0.2.7", "192.0.2.8"},
    {"0.0.0.0/0", "255.1.2.3", "::1"},
    {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
    {"2001:db8::8/125", "2001:db8::f", "2001:db8::10"},
    {"::1", "::1", "::"},
    {"::ffff:0:0/96", "1.2.3.4", "::1"},
};

Test(network, has_the_addresses_that_begin_with_its_bits)
{
    for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++) {
        struct ft_network network;
        cr_assert(ft_network_read(ft_slice_str(networks[i].network), &network), "%s",
                  networks[i].network);
        struct ft_ip inside = ip_of(networks[i].inside), outside = ip_of(networks[i].outside);
        cr_assert(ft_network_has(&network, &network.ip), "%s", networks[i].network);
        cr_assert(ft_network_has(&network, &inside), "%s", networks[i].network);
        cr_assert(!ft_network_has(&network, &outside), "%s", networks[i].network);
    }
    struct ft_network all;
    cr_assert(ft_network_read(ft_slice_str("::/0"), &all));
    struct ft_ip ip = ip_of("1.2.3.4");
    cr_assert(ft_network_has(&all, &ip));
}

Test(network, is_refused_where_it_is_a_slip)
{
    static const char *const slips[] = {"",
                                        "/",
                                        "/8",
                                        "10.0.0.0/",
                                        "10.0.0.1/8",
                                        "10.0.0.0/33",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/8 ",
                                        "10.0.0/8",
                                        "::/129",
                                        "::1/127",
                                        "[::1]/128",
                                        "[::1]",
                                        "1.2.3.4:80",
                                        "localhost",
                                        "10.0.0.0/8/8",
                                        "10.128.0.0/8"};
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        struct ft_network network = {.bits = 42};
        cr_assert(!ft_network_read(ft_slice_str(slips[i]), &network), "%s", slips[i]);
        cr_assert_eq(network.bits, 42, "untouched on failure");
    }
}

static const struct {
    const char *peer, *list, *client;
} chains[] = {
    {"10.0.0.1", "", "10.0.0.1"},
    {"10.0.0.1", " ,\t, ", "10.0.0.1"},
    {"10.0.0.1", "203.0.113.5", "203.0.113.5"},
    {"10.0.0.1", "6.6.6.6, 203.0.113.5", "203.0.113.5"},
    {"10.0.0.1", "6.6.6.6, 203.0.113.5 ,10.0.0.2,", "203.0.113.5"},
    {"10.0.0.1", "10.0.0.4, 10.0.0.3", "10.0.0.4"},
    {"10.0.0.1", "[2001:db8::1]:80, 10.0.0.2:4711", "2001:db8::1"},
    {"10.0.0.1", "fd00::1, ::ffff:10.0.0.2", "fd00::1"},
    {"10.0.0.1", "unknown, 203.0.113.5", "203.0.113.5"},
    {"10.0.0.1", "203.0.113.5, unknown", "10.0.0.1"},
    {"10.0.0.1", "unknown, 10.0.0.2", "10.0.0.1"},
    {"192.0.2.1", "203.0.113.5", "192.0.2.1"},
    {"192.0.2.1", "10.0.0.2", "192.0.2.1"},
};

Test(forwarded_for, is_believed_as_far_as_the_chain_is_trusted)
{
    struct ft_network trusted[2];
    cr_assert(ft_network_read(ft_slice_str("172.16.0.0/12"), &trusted[0]));
    cr_assert(ft_network_read(ft_slice_str("10.0.0.0/8"), &trusted[1]));
    for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
        struct ft_slice exact = ft_input_exact(ft_slice_str(chains[i].list));
        struct ft_ip peer = ip_of(chains[i].peer);
        struct ft_ip client = ft_forwarded_for(&peer, exact, trusted, 2);
        assert_ip(&client, chains[i].client);
        client = ft_forwarded_for(&peer, exact, NULL, 0);
        assert_ip(&client, chains[i].peer);
        ft_input_free(exact);
    }
    struct ft_ip peer = ip_of("10.0.0.1");
    struct ft_ip client = ft_forwarded_for(&peer, ft_slice(NULL, 0), trusted, 2);
    assert_ip(&client, "10.0.0.1");
}
