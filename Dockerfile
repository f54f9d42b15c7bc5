# One image for both programs. They are static, so there is nothing below them: no shell, no libc, no packages.
# The build context holds the two binaries; `make image` builds those and calls docker or buildah.
FROM scratch
COPY --chown=65532:65532 ottla-broker ottla-operator /
# Any user that is not root will do; Kubernetes' runAsNonRoot wants to see a number.
USER 65532:65532
ENTRYPOINT ["/ottla-broker"]
