/*
 * Takes settings from environment variables called FANTAIL_SECTION_NAME. It never changes the
 * environment. Runs at start, on the main thread.
 */
#include "broker/app/config.h"

#include "protocol/quote.h"

#include <string.h>

#define PREFIX "FANTAIL_"

static const struct ft_option *find(const char *variable)
{
    char name[FT_OPTION_ENV_MAX];

    for (size_t i = 0; i < ft_option_count; i++)
        if (strcmp(ft_option_env(&ft_options[i], name), variable) == 0)
            return &ft_options[i];
    return NULL;
}

/* Kubernetes and Docker links make FANTAIL_PORT, FANTAIL_SERVICE_HOST and more for a service that is
 * called fantail; no setting's name ends so. */
static bool is_of_platform(const char *variable)
{
    size_t len = strlen(variable);

    return strstr(variable, "_SERVICE_") || strstr(variable, "_PORT_") ||
           (len > 5 && strcmp(variable + len - 5, "_PORT") == 0);
}

/* Returns the option that an unknown variable was meant for, or NULL: it is somebody else's. */
static const struct ft_option *meant_by(const char *variable)
{
    char name[FT_OPTION_ENV_MAX];

    if (is_of_platform(variable))
        return NULL;
    snprintf(name, sizeof(name), "%s", variable + strlen(PREFIX));
    char *underscore = strchr(name, '_');
    if (underscore)
        *underscore = '.';
    const struct ft_option *near = ft_option_nearest(name);
    /* Without a section a name is short, and much of what is near it is another word. */
    return near && (underscore || near->section[0] == 0) ? near : NULL;
}

int ft_config_load_env(struct ft_config *config, char *const *environment,
                       struct ft_config_error *error)
{
    for (; *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        char variable[FT_OPTION_ENV_MAX], name[FT_OPTION_NAME_MAX], meant[FT_OPTION_ENV_MAX];
        if (!equals || strncmp(*environment, PREFIX, strlen(PREFIX)) != 0 || equals[1] == 0)
            continue;
        size_t len = (size_t)(equals - *environment);
        if (len >= sizeof(variable))
            continue;
        memcpy(variable, *environment, len);
        variable[len] = 0;

        const struct ft_option *option = find(variable);
        if (!option) {
            const struct ft_option *near = meant_by(variable);
            if (!near)
                continue;
            char quoted[FT_QUOTE_MAX];
            return ft_config_fail(error, "environment: %s is not a setting; did you mean %s?",
                                  ft_quote(ft_slice_str(variable), quoted),
                                  ft_option_env(near, meant));
        }
        struct ft_setting setting = {.source = FT_SOURCE_ENVIRONMENT,
                                     .where = variable,
                                     .name = ft_option_name(option, name),
                                     .value = equals + 1};
        if (ft_config_apply(config, &setting, error) != 0)
            return -1;
    }
    return 0;
}
