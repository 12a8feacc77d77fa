# syntax=docker/dockerfile:1
# The server and the sidecar: one program and its C library, as a user without rights.
# The root file system may be read-only; the store is at a volume, /var/lib/credd.
#
#   docker build --tag credd:0.1.0 .
#   docker run --read-only --cap-drop ALL --volume credd:/var/lib/credd credd:0.1.0 --version

# checkov:skip=CKV_DOCKER_2:Kubernetes has probes of its own and ignores HEALTHCHECK.
# checkov:skip=CKV_DOCKER_7:The builder has a version, and scratch has none.

# Debian's release decides which C library the image has.
ARG BUILDER=rust:1.91-bookworm

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN .ci/image /image

FROM scratch
COPY --from=build /image/ /
LABEL org.opencontainers.image.title="credd" \
      org.opencontainers.image.description="A credential authority" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
WORKDIR /var/lib/credd
EXPOSE 7420 7421 7422
ENTRYPOINT ["/usr/bin/credd"]
CMD ["serve"]
