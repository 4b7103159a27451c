/*
 * The connection of a subcommand: the options that all share, one client, and the words on standard
 * error when it comes, goes and fails.
 */
#ifndef FT_CLI_LINK_H
#define FT_CLI_LINK_H

#include "clients/c/fantail.h"
#include "clients/cli/command.h"
#include "clients/cli/flags.h"

/* Longest token that a broker takes. */
#define FT_LINK_TOKEN_MAX 8192

struct ft_link_options {
    struct ft_flag_texts urls;
    const char *token;
    const char *token_file;
    const char *ca_file;
    bool insecure;
    bool msgpack;
    bool retry;
};

/* The rows of these options, for a table of flags. */
#define FT_LINK_FLAGS(options)                                                       \
    {'s',                                                                            \
     "server",                                                                       \
     "URL",                                                                          \
     FT_FLAG_TEXTS,                                                                  \
     &(options)->urls,                                                               \
     "the broker, once for each node of a cluster; default $FANTAIL_URL, else "      \
     "ws://127.0.0.1:8080/ws"},                                                      \
        {'\0',           "msgpack",           NULL,                                  \
         FT_FLAG_SWITCH, &(options)->msgpack, "speak MessagePack instead of JSON"},  \
        {'\0',                                                                       \
         "token",                                                                    \
         "TOKEN",                                                                    \
         FT_FLAG_TEXT,                                                               \
         &(options)->token,                                                          \
         "a JSON Web Token or an API key to connect with; default $FANTAIL_TOKEN"},  \
        {'\0',                                                                       \
         "token-file",                                                               \
         "FILE",                                                                     \
         FT_FLAG_TEXT,                                                               \
         &(options)->token_file,                                                     \
         "a file with the token, read again for each connection and at its expiry"}, \
        {'\0',                                                                       \
         "ca",                                                                       \
         "FILE",                                                                     \
         FT_FLAG_TEXT,                                                               \
         &(options)->ca_file,                                                        \
         "PEM file of the authorities to trust for wss://"},                         \
        {'\0',                                                                       \
         "insecure",                                                                 \
         NULL,                                                                       \
         FT_FLAG_SWITCH,                                                             \
         &(options)->insecure,                                                       \
         "wss:// without checking the certificate; for development only"},           \
    {                                                                                \
        '\0', "retry", NULL, FT_FLAG_SWITCH, &(options)->retry,                      \
            "keep trying when the first connection fails"                            \
    }

struct ft_link {
    struct fantail *client;
    void *owner;    /* the subcommand's own state, for its handlers */
    bool is_quiet_; /* the command line's last word was said */
    bool was_open;
    enum ft_exit exit_code;             /* FT_EXIT_OK until something ends the command */
    const char *token_file_;            /* NULL: none */
    char token_[FT_LINK_TOKEN_MAX + 2]; /* what it held when it was last read */
};

/* Where the brokers are: what the options name, else $FANTAIL_URL, else the usual place. */
struct ft_link_urls {
    const char *items[FT_FLAG_TEXTS_MAX];
    size_t count;
    char *copy_;
};
void ft_link_urls_init(struct ft_link_urls *urls, const struct ft_link_options *options);
void ft_link_urls_fini(struct ft_link_urls *urls);

/* Reads the file of a token into `token`, without the white space around it; returns where it begins. What cannot
 * be read is said on standard error, and the token empty. */
const char *ft_link_read_token(const char *path, char token[FT_LINK_TOKEN_MAX + 2]);

/*
 * Makes the client. SIGINT and SIGTERM stop it from then on. Returns false when it could not be made
 * and has said so: the command ends with link->exit_code.
 */
bool ft_link_open(struct ft_link *link, const struct ft_link_options *options, void *owner);

/* Says "fantail: …" on standard error, and keeps `code` as the command's end unless it has one. */
void ft_link_fail(struct ft_link *link, enum ft_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says whether SIGINT or SIGTERM came. */
bool ft_link_is_interrupted(void);

/* Ends the connection in an orderly way and frees the client. */
void ft_link_close(struct ft_link *link);

#endif
