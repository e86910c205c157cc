#!/usr/bin/env bash
# Installs this checkout into the Python at hand, with exactly the versions of constraints.txt. Used by every way to
# build a cluster, so that all machines run the same. A mirror or an index of CPU builds: set PIP_INDEX_URL.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m pip install --quiet --no-cache-dir --constraint constraints.txt "torch==$(sed -n 's/^torch==//p' constraints.txt)"
python -m pip install --quiet --no-cache-dir --constraint constraints.txt --editable '.[search,watch]'
wanted=$(sed -n 's/^ray==//p' constraints.txt)
python -c "import ray, sys; sys.exit(0 if ray.__version__ == '$wanted' else f'Ray is {ray.__version__}, expected $wanted')"
