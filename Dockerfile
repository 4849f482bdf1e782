# docker build -t groundshift .
# docker run --rm -v "$PWD:/data" -v "$PWD/out:/results" groundshift S2-CD -i1 /data/A.zip -i2 /data/B.zip -outdir /results
# The image has no entry point of its own: S2-CD, groundshift and bash are all commands.

FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir dist .
RUN python -m venv /opt/groundshift
RUN /opt/groundshift/bin/python -m pip install --no-cache-dir dist/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="groundshift" \
      org.opencontainers.image.description="Sentinel-2 images turned into change, mosaics and land cover, with the evidence" \
      org.opencontainers.image.licenses="Apache-2.0"

# The wheel of rasterio needs libexpat, which the slim image lacks.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libexpat1 \
 && rm -rf /var/lib/apt/lists/*

# Open to every user id, so that --user works with a mounted folder.
RUN useradd --create-home --uid 1000 groundshift \
 && install --directory --owner=groundshift --group=groundshift --mode=1777 /results /var/cache/groundshift

COPY --from=build /opt/groundshift /opt/groundshift
ENV PATH=/opt/groundshift/bin:$PATH \
    MPLCONFIGDIR=/var/cache/groundshift/matplotlib \
    NUMBA_CACHE_DIR=/var/cache/groundshift/numba \
    PYTHONUNBUFFERED=1

USER groundshift
WORKDIR /results
VOLUME /results
# As Ctrl-C: workers end, no half file is left.
STOPSIGNAL SIGINT
CMD ["groundshift", "--help"]
