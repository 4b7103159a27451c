/* The sessions of a worker: found by user and by id, against a twin that goes through all of them. */
#include "broker/hub/roster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/hub/session.h"
#include "tests/unit/support/input.h"

#define SEED 20261121

enum { SESSIONS = 400, USERS = 40, STEPS = 20000, SHARED_HEADS = 8 };

static struct ft_session *sessions; /* that are there are those with an id */
static struct ft_roster roster;

/* Users: many with a few sessions each, the one with an empty name, and nobody. */
static struct ft_slice user(unsigned i, char text[16])
{
    if (i == 0)
        return ft_slice(NULL, 0);
    int n = i == 1 ? 0 : snprintf(text, 16, "user %u", i);
    return ft_slice(text, (size_t)n);
}

static bool is_there(unsigned i)
{
    return sessions[i].id[0] != '\0';
}

static void come(unsigned i, uint64_t *state)
{
    char text[16];
    struct ft_session *session = &sessions[i];
    session->asker.who = ft_identity_new(&(struct ft_identity_spec){
        .user = user((unsigned)ft_input_random(state, USERS), text),
    });
    /* Some ids begin alike. */
    snprintf(session->id, sizeof(session->id), "%c%c%c%c%011u",
             'a' + (int)ft_input_random(state, SHARED_HEADS), 'b', 'c', 'd', i);
    ft_roster_add(&roster, session);
}

static void go(unsigned i)
{
    ft_roster_remove(&roster, &sessions[i]);
    ft_identity_unref(sessions[i].asker.who);
    memset(&sessions[i], 0, sizeof(sessions[i]));
}

static void assert_user(unsigned u)
{
    char text[16];
    struct ft_slice name = user(u, text);
    unsigned expected = 0, found = 0;
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (is_there(i)) {
            struct ft_slice other = ft_identity_user(sessions[i].asker.who);
            expected += !other.ptr == !name.ptr && ft_slice_equal(other, name);
        }
    }
    struct ft_session *session;
    for (uint32_t at = 0; (session = ft_roster_next_of(&roster, name, &at)); found++)
        cr_assert(ft_slice_equal(ft_identity_user(session->asker.who), name));
    cr_assert_eq(found, expected, "user %u", u);
    uint32_t back = roster.count;
    for (found = 0; (session = ft_roster_before_of(&roster, name, &back)); found++)
        cr_assert(ft_slice_equal(ft_identity_user(session->asker.who), name));
    cr_assert_eq(found, expected, "user %u", u);
}

/* From the end they are the same, the other way round. */
static void assert_all_from_the_end(void)
{
    uint32_t at = roster.count, left = roster.count;
    const struct ft_session *session;
    while ((session = ft_roster_before(&roster, &at)))
        cr_assert_eq(session->roster_at, --left);
    cr_assert_eq(left, 0);
}

Test(roster, random_comings_and_goings_are_found_by_user_and_by_id)
{
    sessions = calloc(SESSIONS, sizeof(*sessions));
    uint64_t state = SEED;
    uint32_t there = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)ft_input_random(&state, SESSIONS);
        bool was_there = is_there(i);
        if (was_there)
            go(i);
        else
            come(i, &state);
        there += was_there ? -1u : 1u;
        cr_assert_eq(roster.count, there);
        if (!was_there)
            cr_assert_eq(ft_roster_find(&roster, ft_slice(sessions[i].id, FT_SESSION_ID_LEN)),
                         &sessions[i]);
        assert_user((unsigned)ft_input_random(&state, USERS));
        if (step % 64 == 0)
            assert_all_from_the_end();
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (is_there(i))
            go(i);
    }
    cr_assert_eq(roster.count, 0);
    cr_assert_leq(roster.cap_, 256, "memory goes with the sessions");
    ft_roster_fini(&roster);
    free(sessions);
}

Test(roster, an_id_is_found_as_a_whole_or_not_at_all)
{
    sessions = calloc(SESSIONS, sizeof(*sessions));
    uint64_t state = SEED;
    come(7, &state);
    char id[FT_SESSION_ID_LEN + 1] = "";
    memcpy(id, sessions[7].id, FT_SESSION_ID_LEN);
    cr_expect_eq(ft_roster_find(&roster, ft_slice(id, FT_SESSION_ID_LEN)), &sessions[7]);
    cr_expect_null(ft_roster_find(&roster, ft_slice(id, FT_SESSION_ID_LEN - 1)));
    cr_expect_null(ft_roster_find(&roster, ft_slice(id, FT_SESSION_ID_LEN + 1)));
    cr_expect_null(ft_roster_find(&roster, ft_slice(id, 0)));
    id[FT_SESSION_ID_LEN - 1] ^= 1;
    cr_expect_null(ft_roster_find(&roster, ft_slice(id, FT_SESSION_ID_LEN)));
    go(7);
    cr_expect_null(ft_roster_find(&roster, ft_slice(id, FT_SESSION_ID_LEN)));
    ft_roster_fini(&roster);
    free(sessions);
}
