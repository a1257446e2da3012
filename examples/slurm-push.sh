#!/bin/bash
# Publishes a Spack environment from many nodes of a cluster: each job of an array packs its share of the specs; a last
# job, which waits for all others, completes the images, tags the one of the environment, and updates the index.
#
#   array=$(sbatch --parsable --array=1-16 slurm-push.sh oci://registry.example.org/group/cache -e ./env)
#   sbatch --dependency=afterok:$array slurm-push.sh oci://registry.example.org/group/cache -e ./env
#
#SBATCH --job-name=stave-push
#SBATCH --cpus-per-task=4
#SBATCH --time=01:00:00
set -eu

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  exec stave push "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --jobs "${SLURM_CPUS_PER_TASK:-4}"
fi
exec stave push "$@" --tag "${TAG:-latest}" --update-index
