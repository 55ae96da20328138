# What is typed often. `just` alone lists it; every recipe is one command that also works without it.

default:
    @just --list

# Play simulated calls through everything, and compare
demo *args:
    cargo run --release -- demo {{ args }}

# Run every test, or those whose name contains a word
test filter="":
    cargo test --workspace {{ filter }}

# Run the tests on an Apache Kafka in a container
test-containers *args:
    cargo run --manifest-path tests/containers/Cargo.toml -- {{ args }}

# The lints, as .ci/run wants them
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Format the code
fmt:
    cargo fmt --all

# Measure: figures as a table, each beside a bare loop
bench *args:
    cargo run --release -p trunkline-bench -- {{ args }}

# What must hold before a change lands
ci:
    .ci/run
