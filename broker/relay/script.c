/*
 * The scripts that run inside Redis, embedded as they are in scripts/ (the Makefile knows that this object
 * depends on them). Redis finds a script by the SHA-1 of its text; EVALSHA is answered with NOSCRIPT until
 * it was loaded. Any thread.
 */
#include "broker/relay/command.h"

#include <pthread.h>

#include "protocol/sha1.h"

/* Puts a file between two symbols of the section for constants. */
#define EMBED(name)                                            \
    __asm__(".pushsection .rodata\n"                           \
            "ft_lua_" #name ":\n"                              \
            ".incbin \"broker/relay/scripts/" #name ".lua\"\n" \
            "ft_lua_" #name "_end:\n"                          \
            ".byte 0\n"                                        \
            ".popsection\n");                                  \
    extern const uint8_t ft_lua_##name[], ft_lua_##name##_end[]

EMBED(publish);
EMBED(join);
EMBED(beat);
EMBED(register);
EMBED(leave);
EMBED(reap);

#define SCRIPT(name)                                      \
    {                                                     \
        .from = ft_lua_##name, .end = ft_lua_##name##_end \
    }

static const struct {
    const uint8_t *from, *end;
} scripts[FT_SCRIPTS] = {
    [FT_SCRIPT_PUBLISH] = SCRIPT(publish), [FT_SCRIPT_JOIN] = SCRIPT(join),
    [FT_SCRIPT_BEAT] = SCRIPT(beat),       [FT_SCRIPT_REGISTER] = SCRIPT(register),
    [FT_SCRIPT_LEAVE] = SCRIPT(leave),     [FT_SCRIPT_REAP] = SCRIPT(reap),
};

static char shas[FT_SCRIPTS][2 * FT_SHA1_BYTES + 1];
static pthread_once_t shas_once = PTHREAD_ONCE_INIT;

static void make_shas(void)
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < FT_SCRIPTS; i++) {
        uint8_t digest[FT_SHA1_BYTES];
        ft_sha1(ft_script_text((enum ft_script)i), digest);
        for (size_t k = 0; k < FT_SHA1_BYTES; k++) {
            shas[i][2 * k] = hex[digest[k] >> 4];
            shas[i][2 * k + 1] = hex[digest[k] & 0xF];
        }
    }
}

struct ft_slice ft_script_text(enum ft_script script)
{
    return ft_slice(scripts[script].from, (size_t)(scripts[script].end - scripts[script].from));
}

const char *ft_script_sha(enum ft_script script)
{
    pthread_once(&shas_once, make_shas);
    return shas[script];
}
