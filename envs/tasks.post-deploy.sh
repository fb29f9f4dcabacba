#!/bin/sh
# opencv-python needs graphics libraries, which the nodes of a cluster lack. `make lock` writes the version.
set -eu
python -m pip uninstall --quiet --yes opencv-python
python -m pip install --quiet --no-deps opencv-python-headless==5.0.0.93
