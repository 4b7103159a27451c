/* What INFO says, and which servers cannot carry a cluster. */
#include <criterion/criterion.h>

#include "broker/relay/info.h"
#include "tests/unit/support/input.h"

#define SERVER "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:0f1e\r\n"
#define MEMORY "# Memory\r\nmaxmemory_policy:noeviction\r\n"
#define ROLE   "# Replication\r\nrole:master\r\n"

static const struct {
    const char *text;
    enum ft_redis_verdict verdict;
    const char *product, *version, *why;
} infos[] = {
    {SERVER MEMORY ROLE, FT_REDIS_GOOD, "redis", "7.0.15", ""},
    {"redis_version:6.2.0\nrole:master", FT_REDIS_GOOD, "redis", "6.2.0", ""},
    {"redis_version:10.0\r\n", FT_REDIS_GOOD, "redis", "10.0", ""},
    {"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\nrole:master\r\n",
     FT_REDIS_GOOD, "valkey", "8.0.1", ""},
    {SERVER ROLE "maxmemory_policy:volatile-lru\r\n", FT_REDIS_GOOD, "redis", "7.0.15", ""},
    {SERVER ROLE MEMORY "loading:1\r\n", FT_REDIS_LOADING, "redis", "7.0.15", "loading"},
    {SERVER ROLE MEMORY "async_loading:1\r\nloading:0\r\n", FT_REDIS_GOOD, "redis", "7.0.15", ""},
    {"", FT_REDIS_UNSUITABLE, "redis", "", "no Redis"},
    {"version:7\r\nxredis_version:7.0\r\n", FT_REDIS_UNSUITABLE, "redis", "", "no Redis"},
    {"redis_version", FT_REDIS_UNSUITABLE, "redis", "", "no Redis"},
    {"redis_version:\r\n", FT_REDIS_UNSUITABLE, "redis", "", "no Redis"},
    {"redis_version:6.0.16\r\n", FT_REDIS_UNSUITABLE, "redis", "6.0.16", "too old"},
    {"redis_version:5\r\n", FT_REDIS_UNSUITABLE, "redis", "5", "too old"},
    {"redis_version:\x1b[0m\xff\r\n", FT_REDIS_UNSUITABLE, "redis", "[0m", "too old"},
    {"redis_version:7.0.15\r\nredis_mode:cluster\r\n", FT_REDIS_UNSUITABLE, "redis", "7.0.15",
     "cluster mode"},
    {SERVER "cluster_enabled:1\r\n", FT_REDIS_UNSUITABLE, "redis", "7.0.15", "cluster mode"},
    {"redis_version:7.0.15\r\nredis_mode:sentinel\r\n", FT_REDIS_UNSUITABLE, "redis", "7.0.15",
     "Sentinel"},
    {SERVER "role:slave\r\n", FT_REDIS_UNSUITABLE, "redis", "7.0.15", "a replica"},
    {SERVER "role:slave\r\nloading:1\r\n", FT_REDIS_UNSUITABLE, "redis", "7.0.15", "a replica"},
    {SERVER ROLE "maxmemory_policy:allkeys-lru\r\n", FT_REDIS_UNSUITABLE, "redis", "7.0.15",
     "noeviction"},
};

Test(relay_info, says_what_a_server_is_and_whether_it_will_do)
{
    for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
        struct ft_redis_info info;
        char why[FT_INFO_WHY_MAX];
        struct ft_slice text = ft_input_exact(ft_slice_str(infos[i].text));
        cr_assert_eq(ft_redis_info_read(text, &info, why), infos[i].verdict, "%s", infos[i].text);
        cr_assert_str_eq(info.product, infos[i].product, "%s", infos[i].text);
        cr_assert_str_eq(info.version, infos[i].version, "%s", infos[i].text);
        cr_assert(strstr(why, infos[i].why), "%s: %s", infos[i].text, why);
        cr_assert_eq(*why == '\0', infos[i].verdict == FT_REDIS_GOOD);
        ft_input_free(text);
    }
}

Test(relay_info, keeps_what_is_told_once)
{
    struct ft_redis_info info;
    char why[FT_INFO_WHY_MAX];
    static const char text[] =
        SERVER "maxmemory_policy:volatile-ttl\r\naof_enabled:1\r\nrole:master";
    cr_assert_eq(ft_redis_info_read(ft_slice_str(text), &info, why), FT_REDIS_GOOD);
    cr_assert_str_eq(info.run_id, "0f1e");
    cr_assert_str_eq(info.eviction, "volatile-ttl");
    cr_assert(info.has_aof);
}

Test(relay_info, a_value_is_cut)
{
    struct ft_redis_info info;
    char why[FT_INFO_WHY_MAX], text[512] = "redis_version:";
    memset(text + strlen(text), '9', 300);
    cr_assert_eq(ft_redis_info_read(ft_slice_str(text), &info, why), FT_REDIS_GOOD);
    cr_assert_eq(strlen(info.version), FT_INFO_VALUE_MAX - 1);
}
