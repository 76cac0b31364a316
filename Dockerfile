# CPU image: labelling, the queue and the page, on OpenVINO and LiteRT. With --build-arg FULL=1 it has TensorFlow too, for train,
# sweep, convert, adapt and the TensorFlow backend. Built in two stages, so that the final one has no compiler and no pip cache.
ARG PYTHON_IMAGE=python:3.12.8-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
WORKDIR /source
# the packages first: their layer stays when only the source changes
COPY constraints.txt requirements-cpu.txt ./
RUN python -m venv /opt/fashion-cascade \
    && /opt/fashion-cascade/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r requirements-cpu.txt
COPY . .
ARG FULL=
RUN if [ -n "$FULL" ]; then \
         /opt/fashion-cascade/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .; \
       else \
         /opt/fashion-cascade/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .; \
       fi

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="fashion-cascade" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin fashion
COPY --from=build /opt/fashion-cascade /opt/fashion-cascade
ENV PATH=/opt/fashion-cascade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /tmp
STOPSIGNAL SIGTERM
ENTRYPOINT ["fashion-cascade"]
CMD ["--help"]
