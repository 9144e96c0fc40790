# SPDX-License-Identifier: MIT
# The short way in. Meson does the work; this finds what it needs and names the usual runs.
BUILD ?= build
PREFIX ?= /usr/local
MESON_FLAGS ?=
KERNEL_PACKAGES := qemu-system-x86 cpio xz-utils
# What tests/kernels/image takes from here into the emulated machines.
IMAGE_PACKAGES := python3 binutils bpftool iproute2 lsof nginx-light procps strace tmux
BUILD_PACKAGES := gcc libc6-dev meson ninja-build pkgconf clang llvm bpftool linux-libc-dev \
	libbpf-dev libmnl-dev liblua5.4-dev libjansson-dev libdw-dev libelf-dev libiberty-dev libncurses-dev libpcap-dev \
	libseccomp-dev libcap-dev libsystemd-dev libcmocka-dev
CHECK_PACKAGES := $(BUILD_PACKAGES) busybox curl ncat netbase procps socat python3 mandoc iproute2 strace tshark \
	tmux lsof nginx-light redis-server memcached runc \
	$(KERNEL_PACKAGES) \
	chromium chromium-driver fonts-dejavu-core
BENCH_PACKAGES := $(BUILD_PACKAGES) python3 iproute2 netbase libbpf-tools

.PHONY: kernels all lab check coverage soak bench install uninstall clean lint fuzz soak-flat soak-release packages-build packages-check packages-bench flake losses
.DEFAULT_GOAL := all

packages-build:
	@tools/need $(BUILD_PACKAGES)
packages-check:
	@tools/need $(CHECK_PACKAGES)
packages-bench:
	@tools/need $(BENCH_PACKAGES)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) $(MESON_FLAGS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

all: packages-build $(BUILD)/build.ninja
	@[ -e $(BUILD)/src/unclosed ] || echo "building..." >&2
	@ninja -C $(BUILD) --quiet

lab: all
	@$(BUILD)/src/unclosed lab

# The tests, as built for use and again under AddressSanitizer and UndefinedBehaviorSanitizer.
check: packages-check
	@tests/check

bench: packages-bench all
	@bench/run $(BUILD)

# The whole catalogue, RUNS times, as many side by side as there are processors, on a machine that
# stress-ng keeps busy; STRESS has other stressors for it. What fails is kept in build/flake.
RUNS ?= 200
flake: all
	@tools/need stress-ng
	@tools/flake $(BUILD) $(RUNS)

# Every scenario that may lose packets by chance, with 5 to 30 % losses and SEEDS seeds.
SEEDS ?= 10
losses: all
	@tools/losses $(BUILD) $(SEEDS)

# Line and branch coverage of src/daytime; clients of all sorts at daytimed for MINUTES.
MINUTES ?= 1
coverage: packages-check
	@tools/need gcovr
	@tests/coverage
soak: packages-check all
	@python3 tests/soak.py $(BUILD) $(MINUTES)

# daytimed's memory and descriptors over CONNECTIONS served and REFUSALS refused (some eight minutes).
CONNECTIONS ?= 10000000
REFUSALS ?= 1000000
soak-flat: packages-check all
	@python3 tests/soak_flat.py $(BUILD) served $(CONNECTIONS)
	@python3 tests/soak_flat.py $(BUILD) refused $(REFUSALS)

# Debian's 6.1 and 6.12 cloud kernels under emulation, side by side, with the probes and the tests of list and
# watch in each (a quarter of an hour and more); `make check` has 6.1 and the probes.
kernels: all
	@tools/need $(BUILD_PACKAGES) $(KERNEL_PACKAGES) $(IMAGE_PACKAGES)
	@tests/kernels/run $(BUILD)

# A PREFIX that is named now counts, whatever the build was set up with.
install: all
ifneq ($(origin PREFIX),file)
	@meson configure $(BUILD) --prefix=$(abspath $(PREFIX))
	@ninja -C $(BUILD) --quiet >$(BUILD)/setup.log 2>&1 || { cat $(BUILD)/setup.log; exit 1; }
endif
	@meson install -C $(BUILD) --no-rebuild
uninstall:
	@ninja -C $(BUILD) uninstall

# Looks for inputs that break a parser, FUZZ_SECONDS for each target; what it finds goes to its corpus.
FUZZ_SECONDS ?= 60
fuzz: packages-check
	@tools/need libclang-rt-14-dev
	@tests/fuzz/run $(FUZZ_SECONDS)

lint:
	@tools/need clang-format clang-tidy meson ninja-build
	@tools/lint

# Release against sockets that change meanwhile, 100,000 rounds (about two minutes).
soak-release: packages-check all
	@UNCLOSED_BUILD=$(abspath $(BUILD)) UNCLOSED_ROUNDS=100000 python3 tests/run/release_races.py

clean:
	@rm -rf $(BUILD) build-check build-asan
