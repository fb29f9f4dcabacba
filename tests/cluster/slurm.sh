#!/usr/bin/env bash
# A real Slurm of one node for tests: cluster, keys, ports and state lie in one folder, and nothing
# in /etc is read or written. Needs the programs of the Debian packages slurm-wlm and munge.
#
#   slurm.sh start FOLDER    start it and wait for the node; then `source FOLDER/env`
#   slurm.sh stop FOLDER     cancel its jobs, end its daemons
#
# What the node claims, whatever the machine has: SLURM_TEST_CPUS (6), SLURM_TEST_MEM_MB (64000), two
# GPUs. SLURM_TEST_PORT (17817): the first of two free ports.
set -euo pipefail

what=${1:-} folder=$(realpath -m "${2:?usage: slurm.sh start|stop FOLDER}")
host=$(hostname -s)
user=$(id -un)
port=${SLURM_TEST_PORT:-17817}
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "slurm.sh: $*" >&2
    tail -n 5 "$folder"/log/* >&2 || true
    exit 1
}

# Is the daemon that wrote FOLDER/run/NAME.pid still that program?
running() {
    local pid
    pid=$(cat "$folder/run/$1.pid" 2>/dev/null) && grep -qs "^$1" "/proc/$pid/comm"
}

# Repeats a command until it succeeds, for 20 seconds.
wait_for() {
    for _ in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    return 1
}

gone() { ! running "$1"; }
no_jobs() { [ -z "$(squeue --noheader --states PD,R,CG)" ]; }
node_ready() { sinfo --noheader --Node --format %T | grep -qE "^(idle|mixed|allocated)$"; }

stop() {
    export SLURM_CONF=$folder/slurm.conf
    if running slurmctld; then
        scancel --user "$user" || true
        wait_for no_jobs || echo "slurm.sh: some jobs did not end" >&2
    fi
    for daemon in slurmd slurmctld munged; do
        if running $daemon; then
            kill "$(cat "$folder/run/$daemon.pid")"
            wait_for gone $daemon || fail "$daemon does not end"
        fi
    done
}

configure() {
    cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$user
SlurmdUser=$user
AuthInfo=socket=$folder/run/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
# Neither systemd nor control groups: a job is its process groups, sampled every second.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2
# A job that no partition can ever run is refused; else it would wait for ever, and Snakemake with it.
EnforcePartLimits=ALL
# The node claims more than the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
# Jobs that are over stay visible to squeue, which is all there is without accounting.
MinJobAge=3600
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_TEST_CPUS:-6} RealMemory=${SLURM_TEST_MEM_MB:-64000} Gres=gpu:2
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP
CONF
    # A GPU is a character device of its own: two that every machine has, and that nobody opens.
    printf 'NodeName=%s Name=gpu File=%s\n' "$host" /dev/null "$host" /dev/zero >"$folder/gres.conf"
    # Snakemake's plugin starts the job inside an allocation without any SLURM_ variable but the
    # allocation's own: srun has to be told where its configuration is.
    printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$folder/slurm.conf" "$(command -v srun)" \
        >"$folder/bin/srun"
    chmod +x "$folder/bin/srun"
    printf 'export SLURM_CONF=%q PATH=%q:$PATH\n' "$folder/slurm.conf" "$folder/bin" >"$folder/env"
}

start() {
    for program in munged slurmctld slurmd srun; do
        command -v $program >/dev/null || fail "no program $program: install slurm-wlm and munge"
    done
    mkdir -p "$folder"/{bin,log,run,spool,state}
    configure
    export SLURM_CONF=$folder/slurm.conf
    (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
    # --force: it would rather have its files in /run, owned by a user of its own.
    munged --force --socket="$folder/run/munge.socket" --key-file="$folder/munge.key" \
        --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged" \
        --seed-file="$folder/munge.seed" 2>>"$folder/log/munged.start" || fail "munged"
    slurmctld || fail "slurmctld"
    wait_for sinfo || fail "slurmctld does not answer"
    slurmd || fail "slurmd"
    wait_for node_ready || fail "the node is $(sinfo --noheader --Node --format '%T, %E')"
}

case $what in
start | stop) $what ;;
*) fail "usage: slurm.sh start|stop FOLDER" ;;
esac
