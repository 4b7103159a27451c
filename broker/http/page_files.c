/*
 * The pages, embedded as broker/console/build.mjs makes them in build/console; its table, pages.def, is the
 * other half of this file. They are constants: of a page that nobody asks for nothing is read from the disk.
 * Any thread.
 */
#include "broker/http/page_files.h"

/* Puts a file behind a symbol of the section for constants. */
#define EMBED(symbol, file)                              \
    __asm__(".pushsection .rodata\n" #symbol ":\n"       \
            ".incbin \"build/console/files/" file "\"\n" \
            ".byte 0\n"                                  \
            ".popsection\n");                            \
    extern const uint8_t symbol[]

#define FT_PAGE(id, ...)         \
    EMBED(ft_page_of_##id, #id); \
    EMBED(ft_packed_of_##id, #id ".gz");
#include "build/console/pages.def"
#undef FT_PAGE

static const struct ft_page pages[] = {
#define FT_PAGE(id, path, type, tag, scripts, styles, bytes, packed_bytes) \
    {path, type, tag, scripts, styles, {ft_page_of_##id, bytes}, {ft_packed_of_##id, packed_bytes}},
#include "build/console/pages.def"
#undef FT_PAGE
};

const struct ft_page *ft_page_find(struct ft_slice path)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (ft_slice_equal(path, ft_slice_str(pages[i].path)))
            return &pages[i];
    }
    return NULL;
}
