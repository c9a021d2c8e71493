# The gateway as an image: built by whoever runs it, from this checkout.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE CHANGELOG.md ./
RUN python -m venv /opt/trunkline
RUN /opt/trunkline/bin/pip install --no-cache-dir --requirement requirements.lock "hatchling>=1.25,<2"
COPY protocols protocols
COPY twiml twiml
COPY carriers carriers
COPY gateway gateway
COPY sims sims
RUN /opt/trunkline/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --user-group --create-home --home-dir /var/lib/trunkline trunkline \
    && install --directory --owner trunkline --group trunkline /var/lib/trunkline/data
COPY --from=build /opt/trunkline /opt/trunkline
ENV PATH=/opt/trunkline/bin:$PATH PYTHONUNBUFFERED=1 \
    TRUNKLINE_DATA=/var/lib/trunkline/data \
    TRUNKLINE_HTTP__LISTEN=0.0.0.0:8080 \
    TRUNKLINE_SMPP__LISTEN=0.0.0.0:2775
USER trunkline
WORKDIR /var/lib/trunkline
VOLUME /var/lib/trunkline/data
EXPOSE 8080 2775
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["trunkline", "serve"]
