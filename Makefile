# make demo   a five-node etcd cluster under partitions, kills and pauses, to a report (SUDO=sudo: as root, built as you)
# make build  the program, target/release/schism
# make test   everything that must pass before a change lands
# make bench  benchmarks, with their generators and seeds

CARGO ?= cargo
SUITE ?= etcd/register
SUDO ?=

.PHONY: demo test test-fast test-long bench setup lint build clean-cache

demo: setup build
	$(SUDO) target/release/schism run $(SUITE)

build:
	$(CARGO) build --locked --release -p schism

test: setup lint
	scripts/test.sh

test-fast:
	$(CARGO) test --locked --workspace

test-long: setup
	scripts/test-long.sh

bench: setup
	$(CARGO) bench --locked -p schism --bench controller
	$(CARGO) run --locked --release -p schism-checkers --example linear_bench
	$(CARGO) run --locked --release -p schism-checkers --example buffers_bench
	$(CARGO) run --locked --release -p schism-checkers --example objects_bench
	$(CARGO) run --locked --release -p schism-checkers --example txn_bench
	$(CARGO) run --locked --release -p schism-history --example read_rates

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

setup:
	scripts/setup.sh

clean-cache:
	rm -rf "$${SCHISM_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/schism}"
