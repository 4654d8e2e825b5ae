# The image of Eventer: Python, what Eventer needs, nothing to build with. It runs as uid 65532, needs no shell, writes
# only to the state directory and /tmp, and so works with a read-only root.
#
#   docker build -t eventer:0.1.0 .
#
# tests/real/test_image.py runs the RUN lines of the first stage in an empty directory, and the daemon that they make.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ENV TARGET=/opt/eventer PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY eventer eventer
COPY sinks sinks
# Without pip in it: it is filled from outside.
RUN python -m venv --without-pip "$TARGET"
RUN python -m pip --python "$TARGET/bin/python" install --no-compile --no-cache-dir --constraint requirements.lock ".[ack,apprise,aws,email,influxdb,kafka]"
# The root is read-only later. By hash, because layers need not keep times to the second.
RUN "$TARGET/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$TARGET/lib"

FROM python:${PYTHON}-slim
# The base comes without compiled modules and with a package manager; here it is the other way round.
RUN python -c "import shutil, sysconfig; paths = sysconfig.get_paths(); [shutil.rmtree(path) for path in (paths['purelib'], paths['stdlib'] + '/ensurepip')]" \
    && rm -f /usr/local/bin/pip* \
    && python -m compileall -q --invalidation-mode unchecked-hash /usr/local/lib/python3* \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/eventer
COPY --from=build /opt/eventer /opt/eventer
# This uid is in no list of users, so HOME would be unknown where an engine does not set it.
ENV PATH=/opt/eventer/bin:$PATH HOME=/ PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/eventer
EXPOSE 8080
ENTRYPOINT ["eventer"]
CMD ["run"]
