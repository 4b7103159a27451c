/* A gate that knows its tokens from the test. */
#include "tests/unit/support/fake_gate.h"

#include "broker/base/alloc.h"

struct ft_identity *ft_fake_identity(const struct ft_fake_token *token)
{
    struct ft_identity *who = ft_identity_new(&(struct ft_identity_spec){
        .user = token->user ? ft_slice_str(token->user) : (struct ft_slice){0},
        .expires_ms = token->expires_ms,
    });
    if (token->sub)
        FT_ASSERT(ft_identity_allow(who, FT_RIGHT_SUB, ft_slice_str(token->sub), NULL) == FT_OK);
    if (token->pub)
        FT_ASSERT(ft_identity_allow(who, FT_RIGHT_PUB, ft_slice_str(token->pub), NULL) == FT_OK);
    return who;
}

static enum ft_err check(void *context, enum ft_token_place place, struct ft_slice text,
                         uint64_t now_ms, struct ft_identity **who, struct ft_problem *problem)
{
    struct ft_fake_gate *gate = context;
    gate->checks++;
    bool counts = place == FT_TOKEN_ENVELOPE || gate->door != FT_FAKE_SHUT;
    for (int i = 0; counts && i < FT_FAKE_TOKENS; i++) {
        const struct ft_fake_token *token = &gate->tokens[i];
        if (!token->text || !ft_slice_equal(text, ft_slice_str(token->text)))
            continue;
        if (token->expires_ms > 0 && token->expires_ms <= now_ms)
            break;
        *who = ft_fake_identity(token);
        return FT_OK;
    }
    return ft_problem_set(problem, FT_ERR_UNAUTHORIZED, "the token is bad");
}

static struct ft_identity *anonymous(void *context, bool is_local)
{
    if (((struct ft_fake_gate *)context)->door != FT_FAKE_OPEN)
        return NULL;
    return ft_identity_new(
        &(struct ft_identity_spec){.may_everything = true, .is_admin = is_local});
}

static uint32_t grace_ms(void *context)
{
    return ((struct ft_fake_gate *)context)->grace_ms;
}

const struct ft_gate_ops ft_fake_gate_ops = {check, anonymous, grace_ms};
