# The calculation worker as a service. `scripts/worker-image` builds it and gives it everything it
# copies: constraints.txt, the engine package, and this machine's CA certificates.
ARG BASE=python:3.12-slim

# A stage of its own: an index may have a password in its URL, and images keep their arguments.
FROM ${BASE} AS build
LABEL ci-runner.stage=worker
# Certificates first: a company's own authority must be known before anything is fetched.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ARG PIP_INDEX_URL
COPY constraints.txt /opt/constraints.txt
RUN python3 -m venv /opt/venv \
 && pip install --constraint /opt/constraints.txt numpy \
 && pip uninstall --yes pip
COPY engine /opt/engine
RUN python -c "import shutil, sysconfig; \
shutil.move('/opt/engine', sysconfig.get_path('purelib') + '/engine')" \
 && python -m compileall -q /opt/venv/lib

FROM ${BASE}
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LANG=C.UTF-8 \
    PORT=3000
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin worker
# Owned by root: the worker cannot change its own code. Compiled, for a root that is read-only.
COPY --from=build /opt/venv /opt/venv

USER 1000:1000
WORKDIR /tmp
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "-I", "-m", "engine.service.probe"]
CMD ["python", "-I", "-m", "engine", "serve", "--host", "0.0.0.0"]
