# shellcheck shell=sh
# The lab's environment, for every script that talks to podman, Ansible or Molecule.
# Sourced with $lab_repo set to the top of the checkout.
lab_cache=${SIPTRUNK_CACHE:-$lab_repo/.cache}
export SIPTRUNK_CACHE=$lab_cache
# each checkout has a podman state of its own, and here its hosts' state too
lab_run=/run/siptrunk-lab-$(printf %s "$lab_cache" | cksum | cut -d ' ' -f 1)
export SIPTRUNK_RUN=$lab_run

export PATH="$lab_cache/venv/bin:$PATH"
export ANSIBLE_HOME="$lab_cache/ansible"
export ANSIBLE_COLLECTIONS_PATH="$lab_cache/collections"
export ANSIBLE_CONNECTION_PLUGINS="$lab_repo/lab/connection"
export CONTAINERS_CONF="$lab_cache/containers.conf"
export CONTAINERS_STORAGE_CONF="$lab_cache/storage.conf"
# A play that finds no host, or no inventory, must fail.
export ANSIBLE_HOST_PATTERN_MISMATCH=error
export ANSIBLE_INVENTORY_UNPARSED_FAILED=true
export ANSIBLE_PIPELINING=true
export ANSIBLE_FORKS=10
export PYTHONDONTWRITEBYTECODE=1
# A package index that resets connections is asked again, for four minutes at the most.
export PIP_RETRIES=10
