#!/usr/bin/env bash
# Simulate metal into the metal-free development volumes and compare the methods: 65 slices with metal, under two minutes on 2 cores.
# Usage: Testing/Benchmarks/development_set.sh FOLDER [METHOD ...]     (FOLDER is made; needs ../shared/data/dev beside the repository)
set -euo pipefail
folder=$1
shift
methods=${*:-uncorrected li nmar cnnmar}
data=$(dirname "$0")/../../../shared/data/dev
mkdir -p "$folder"
while read -r volume implant; do
    sslmar simulate "$data/$volume.nii.gz" "$folder/${volume}_$implant.nii.gz" --implant "$implant" --seed 3 --overwrite
done <<'LIST'
test_tcga_ov_09_2043_pelvis_contig hip
test_tcga_thca_e3_a3e5_neck dental
test_lidc_idri_0314_chest pacemaker
test_tcga_ov_09_2043_pelvis_contig spine
LIST
# shellcheck disable=SC2086
sslmar evaluate "$folder" --methods $methods --json "$folder/results.json" --figure "$folder/comparison.png" --overwrite
