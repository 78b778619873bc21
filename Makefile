# The human face of the repository. Every target is one line: the work is in `cargo xtask`, see xtask/src.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-peers soak fuzz release setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## build tracegrade, fill it with example traces offline and serve it
	cargo run --package tracegrade --bin tracegrade -- demo

test: setup ## every check and every test, as CI runs them (STEP=clippy begins there)
	cargo xtask test $(if $(STEP),--from $(STEP))

lint: setup ## the checks that run no test: tidy, licences, rustfmt, clippy
	cargo xtask lint

bench: setup ## the bench programs; their numbers belong in BENCHMARKS.md
	cargo xtask bench

bench-peers: setup ## other systems under the same load on this machine
	cargo xtask bench-peers

soak: setup ## hours of load, then every span is accounted for
	cargo xtask soak

fuzz: setup ## every decoder against hostile bytes, a minute each (needs cargo-fuzz)
	cargo xtask fuzz

release: setup ## the optimised binary, checked against its size budget
	cargo xtask release

setup: ## install what a fresh Debian machine lacks besides Rust
	@scripts/setup
