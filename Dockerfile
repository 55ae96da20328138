# Builds Trunkline and puts it alone into a small image: one program, its certificates, a user who
# owns nothing but its data. Build it from the root of this repository: docker build -t trunkline .

FROM rust:1.91-slim-bookworm AS build
# OpenSSL and librdkafka are built from source and linked into the program.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --package trunkline --bin trunkline \
    && strip target/release/trunkline

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/trunkline /usr/local/bin/trunkline
# Volumes that are mounted here for the first time belong to the user.
RUN useradd --system --uid 10001 --no-create-home trunkline \
    && install --directory --owner=10001 --group=10001 /var/lib/trunkline /site
USER 10001:10001
WORKDIR /var/lib/trunkline
VOLUME /var/lib/trunkline
# What admin.listen says by default.
EXPOSE 3650
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s \
    CMD ["trunkline", "health", "--config", "/etc/trunkline/trunkline.toml"]
ENTRYPOINT ["trunkline"]
CMD ["run", "--config", "/etc/trunkline/trunkline.toml"]
