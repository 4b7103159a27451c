/*
 * A gate for tests: options, files in a folder of its own that goes with it, and what it says.
 */
#ifndef FT_TESTS_GATE_CASE_H
#define FT_TESTS_GATE_CASE_H

#include "broker/auth/gate.h"
#include "tests/unit/support/token.h"

#define GATE_SECRET "0123456789abcdef0123456789abcdef"

/* The time at which gates are asked, in seconds: 21 November 2026. */
#define GATE_NOW_S 1795284000

/* Writes a file that goes when the process ends; returns its path, lent. */
const char *gate_file(const char *text);

/* Makes a gate; fails the test when it cannot. */
struct ft_auth *gate_new(const struct ft_auth_options *options);

/* Says what is wrong with options that must be refused, or fails the test. Lent until the next call. */
const char *gate_refused(const struct ft_auth_options *options);

/* Asks at GATE_NOW_S; NULL: it was refused, and gate_why() says why. */
struct ft_identity *gate_ask(struct ft_auth *auth, const char *token);
struct ft_identity *gate_ask_at(struct ft_auth *auth, enum ft_token_place place, const char *token,
                                uint64_t now_ms);
const char *gate_why(void);

/* Says whether the gate accepts a token, which it frees. */
bool gate_accepts(struct ft_auth *auth, char *token);

#endif
