# The software of every rule in one image, at the versions of requirements.txt and constraints.txt.
# The workflow itself is not in it: run it in a checkout (README, "Containers").
#
#   docker build -t consonance .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" consonance snakemake --cores 8
#
# Written without a Docker engine at hand: this file was never built.
FROM python:3.11-slim-bookworm

# pip rather than conda environments: so the lock holds for every package, not only for those named.
WORKDIR /opt/consonance
COPY requirements.txt constraints.txt ./
RUN python -m pip install --no-cache-dir -r requirements.txt -c constraints.txt

# Whoever runs it need not be a user that the image knows: libraries ask for a name and for a home.
ENV HOME=/tmp USER=consonance PYTHONNOUSERSITE=1
WORKDIR /work
CMD ["snakemake", "--help"]
