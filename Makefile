# Fantail. `make help` lists the targets; README.md says what each is for.
#
# One set of rules builds every mode: MODE=release (build/), asan (build/asan/), tsan (build/tsan/).
# Sources are found by wildcard, header dependencies come from the compiler.

VERSION := 0.1.0
MODE ?= release
CC := gcc
PREFIX ?= /usr/local

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
        -Wcast-align -Wwrite-strings -Wundef -Wformat=2 -Werror
CPPFLAGS := -I. -D_GNU_SOURCE -DFT_VERSION='"$(VERSION)"'
CFLAGS_release := -O2 -g -fno-plt -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
CFLAGS := -std=c11 -pthread -ffunction-sections -fdata-sections $(WARN) $(CFLAGS_$(MODE))
LDFLAGS_release := -Wl,-O1,--as-needed,--gc-sections,-z,relro,-z,now
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS := -pthread $(LDFLAGS_$(MODE))

B := build$(if $(filter-out release,$(MODE)),/$(MODE))
O := build/$(MODE)/obj

sources = $(wildcard $(addsuffix /*.c,$(1)))
objects = $(patsubst %.c,$(O)/%.o,$(call sources,$(1)))

PROTOCOL := protocol
BASE := broker/base
CORE := broker/core
BROKER := broker/hub broker/net broker/http broker/app
CLIENT := clients/c
COMMAND := clients/cli clients/cli/bench

LIBS_protocol := -lmsgpackc -ljansson -lm
LIBS_fantaild := -lwebsockets -luv -linih $(LIBS_protocol)
LIBS_fantail := -lwebsockets $(LIBS_protocol)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all clean help

all: $(B)/fantaild $(B)/fantail ## build the broker and the command: build/fantaild, build/fantail

$(B)/fantaild: $(call objects,$(PROTOCOL) $(BASE) $(CORE) $(BROKER))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_fantaild)

$(B)/fantail: $(call objects,$(PROTOCOL) $(BASE) $(CLIENT) $(COMMAND))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_fantail)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Unit tests: tests/unit/NAME_test.c becomes one program, linked with everything that is pure and,
# where it needs them, the fakes beside it.
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))

$(B)/unit/%_test: $(O)/tests/unit/%_test.o $(call objects,tests/unit/support) \
                  $(call objects,$(PROTOCOL) $(BASE) $(CORE) broker/hub) $(O)/broker/app/config.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcriterion -linih $(LIBS_protocol)

clean: ## remove everything that was built
	rm -rf build

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

-include $(shell find build -name '*.d' 2>/dev/null)
