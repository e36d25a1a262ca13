# Sets `python` to an interpreter with what requirements.txt names. It is made once, beside the one
# of the tests of identity, and takes Python with venv, and the package index that one time. MESH_PYTHON
# names one that is there already. To be sourced, from infra/.
# shellcheck shell=bash disable=SC2034
python=${MESH_PYTHON:-$(python3 -I ../mesh/tests/identity/python/environment.py \
    "$(realpath -m ../target/python)" test/requirements.txt)}
