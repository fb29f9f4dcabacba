#!/bin/sh
# Resolve the dependencies with uv: pyproject.toml -> requirements.lock, requirements-dev.lock;
# envs/*.in -> the pins of envs/*.yaml. Locked versions stay as long as they fit.
#
#     tools/lock.sh                          after a change of pyproject.toml or envs/*.in
#     tools/lock.sh --upgrade                newest versions of everything
#     tools/lock.sh --upgrade-package torch  newest version of one package
set -eu
cd "$(dirname "$0")/.."
new=$(mktemp)
trap 'rm -f "$new"' EXIT

compile() {
    uv pip compile --quiet --no-annotate --custom-compile-command "make lock" --overrides envs/overrides.txt \
        --python-version 3.11 --python-platform x86_64-manylinux_2_28 "$@" >"$new"
}

compile pyproject.toml --output-file requirements.lock "$@"
compile pyproject.toml --extra dev --constraints requirements.lock --output-file requirements-dev.lock "$@"

# pip installs what packages ask for: environments get opencv-python, and Snakemake runs
# tasks.post-deploy.sh afterwards, which puts opencv-python-headless in its place.
for name in reporting core training tasks; do
    compile "envs/$name.in" --constraints requirements.lock --no-header
    {
        sed '/^  - pip:$/q' "envs/$name.yaml"
        sed 's/^/      - /; s/opencv-python-headless==/opencv-python==/' "$new"
    } >"envs/$name.new"
    mv "envs/$name.new" "envs/$name.yaml"
done
opencv=$(grep '^opencv-python-headless==' requirements.lock)
sed -i "s/opencv-python-headless==.*/$opencv/" envs/tasks.post-deploy.sh
