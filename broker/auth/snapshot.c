/* Reads what was configured, all of it or nothing. The main thread; the result is for any. */
#include "broker/auth/snapshot.h"

#include <stdlib.h>

#include "broker/auth/file.h"
#include "broker/base/alloc.h"
#include "protocol/topic.h"

static bool is_set(const char *text)
{
    return text && text[0] != '\0';
}

static struct ft_auth_list copy(struct ft_auth_texts texts)
{
    struct ft_auth_list list = {.count = texts.count};
    if (texts.count > 0)
        list.items = ft_alloc(texts.count * sizeof(*list.items));
    for (size_t i = 0; i < texts.count; i++)
        list.items[i] = ft_strdup(texts.items[i]);
    return list;
}

static void fini(struct ft_auth_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

/* ---- keys ---- */

static enum ft_err read_secret(struct ft_snapshot *made, const char *secret,
                               struct ft_problem *problem)
{
    struct ft_problem why;
    if (!is_set(secret))
        return FT_OK;
    /* A public key is known to everybody, and so would be what it signs. */
    if (strstr(secret, "-----BEGIN "))
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "auth.secret: it is PEM; give the file to auth.keys instead");
    struct ft_key_spec spec = {.type = FT_KEY_OCT, .first = ft_slice_str(secret), .alg = FT_ALGS};
    if (ft_keys_add(&made->keys, &spec, &why) == FT_OK)
        return FT_OK;
    return ft_problem_set(problem, FT_ERR_BAD_FIELD, "auth.secret: %s", why.text);
}

static enum ft_err read_key_files(struct ft_snapshot *made, struct ft_auth_texts files,
                                  struct ft_problem *problem)
{
    struct ft_problem why;
    char shown[FT_AUTH_PATH_SHOWN_MAX];
    for (size_t i = 0; i < files.count; i++)
        if (ft_keys_read(&made->keys, files.items[i], &why) != FT_OK)
            return ft_problem_set(problem, FT_ERR_BAD_FIELD, "auth.keys: %s: %s",
                                  ft_auth_path_show(files.items[i], shown), why.text);
    return FT_OK;
}

static enum ft_err read_api_keys(struct ft_snapshot *made, const char *path,
                                 struct ft_problem *problem)
{
    struct ft_problem why;
    char shown[FT_AUTH_PATH_SHOWN_MAX];
    if (!is_set(path) || ft_api_keys_read(path, &made->api_keys, &why) == FT_OK)
        return FT_OK;
    return ft_problem_set(problem, FT_ERR_BAD_FIELD, "auth.api_keys: %s: %s",
                          ft_auth_path_show(path, shown), why.text);
}

/* ---- rules ---- */

static enum ft_err read_rules(struct ft_auth_list *list, struct ft_auth_texts rules,
                              const char *name, struct ft_problem *problem)
{
    struct ft_problem why;
    *list = copy(rules);
    for (size_t i = 0; i < rules.count; i++)
        if (ft_filter_check(ft_slice_str(rules.items[i]), &why) != FT_OK)
            return ft_problem_set(problem, FT_ERR_BAD_FIELD, "%s: %s", name, why.text);
    return FT_OK;
}

static enum ft_err read_all_rules(struct ft_snapshot *made, const struct ft_auth_options *options,
                                  struct ft_problem *problem)
{
    const struct {
        struct ft_auth_list *list;
        struct ft_auth_texts rules;
        const char *name;
    } rows[] = {
        {&made->anonymous[FT_RIGHT_SUB], options->anonymous_sub, "auth.anonymous_sub"},
        {&made->anonymous[FT_RIGHT_PUB], options->anonymous_pub, "auth.anonymous_pub"},
        {&made->user[FT_RIGHT_SUB], options->user_sub, "auth.user_sub"},
        {&made->user[FT_RIGHT_PUB], options->user_pub, "auth.user_pub"},
    };
    enum ft_err err = FT_OK;
    for (size_t i = 0; !err && i < sizeof(rows) / sizeof(rows[0]); i++)
        err = read_rules(rows[i].list, rows[i].rules, rows[i].name, problem);
    return err;
}

/* A broker that lets nobody in is a mistake. */
static enum ft_err check_use(const struct ft_snapshot *made, struct ft_problem *problem)
{
    if (made->mode == FT_AUTH_NONE || made->keys.count > 0 || made->api_keys ||
        made->anonymous[FT_RIGHT_SUB].count + made->anonymous[FT_RIGHT_PUB].count > 0)
        return FT_OK;
    return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                          "auth.mode: it is token, but there is nothing to check tokens with: set "
                          "auth.secret, auth.keys or auth.api_keys");
}

/* ---- all of it ---- */

static enum ft_err read_all(struct ft_snapshot *made, const struct ft_auth_options *options,
                            struct ft_problem *problem)
{
    enum ft_err err = read_secret(made, options->secret, problem);
    if (!err)
        err = read_key_files(made, options->key_files, problem);
    if (!err)
        err = read_api_keys(made, options->api_keys, problem);
    if (!err)
        err = read_all_rules(made, options, problem);
    return err ? err : check_use(made, problem);
}

enum ft_err ft_snapshot_new(const struct ft_auth_options *options, struct ft_snapshot **snapshot,
                            struct ft_problem *problem)
{
    struct ft_snapshot *made = ft_alloc_zero(sizeof(*made));
    atomic_init(&made->refs, 1);
    made->mode = options->mode;
    made->leeway_ms = options->leeway_s * 1000;
    made->grace_ms = options->grace_s * 1000;
    made->audiences = copy(options->audiences);
    if (is_set(options->issuer))
        made->issuer = ft_strdup(options->issuer);
    enum ft_err err = read_all(made, options, problem);
    if (err) {
        ft_snapshot_unref(made);
        return err;
    }
    if (made->keys.count > 0)
        made->cache = ft_token_cache_new();
    *snapshot = made;
    return FT_OK;
}

struct ft_snapshot *ft_snapshot_ref(struct ft_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void ft_snapshot_unref(struct ft_snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) > 1)
        return;
    ft_token_cache_free(snapshot->cache);
    ft_keys_fini(&snapshot->keys);
    ft_api_keys_free(snapshot->api_keys);
    free(snapshot->issuer);
    fini(&snapshot->audiences);
    for (int right = 0; right < FT_RIGHTS; right++) {
        fini(&snapshot->anonymous[right]);
        fini(&snapshot->user[right]);
    }
    free(snapshot);
}

void ft_snapshot_allow(struct ft_identity *identity, const struct ft_auth_list lists[FT_RIGHTS])
{
    for (enum ft_right right = 0; right < FT_RIGHTS; right++)
        for (size_t i = 0; i < lists[right].count; i++) {
            struct ft_slice rule = ft_slice_str(lists[right].items[i]);
            enum ft_err err = ft_identity_allow(identity, right, rule, NULL);
            FT_ASSERT(err == FT_OK); /* it was checked when it was read */
        }
}
