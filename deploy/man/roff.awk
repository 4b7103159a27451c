# What the pages' makers share: text as roff wants it. Any awk of POSIX.

# Escapes what roff would take for its own; a minus that somebody types stays one.
function plain(text) {
    gsub(/\\/, "\\e", text)
    gsub(/…/, "...", text)
    gsub(/-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/"/, "\\(dq", text)
    return text
}

function bold(text) {
    return "\\fB" plain(text) "\\fR"
}

# Escapes prose: hyphens stay what they are, `words` become bold.
function roff(text,    parts, n, i, out) {
    n = split(text, parts, "`")
    for (i = 1; i <= n; i++)
        out = out (i % 2 ? prose(parts[i]) : bold(parts[i]))
    return out
}

function prose(text) {
    gsub(/\\/, "\\e", text)
    gsub(/…/, "...", text)
    gsub(/--/, "\\-\\-", text)
    gsub(/ -/, " \\-", text)
    sub(/^-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text
}

# A line that would begin with a request of roff's does not.
function line(text) {
    return text ~ /^[.']/ ? "\\&" text : text
}

# Breaks prose into lines of up to 79 bytes.
function fill(text,    words, n, i, now, out) {
    n = split(text, words, " ")
    for (i = 1; i <= n; i++) {
        if (now != "" && length(now) + length(words[i]) > 78) {
            out = out line(now) "\n"
            now = ""
        }
        now = now (now == "" ? "" : " ") words[i]
    }
    return out line(now)
}
