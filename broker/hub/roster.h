/*
 * All sessions of a worker, with what an operator knows them by. They stand side by side, because an order
 * is for one or a few out of perhaps half a million, and going from session to session through memory would
 * keep the worker for 80 ms; looking through this takes less than one. The worker's thread.
 */
#ifndef FT_HUB_ROSTER_H
#define FT_HUB_ROSTER_H

#include "protocol/slice.h"

struct ft_session;

struct ft_roster_entry {
    struct ft_session *session;
    uint32_t user_hash; /* 0: nobody in particular */
    uint32_t id_head;   /* the first bytes of its id, which are random */
};

/* Zeroed: empty. */
struct ft_roster {
    struct ft_roster_entry *entries; /* in no order */
    uint32_t count;
    uint32_t cap_;
};

void ft_roster_fini(struct ft_roster *roster);

/* Adds a session that has its id and its identity; the user of a session never changes. */
void ft_roster_add(struct ft_roster *roster, struct ft_session *session);
void ft_roster_remove(struct ft_roster *roster, struct ft_session *session);

/* Returns the session with this id, or NULL. */
struct ft_session *ft_roster_find(const struct ft_roster *roster, struct ft_slice id);

/* Returns the next session of a user, or NULL after the last. `*at` starts as 0; between the calls no
 * session may be added or removed. */
struct ft_session *ft_roster_next_of(const struct ft_roster *roster, struct ft_slice user,
                                     uint32_t *at);

/* The same from the end, where `*at` starts as the count: who came late is met early. Of all sessions, or of a
 * user's. */
struct ft_session *ft_roster_before(const struct ft_roster *roster, uint32_t *at);
struct ft_session *ft_roster_before_of(const struct ft_roster *roster, struct ft_slice user,
                                       uint32_t *at);

#endif
