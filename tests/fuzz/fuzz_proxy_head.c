/*
 * The input as a PROXY header, as an address, as a network and as a chain of proxies. Verdicts do not
 * change when more comes, addresses can be written and read again.
 */
#include "protocol/proxy_head.h"
#include "protocol/utf8.h"
#include "tests/fuzz/check.h"

static void check_text(const struct ft_ip *ip)
{
    char text[FT_IP_TEXT_MAX];
    struct ft_ip again;
    CHECK(ft_ip_read(ft_slice_str(ft_ip_text(ip, text)), &again));
    CHECK(memcmp(ip, &again, sizeof(again)) == 0);
    struct ft_network alone;
    CHECK(ft_network_read(ft_slice_str(text), &alone));
    CHECK(alone.bits == 128 && ft_network_has(&alone, ip));
}

static void check_header(struct ft_slice bytes)
{
    struct ft_proxy_head head;
    int verdict = 0;
    for (size_t n = 0; n <= bytes.len && n <= FT_PROXY_HEAD_MAX + 1; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        CHECK(copy);
        if (n > 0)
            memcpy(copy, bytes.ptr, n);
        struct ft_problem problem = {.text = ""};
        int got = ft_proxy_head_read(ft_slice(copy, n), &head, &problem);
        CHECK(got >= -1 && got <= 1);
        CHECK((got == -1) == (problem.text[0] != '\0'));
        CHECK(verdict == 0 || got == verdict);
        CHECK(got != 1 || verdict == 1 || head.size == n);
        CHECK(got != 0 || n < FT_PROXY_HEAD_MAX);
        verdict = got;
        free(copy);
    }
    if (verdict == 1 && head.is_proxied)
        check_text(&head.client);
}

static void check_network(struct ft_slice text)
{
    struct ft_network network;
    if (!ft_network_read(text, &network))
        return;
    CHECK(network.bits <= 128 && ft_network_has(&network, &network.ip));
    struct ft_ip other = network.ip;
    if (network.bits == 0)
        return;
    other.bytes[(network.bits - 1) / 8] ^= 0x80 >> (network.bits - 1) % 8;
    CHECK(!ft_network_has(&network, &other));
}

/* Who is not trusted is believed nothing; who is found is not trusted, or all are, or one cannot be read. */
static void check_chain(struct ft_slice list)
{
    static const struct ft_network trusted = {{{[10] = 0xFF, [11] = 0xFF, [12] = 10}}, 104};
    struct ft_ip proxy = trusted.ip, other = {{1}};
    struct ft_ip client = ft_forwarded_for(&other, list, &trusted, 1);
    CHECK(memcmp(&client, &other, sizeof(client)) == 0);
    client = ft_forwarded_for(&proxy, list, &trusted, 1);
    check_text(&client);
    if (memchr(list.ptr, ',', list.len) || list.len == 0)
        return;
    struct ft_slice alone = list;
    while (alone.len > 0 && (alone.ptr[0] == ' ' || alone.ptr[0] == '\t'))
        alone = ft_slice(alone.ptr + 1, alone.len - 1);
    while (alone.len > 0 && (alone.ptr[alone.len - 1] == ' ' || alone.ptr[alone.len - 1] == '\t'))
        alone.len--;
    struct ft_ip expected = proxy;
    if (!ft_ip_read(alone, &expected))
        expected = proxy;
    CHECK(memcmp(&client, &expected, sizeof(client)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice all = ft_slice(bytes, len);
    struct ft_ip ip;
    check_header(all);
    if (ft_ip_read(all, &ip))
        check_text(&ip);
    check_network(all);
    if (len > 0)
        check_chain(all);
    return 0;
}
