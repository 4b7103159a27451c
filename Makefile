# Fantail. `make help` lists the targets; README.md says what each is for.
#
# One set of rules builds every mode: MODE=release (build/), asan (build/asan/), tsan (build/tsan/),
# fuzz (build/fuzz/, with clang). Sources are found by wildcard, header dependencies come from the
# compiler.

VERSION := 0.1.0
MODE ?= release
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
        -Wcast-align -Wwrite-strings -Wundef -Wformat=2 -Werror
CPPFLAGS := -I. -D_GNU_SOURCE -DFT_VERSION='"$(VERSION)"'
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_release := -O2 -g -fno-plt -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS_asan := -O1 -g $(SANITIZE)
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
# clang takes every cast from bytes for unaligned; gcc knows that here it does not matter.
CFLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link $(SANITIZE) -Wno-cast-align
CFLAGS := -std=c11 -pthread -ffunction-sections -fdata-sections $(WARN) $(CFLAGS_$(MODE))
LDFLAGS_release := -Wl,-O1,--as-needed,--gc-sections,-z,relro,-z,now
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined
LDFLAGS := -pthread $(LDFLAGS_$(MODE))

B := build$(if $(filter-out release,$(MODE)),/$(MODE))
O := build/$(MODE)/obj

sources = $(wildcard $(addsuffix /*.c,$(1)))
objects = $(patsubst %.c,$(O)/%.o,$(call sources,$(1)))

PROTOCOL := protocol
BASE := broker/base
CORE := broker/core
BROKER := broker/hub broker/auth broker/net broker/http broker/relay broker/app
CLIENT := clients/c
COMMAND := clients/cli clients/cli/bench

LIBS_protocol := -lmsgpackc -ljansson -lm
LIBS_auth := -lcjose -lssl -lcrypto -ljansson
LIBS_fantaild := -lwebsockets -luv -lhiredis -linih $(LIBS_auth) $(LIBS_protocol)
LIBS_fantail := -lwebsockets -lcrypto $(LIBS_protocol)

# V=1 shows the commands themselves.
Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-5s %s\n' $(1) $@)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all programs clients-js run test unit threads integration javascript browser conformance lint soak bench demo fuzz man install uninstall package clean help

all: $(B)/fantaild $(B)/fantail ## build the broker and the command: build/fantaild, build/fantail

$(B)/fantaild: $(call objects,$(PROTOCOL) $(BASE) $(CORE) $(BROKER))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_fantaild)

$(B)/fantail: $(call objects,$(PROTOCOL) $(BASE) $(CLIENT) $(COMMAND))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_fantail)

# The C client for other programs: one archive that shows fantail_* and nothing else.
$(B)/libfantail.a: $(call objects,$(PROTOCOL) $(BASE) $(CLIENT))
	@mkdir -p $(@D)
	$(call say,AR)
	$(Q)ld -r -o $(O)/libfantail.o $^
	$(Q)objcopy -w --keep-global-symbol='fantail_*' $(O)/libfantail.o
	@rm -f $@
	$(Q)ar rcs $@ $(O)/libfantail.o

$(B)/example: clients/c/example/example.c clients/c/fantail.h $(B)/libfantail.a
	$(call say,LINK)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/libfantail.a $(LIBS_fantail)

$(O)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The scripts for Redis are embedded as they are.
$(O)/broker/relay/script.o $(O)/clients/cli/bench/redis_script.o: $(wildcard broker/relay/scripts/*.lua)

# The console's pages are built once for all modes, and embedded like the scripts: their table changes when
# one of them does. A folder is newer when something in it has gone.
PAGES := build/console/pages.def
PAGES_MODULES := broker/console/node_modules/.package-lock.json

$(O)/broker/http/page_files.o: $(PAGES)

$(PAGES): broker/console/build.mjs $(PAGES_MODULES) broker/console/tsconfig.json clients/js/tsconfig.json \
          $(shell find broker/console/public broker/console/src clients/js/src clients/js/examples)
	$(call say,PAGES)
	$(Q)node $< $(@D)

# npm leaves its own copy of the lock file behind, as of when it was last done.
%/node_modules/.package-lock.json: %/package-lock.json
	$(call say,NPM)
	$(Q)npm ci --prefix $* --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# The JavaScript client as others install it.
clients-js: clients/js/dist/index.js ## the npm package `fantail`: clients/js/dist

clients/js/dist/index.js: clients/js/build.mjs clients/js/package.json clients/js/tsconfig.json \
                          clients/js/node_modules/.package-lock.json $(shell find clients/js/src)
	$(call say,NODE)
	$(Q)node $<

# The commented sample comes from the table of settings, the manual pages from that and from --help.
MAN_PAGES := fantaild.8 fantail.1 fantail.conf.5

man: all ## write the manual pages anew, from what the programs say of themselves: deploy/man
	$(Q)for page in $(MAN_PAGES); do deploy/man/make $$page >build/page && cp build/page deploy/man/$$page || exit; done

deploy/fantail.conf: broker/app/options.def broker/app/config_print.c | $(B)/fantaild
	$(B)/fantaild --print-config-sample > $@

# And the dashboard for Grafana from the table of metrics.
deploy/monitoring/dashboard.json: deploy/monitoring/dashboard broker/hub/metrics.def
	deploy/monitoring/dashboard > $@

# Unit tests: tests/unit/NAME_test.c becomes one program. It takes what it needs from an archive of
# everything below the edges and the fakes of tests/unit/support; a test that includes something of
# the clients, from an archive of those as well.
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
UNIT_PARTS := $(PROTOCOL) $(BASE) $(CORE) broker/hub broker/http broker/auth broker/relay broker/app tests/unit/support
CLIENT_TESTS := $(shell grep -ls -e '"clients/' -e subscription_case.h tests/unit/*_test.c)

$(B)/unit/%_test: $(O)/tests/unit/%_test.o $(B)/unit/parts.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS) -Wl,--as-needed,--no-gc-sections -o $@ -Wl,--start-group $^ -Wl,--end-group \
	    -lcriterion $(LIBS_fantaild)

$(patsubst tests/unit/%.c,$(B)/unit/%,$(CLIENT_TESTS)): $(B)/unit/clients.a

$(B)/unit/parts.a: $(filter-out %/main.o,$(call objects,$(UNIT_PARTS)))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(B)/unit/clients.a: $(filter-out %/main.o,$(call objects,$(CLIENT) $(COMMAND)))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

# Races (MODE=tsan): tests/races/NAME_race.c, with what unit tests have, but without Criterion.
RACES := $(patsubst tests/races/%.c,$(B)/races/%,$(wildcard tests/races/*_race.c))

$(B)/races/%_race: $(O)/tests/races/%_race.o $(B)/unit/parts.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LIBS_fantaild)

# Fuzz targets (MODE=fuzz): tests/fuzz/fuzz_NAME.c, with everything that is pure; fuzz_token with auth/,
# fuzz_node_message with the readers of what nodes tell each other.
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))

$(B)/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(B)/pure.a
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LIBS_fuzz) $(LIBS_protocol)

$(B)/fuzz_token: $(call objects,broker/auth)
$(B)/fuzz_node_message: $(addprefix $(O)/broker/,hub/order.o hub/nodes.o hub/session_info.o relay/ask_message.o \
    relay/presence_entry.o relay/roll.o)
$(B)/fuzz_token: LIBS_fuzz := $(LIBS_auth)

$(B)/pure.a: $(call objects,$(PROTOCOL) $(BASE) $(CORE))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

# Benches of single parts: tests/bench/NAME_bench.c, with everything that is pure.
BENCHES := $(patsubst tests/bench/%_bench.c,$(B)/bench/%,$(wildcard tests/bench/*_bench.c))

$(B)/bench/%: $(O)/tests/bench/%_bench.o $(B)/pure.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_protocol)

# What the tests of this mode run; tests/run asks for it.
programs: $(if $(filter fuzz,$(MODE)),$(FUZZERS),$(if $(filter tsan,$(MODE)),$(RACES),$(UNIT_TESTS)))

# What the targets below need from the system. Silent when it is there.
.PHONY: set-up-build set-up-test set-up-bench set-up-package
set-up-build:
	@deploy/setup build

set-up-test:
	@deploy/setup test

set-up-bench:
	@deploy/setup bench

set-up-package:
	@deploy/setup package

run: set-up-build ## build and start the broker at 127.0.0.1:8080 (ARGS='--workers 1' for more)
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@deploy/run $(ARGS)

demo: set-up-build ## publish this machine's live figures; starts a broker where none runs
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@deploy/demo

test: set-up-test ## run every test; ends with one line: N passed, N failed
	@tests/run lint unit threads conformance integration javascript browser fuzz

unit: set-up-test ## unit tests, under AddressSanitizer and UBSan
	@tests/run unit

threads: set-up-test ## the black-box tests with several workers, under ThreadSanitizer
	@tests/run threads

conformance: set-up-test ## the protocol's vectors and foreign test suites
	@tests/run conformance

integration: set-up-test ## black-box tests against the sanitized broker
	@tests/run integration

javascript: set-up-test ## the JavaScript client in Node, against the sanitized broker
	@tests/run javascript

browser: set-up-test ## the JavaScript client, the console and the examples in a real Chromium
	@tests/run browser

soak: set-up-test ## the faults of a cluster for minutes each, and a night of them (FANTAIL_SEED=N: that one)
	@tests/run soak

lint: set-up-test ## format, layers, purity, sizes and the other rules that a machine can check
	@tests/run lint

fuzz: set-up-test ## fuzz every decoder for FUZZ_SECONDS (60) each
	@$(MAKE) --no-print-directory -j$(JOBS) MODE=fuzz programs
	@tests/fuzz/run $(FUZZ_SECONDS)

bench: set-up-bench ## measure against a floor in the same run, and print one table
	@$(MAKE) --no-print-directory -j$(JOBS) all $(BENCHES)
	@tests/bench/run $(ARGS)

# What is installed, as SOURCE:FOLDER below PREFIX; the unit and the user's entry have folders of their own.
MAN := share/man
DOC := share/doc/fantail
INSTALLED := $(B)/fantaild:bin $(B)/fantail:bin \
    deploy/man/fantaild.8:$(MAN)/man8 deploy/man/fantail.1:$(MAN)/man1 deploy/man/fantail.conf.5:$(MAN)/man5 \
    deploy/fantail.conf:share/fantail LICENSE:$(DOC) README.md:$(DOC) protocol/SPEC.md:$(DOC) \
    deploy/metrics.md:$(DOC) deploy/redis.md:$(DOC) deploy/tokens.md:$(DOC)
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d

install: all ## install programs, manuals, sample and systemd unit to PREFIX (/usr/local), below DESTDIR
	$(Q)set -e; for item in $(INSTALLED); do \
	    mode=644; case $$item in *:bin) mode=755;; esac; \
	    install -D -m $$mode "$${item%%:*}" "$(DESTDIR)$(PREFIX)/$${item#*:}/$$(basename "$${item%%:*}")"; \
	done
	$(Q)install -D -m 644 deploy/fantail.sysusers "$(DESTDIR)$(SYSUSERSDIR)/fantail.conf"
	$(Q)mkdir -p "$(DESTDIR)$(UNITDIR)"
	$(Q)sed 's|@BINDIR@|$(PREFIX)/bin|' deploy/fantaild.service >"$(DESTDIR)$(UNITDIR)/fantaild.service"
	$(Q)chmod 644 "$(DESTDIR)$(UNITDIR)/fantaild.service"

uninstall: ## remove what install has put there; /etc/fantail stays
	$(Q)for item in $(INSTALLED); do \
	    rm -f "$(DESTDIR)$(PREFIX)/$${item#*:}/$$(basename "$${item%%:*}")"; \
	done
	$(Q)rm -f "$(DESTDIR)$(SYSUSERSDIR)/fantail.conf" "$(DESTDIR)$(UNITDIR)/fantaild.service"
	$(Q)rmdir "$(DESTDIR)$(PREFIX)/share/fantail" "$(DESTDIR)$(PREFIX)/$(DOC)" 2>/dev/null || true

package: set-up-package ## make the Debian package: build/package/*.deb
	@deploy/package

clean: ## remove everything that was built
	rm -rf build

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(shell find build -path build/package -prune -o -name '*.d' -type f -print 2>/dev/null)
