#!/bin/sh
# Slurm on this machine alone, to try sweeps with: `sh benchmarks/cluster/slurm.sh FOLDER`, as root, on Debian with the packages
# slurm-wlm and munge. Prints the line that makes sbatch and the others use it. `pkill slurmctld slurmd munged` ends it.
set -e
folder=$(realpath -m "$1")
mkdir -p "$folder/spool" "$folder/state" /run/munge
chown munge:munge /run/munge /var/log/munge /var/lib/munge /etc/munge
test -f /etc/munge/munge.key || /usr/sbin/mungekey
chown munge /etc/munge/munge.key
pgrep -x munged > /dev/null || su munge -s /bin/sh -c /usr/sbin/munged
cat > "$folder/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$(hostname)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmdSpoolDir=$folder/spool
StateSaveLocation=$folder/state
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
NodeName=$(hostname) CPUs=$(nproc) RealMemory=$(awk "/MemTotal/ {print int(\$2 / 1200)}" /proc/meminfo) State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
END
export SLURM_CONF="$folder/slurm.conf"
slurmctld
slurmd
echo "export SLURM_CONF=$SLURM_CONF"
