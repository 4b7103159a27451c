/*
 * The sessions of a worker in an array. Who goes leaves his place to the last one. What is compared first
 * is a hash that peers may know: with names that share one they win nothing but that names are compared.
 */
#include "broker/hub/roster.h"

#include "broker/base/alloc.h"
#include "broker/hub/session.h"

#include <stdlib.h>

#define FIRST 64

/* FNV-1a, and never 0. */
static uint32_t hash_of(struct ft_slice user)
{
    if (!user.ptr)
        return 0;
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < user.len; i++)
        hash = (hash ^ user.ptr[i]) * 16777619;
    return hash ? hash : 1;
}

static uint32_t head_of(const void *id)
{
    uint32_t head;
    memcpy(&head, id, sizeof(head));
    return head;
}

static struct ft_slice user_of(const struct ft_session *session)
{
    return ft_identity_user(session->asker.who);
}

static void resize(struct ft_roster *roster, uint32_t cap)
{
    roster->entries = ft_realloc(roster->entries, cap * sizeof(*roster->entries));
    roster->cap_ = cap;
}

void ft_roster_fini(struct ft_roster *roster)
{
    free(roster->entries);
    *roster = (struct ft_roster){0};
}

void ft_roster_add(struct ft_roster *roster, struct ft_session *session)
{
    if (roster->count == roster->cap_)
        resize(roster, roster->cap_ ? 2 * roster->cap_ : FIRST);
    session->roster_at = roster->count;
    roster->entries[roster->count++] = (struct ft_roster_entry){
        .session = session,
        .user_hash = hash_of(user_of(session)),
        .id_head = head_of(session->id),
    };
}

void ft_roster_remove(struct ft_roster *roster, struct ft_session *session)
{
    struct ft_roster_entry last = roster->entries[--roster->count];
    roster->entries[session->roster_at] = last;
    last.session->roster_at = session->roster_at;
    if (roster->cap_ > FIRST && roster->count < roster->cap_ / 4)
        resize(roster, roster->cap_ / 2);
}

struct ft_session *ft_roster_find(const struct ft_roster *roster, struct ft_slice id)
{
    if (id.len != FT_SESSION_ID_LEN)
        return NULL;
    uint32_t head = head_of(id.ptr);
    for (uint32_t i = 0; i < roster->count; i++) {
        if (roster->entries[i].id_head != head)
            continue;
        struct ft_session *session = roster->entries[i].session;
        if (memcmp(session->id, id.ptr, FT_SESSION_ID_LEN) == 0)
            return session;
    }
    return NULL;
}

struct ft_session *ft_roster_next_of(const struct ft_roster *roster, struct ft_slice user,
                                     uint32_t *at)
{
    uint32_t hash = hash_of(user);
    while (*at < roster->count) {
        const struct ft_roster_entry *entry = &roster->entries[(*at)++];
        if (entry->user_hash == hash && ft_slice_equal(user_of(entry->session), user))
            return entry->session;
    }
    return NULL;
}

struct ft_session *ft_roster_before(const struct ft_roster *roster, uint32_t *at)
{
    return *at > 0 ? roster->entries[--*at].session : NULL;
}

struct ft_session *ft_roster_before_of(const struct ft_roster *roster, struct ft_slice user,
                                       uint32_t *at)
{
    uint32_t hash = hash_of(user);
    while (*at > 0) {
        const struct ft_roster_entry *entry = &roster->entries[--*at];
        if (entry->user_hash == hash && ft_slice_equal(user_of(entry->session), user))
            return entry->session;
    }
    return NULL;
}
