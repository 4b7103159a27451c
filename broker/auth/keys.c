/* The list of keys, and which kind of file is which. The main thread; readers are any. */
#include "broker/auth/keys.h"

#include "broker/auth/file.h"
#include "protocol/buffer.h"

enum ft_err ft_keys_add(struct ft_keys *keys, const struct ft_key_spec *spec,
                        struct ft_problem *problem)
{
    if (keys->count == FT_KEYS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD, "there are more than %d keys",
                              FT_KEYS_MAX);
    enum ft_err err = ft_key_new(spec, &keys->items[keys->count], problem);
    if (!err)
        keys->count++;
    return err;
}

void ft_keys_fini(struct ft_keys *keys)
{
    while (keys->count > 0)
        ft_key_free(keys->items[--keys->count]);
}

enum ft_err ft_keys_read_bytes(struct ft_keys *keys, struct ft_slice bytes,
                               struct ft_problem *problem)
{
    static const char begin[] = "-----BEGIN ";
    if (bytes.len > 0 && memmem(bytes.ptr, bytes.len, begin, sizeof(begin) - 1))
        return ft_keys_read_pem(keys, bytes, problem);
    return ft_keys_read_jwk(keys, bytes, problem);
}

enum ft_err ft_keys_read(struct ft_keys *keys, const char *path, struct ft_problem *problem)
{
    struct ft_buffer bytes;
    enum ft_err err = ft_auth_file_read(path, &bytes, problem);
    if (!err)
        err = ft_keys_read_bytes(keys, ft_buffer_slice(&bytes), problem);
    ft_buffer_fini(&bytes);
    return err;
}
