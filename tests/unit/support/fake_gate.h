/*
 * A gate that knows its tokens from the test: what is in `tokens` is good, anything else is not. For tests
 * of what follows from an identity, not of how it is proved.
 */
#ifndef FT_TESTS_FAKE_GATE_H
#define FT_TESTS_FAKE_GATE_H

#include "broker/hub/gate.h"

#define FT_FAKE_TOKENS 8

struct ft_fake_token {
    const char *text;
    const char *user;      /* NULL: nobody in particular */
    const char *sub, *pub; /* one filter each; NULL: none */
    uint64_t expires_ms;
};

struct ft_fake_gate {
    struct ft_fake_token tokens[FT_FAKE_TOKENS];
    enum {
        FT_FAKE_SHUT,
        FT_FAKE_TOKEN,
        FT_FAKE_OPEN
    } door;            /* TOKEN: tokens count in requests too … */
    uint32_t grace_ms; /* … OPEN: who has none may everything, and is an admin where it is local */
    uint32_t checks;
};

extern const struct ft_gate_ops ft_fake_gate_ops;

/* Makes the identity that a token stands for, a reference. */
struct ft_identity *ft_fake_identity(const struct ft_fake_token *token);

#endif
