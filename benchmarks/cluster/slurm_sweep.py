"""The sweep of grid.toml through Slurm, by dask-jobqueue: what docs/sweeps.md shows. `sbatch` runs it as a small job of its own.

sbatch --wrap "python benchmarks/cluster/slurm_sweep.py sweeps/slurm"
"""

from __future__ import annotations

import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed.security import Security

import augscope as ag

if __name__ == "__main__":
    security = Security()  # from the variables that docs/sweeps.md exports: sbatch passes them on
    with SLURMCluster(
        cores=1, processes=1, memory="1GB", walltime="01:00:00", queue="normal", protocol="tls://", security=security
    ) as cluster:
        cluster.adapt(minimum_jobs=2, maximum_jobs=2)
        sweep = ag.Sweep.from_toml(Path(__file__).with_name("grid.toml"))
        outcome = ag.run_sweep(sweep, sys.argv[1], scheduler=cluster.scheduler_address)
    print(outcome.stopped or outcome.progress, flush=True)
