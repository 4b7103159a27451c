/*
 * Looks at the files of a TLS certificate before anybody serves with them, because what libraries say
 * about them later names neither file nor cause.
 */
#ifndef FT_AUTH_TLS_FILES_H
#define FT_AUTH_TLS_FILES_H

#include "protocol/error.h"

#include <stdint.h>

/* Room for what is to be said about a certificate that works: one line, "" where there is nothing. */
#define FT_TLS_WARNING_MAX 512

/*
 * Checks that both files can be read and are PEM, that the key is not encrypted and is the certificate's,
 * and that the certificates follow each other. FT_ERR_BAD_FIELD says in `problem` which file is wrong, and
 * how. `warning` gets what works and still wants attention: not valid yet or any more at `now_s` (unix), or
 * a key that other users of the machine can read. Never shows anything of the key.
 */
FT_MUST_USE enum ft_err ft_tls_files_check(const char *cert, const char *key, uint64_t now_s,
                                           char warning[FT_TLS_WARNING_MAX],
                                           struct ft_problem *problem);

#endif
