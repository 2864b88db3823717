# Two commands for people: `make lab` shows the mission on this machine, `make test` proves it. Both need root,
# because they build network namespaces.

CARGO ?= cargo

.PHONY: help lab test kube image package package-test book fuzz resilience soak bench build fmt clippy doc deny layers check

help:
	@echo 'make lab     build, and show leaf, router and host at work in namespaces of this machine'
	@echo 'make test    install the real peers (frr, bird2, gobgpd) and run every test, labs included'
	@echo 'make package       the .deb in target/package, of a release build'
	@echo 'make package-test  install, run and remove it in a clean Debian that boots with systemd'
	@echo 'make book    the documentation as a book, with mdBook: target/book/index.html'
	@echo 'make image   build the container image, one static binary, as an archive: target/image/perouter.tar'
	@echo 'make fuzz    look for inputs that break a promise: [TARGET=engine] [SECONDS=1800]'
	@echo 'make resilience   what restarts, failures and changes cost in packets, as one table'
	@echo 'make soak MINUTES=30   everything that can happen in random order; SEED=N repeats a run'
	@echo 'make bench   time, CPU and memory beside BIRD, FRR and GoBGP: [QUICK=1] [ROWS="full change"]'
	@echo 'make check   formatting, clippy, docs and dependency rules, with warnings denied'

# The development profile: for a first look, minutes of optimisation are not worth it.
lab:
	@scripts/install-packages iproute2
	$(CARGO) build --quiet --locked --package perouter
	target/debug/perouter lab $(LAB)

# Labs wait for daemons' timers more than they compute: two of them fit on a core.
LABS ?= 4

# The crates without labs first. Then those with labs, which say which daemons took part. Those that count
# packets need the machine for themselves: `make resilience` and `make soak`.
test:
	@scripts/install-peers
	$(CARGO) test --locked --workspace --exclude testbed --exclude perouter
	$(CARGO) test --locked --package testbed --package perouter --lib --bins --test peers --test readme --test docs --test systemd \
	    --test live --test labs --test scripted --test kube --test kubernetes --test cluster -- --show-output --test-threads=$(LABS)
	@if [ -n "$$PEROUTER_KUBE_KIT" ]; then $(MAKE) --no-print-directory kube; \
	 else echo 'PEROUTER_KUBE_KIT is not set: the tests with a Kubernetes are the ignored ones above (README)'; fi

# What needs a Kubernetes and is ignored elsewhere: the kit's own programs, the agent, and what is installed in a cluster.
kube: image
	@scripts/install-peers
	@scripts/install-kube
	$(CARGO) test --locked --package testbed --package perouter --test kube --test kubernetes --test cluster -- \
	    --ignored --show-output --test-threads=2

image:
	@scripts/build-image

# In target/book, with every link followed.
book:
	@scripts/book

# Of another binary: make package BINARY=path.
BINARY ?= target/release/perouter

package:
	@scripts/install-packages binutils jq
	@if [ '$(BINARY)' = target/release/perouter ]; then $(CARGO) build --release --locked --package perouter; fi
	@rm -rf target/package
	@scripts/build-deb $(BINARY) target/package

package-test: package
	@scripts/install-packages mmdebstrap procps util-linux
	@scripts/test-deb target/package/perouter_*.deb

# All targets of crates/fuzzed, or one. Its findings and its corpus are ordinary tests: `make test` replays them.
SECONDS ?= 1800

fuzz:
	@scripts/fuzz $(SECONDS) $(TARGET)

# One row at a time: each has the machine for itself while it counts.
resilience:
	@scripts/install-peers
	@CARGO='$(CARGO)' scripts/resilience $(ROWS)

# A failure prints the seed and what happened.
MINUTES ?= 30
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
soak:
	@scripts/install-peers
	PEROUTER_SOAK_SECONDS=$$((60 * $(MINUTES))) PEROUTER_SOAK_SEED=$(SEED) \
	  $(CARGO) test --release --locked --package perouter --test soak it_heals -- --nocapture

# What is installed takes part; a machine without packages to install has perouter and the kernel alone. RESULTS keeps
# what was measured, so that rows measured at different times make one table; PLAYERS leaves others out.
BENCH = $(if $(QUICK),--quick) $(if $(ROWS),--rows '$(ROWS)') $(if $(PLAYERS),--players '$(PLAYERS)') \
  $(if $(RUNS),--runs $(RUNS)) $(if $(RESULTS),--results '$(RESULTS)') $(if $(REPORT),--report '$(REPORT)') \
  $(if $(PLOT),--plot '$(PLOT)')

bench:
	-@scripts/install-peers
	$(CARGO) build --release --locked --package perouter --package testbed --bin perouter --bin bench
	target/release/bench --perouter target/release/perouter $(BENCH)

build:
	$(CARGO) build --locked --workspace

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

layers:
	@scripts/check-layers

# The licences and bans of deny.toml where cargo-deny is installed; the dependency rule itself is always checked.
deny: layers
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check bans licenses sources; \
	 else echo 'cargo-deny is not installed: licences are not checked, the dependency rule is (scripts/check-layers)'; fi

check: fmt clippy doc deny
