# Images with one static program and nothing else, for linux/amd64, linux/arm64 and linux/arm/v7:
#
#   docker buildx build --target ingress --platform linux/amd64,linux/arm64 -t mesh .
#   docker buildx build --target agent --platform linux/amd64,linux/arm64 -t mesh-agent .
#
# Several platforms at once take a builder with the driver docker-container, which is made once by
# `docker buildx create --use`; the result stays in its cache until --push or --output says where it goes.
# buildx is a plugin of Docker, and `docker build` needs it too: `docker buildx version` says whether it
# is there. Where it is missing, docker says `failed to parse platform : ""` or `unknown flag: --target`.
#
# The compiler runs on the builder's own processor, so that no emulation is needed.
ARG RUST_IMAGE=rust:1.95.0-bookworm
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
RUN apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends musl-tools python3-pip && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG TARGETARCH
ARG TARGETVARIANT
# What --version names, because .git is not here: --build-arg MESH_COMMIT="$(git rev-parse HEAD)"
ARG MESH_COMMIT
# What is compiled stays for the next build, of whatever clone: cross/times.sh has cargo notice what differs.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=mesh-target,target=/src/target,sharing=locked \
    case "$TARGETARCH/$TARGETVARIANT" in \
        amd64/*) target=x86_64-unknown-linux-musl ;; \
        arm64/*) target=aarch64-unknown-linux-musl ;; \
        arm/v7) target=armv7-unknown-linux-musleabihf ;; \
        *) echo "there is no target for $TARGETARCH/$TARGETVARIANT" >&2; exit 1 ;; \
    esac && \
    cross/times.sh && \
    cross/build.sh --output /out "$target" && \
    mv /out/mesh-agent-*-"$target" /out/mesh-agent && \
    mv /out/mesh-*-"$target" /out/mesh

# The agent has a port to ask only with MESH_HEALTH_PORT: then a check can run /mesh-agent health.
FROM scratch AS agent
COPY --from=build /out/mesh-agent /mesh-agent
USER 65532:65532
ENTRYPOINT ["/mesh-agent"]

# The last one is what is built when nobody names a target.
FROM scratch AS ingress
COPY --from=build /out/mesh /mesh
USER 65532:65532
EXPOSE 8080 8081 8082
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/mesh", "health"]
ENTRYPOINT ["/mesh"]
CMD ["server"]
