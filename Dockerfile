# The operator. BASE is any Debian or Ubuntu with Python 3.11; a base without uv needs pip.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE}
COPY requirements/operator.txt /requirements.txt
RUN command -v uv || pip install --no-cache-dir uv==0.13.9
# Compiled here, because the container's own file system is read-only.
RUN uv venv --quiet /opt/venv \
    && uv pip install --quiet --python /opt/venv/bin/python --link-mode copy --compile-bytecode --require-hashes -r /requirements.txt
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONUNBUFFERED=1
# The code comes last: it alone changes from one day to the next. Of the trainer the operator imports the contract.
COPY operator/finetune_operator /app/finetune_operator
COPY trainer_image/finetune_trainer /app/finetune_trainer
RUN python -m compileall -q /app
USER 65532:65532
ENTRYPOINT ["python", "-m", "finetune_operator.runtime"]
