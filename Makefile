# make demo   a whole call on this machine: no network, no account, no other program
# make test   installs what the tests need that is missing (and says what), then runs every test
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo build test lint check-format clippy doc deny unit loom fuzz bench bench-voice rig bench-capacity soak packages deb rpm

export PATH := $(CURDIR)/target/tools/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto

# Tools built by cargo, each at one version.
export DENY := 0.20.2
export DEB := 3.8.0
export RPM := 0.21.1

TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
FUZZ_SECONDS ?= 10
CALLS ?= 200
SOAK_MINUTES ?= 30

help:
	@echo "make demo     a whole call on this machine; results in ./demo-out"
	@echo "make test     every test, after installing what they need (FUZZ_SECONDS=10 for each fuzz target)"
	@echo "make lint     format, clippy, documentation, licences and advisories"
	@echo "make bench    the benches"
	@echo "make bench-voice  what is heard over bad networks: docs/voice.md (needs espeak-ng, sox, python3)"
	@echo "make bench-capacity  floor and product in turn under the same load (CALLS=200), judged: docs/performance.md"
	@echo "make soak     150 calls that come and go for SOAK_MINUTES=30, and whether anything grows"
	@echo "make fuzz     every fuzz target for 60 s"
	@echo "make deb      target/packages/streamkit_*.deb"
	@echo "make rpm      target/packages/streamkit-*.rpm"

demo:
	cargo run --release --quiet -- demo $(ARGS)

build:
	cargo build --release --locked

test:
	@.ci/tools test deny
	@$(MAKE) --no-print-directory lint unit loom
	@.ci/fuzz $(FUZZ_SECONDS)
	@echo "all tests passed"

lint: check-format clippy doc deny

check-format:
	cargo fmt --all -- --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

# Without a way to the advisory database the rest is still checked, and that is said.
deny:
	@.ci/tools deny
	cargo deny --all-features check licenses bans sources
	@if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; \
	else echo "advisories NOT checked: their database cannot be fetched from here"; fi

unit:
	@.ci/unit

loom:
	RUSTFLAGS="--cfg loom" cargo test --release --manifest-path tests/loom/Cargo.toml --target-dir $(TARGET)/loom

fuzz:
	.ci/fuzz 60

bench:
	cargo bench --locked

bench-voice:
	bench/voice/run

# What measures is a workspace of its own and no part of the packages.
RIG := $(TARGET)/rig/release

rig: build
	cargo build --release --locked --manifest-path bench/capacity/rig/Cargo.toml --target-dir $(TARGET)/rig

# The program says by its exit code what make can only call an error: 1 broken, 2 not judged, 3 not run.
bench-capacity: rig
	$(RIG)/capacity --streamkit $(TARGET)/release/streamkit --out target/capacity --calls $(CALLS) $(ARGS)

soak: rig
	$(RIG)/soak --streamkit $(TARGET)/release/streamkit --out target/soak --minutes $(SOAK_MINUTES) $(ARGS)

# Symbols stay with the build: what is installed is stripped.
packages: build
	@.ci/tools packages
	@mkdir -p target/packages/stripped
	strip -o target/packages/stripped/streamkit $(TARGET)/release/streamkit

deb: packages
	cargo deb --no-build --output target/packages/
	@ls -l target/packages/*.deb

rpm: packages
	cargo generate-rpm --output target/packages/
	@ls -l target/packages/*.rpm
