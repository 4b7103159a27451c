/* The files of the console and of its examples, embedded by the Makefile's build of broker/console. */
#ifndef FT_HTTP_PAGE_FILES_H
#define FT_HTTP_PAGE_FILES_H

#include "protocol/slice.h"

struct ft_page {
    const char *path; /* "/console/main.js"; of a request, as it was sent */
    const char *type; /* its Content-Type */
    const char *tag;  /* changes with the content */
    /* What the content has inside <script> and <style>, as sources of a Content-Security-Policy, each
     * behind a space. */
    const char *scripts, *styles;
    struct ft_slice plain;
    struct ft_slice packed; /* by gzip; empty where that is no shorter */
};

/* Finds the page of a path; NULL: there is none. Any thread. */
const struct ft_page *ft_page_find(struct ft_slice path);

#endif
