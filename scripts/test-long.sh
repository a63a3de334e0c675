#!/bin/sh
# What takes longer: the labs of virtual machines, torture, and suites on real clusters. The stale reads must be found in at
# least 9 of 10 seeds, and a healthy cluster must be judged valid under all faults in 5 of 5.
#
#     scripts/test-long.sh [STEP...]      all steps, or those; a step that fails stops no other, and a table at the end
#                                         tells of each
#     SCHISM_TEST_PROFILE=dev             builds without optimisation (`release` otherwise)
#     SCHISM_TEST_SEEDS=2                 takes at most so many seeds of a suite, and asks for as much less
set -u
CARGO="${CARGO:-cargo}"
steps="txn_databases lab_vms vm_clock vm_nodes vm_disk vm_groups vm_network torture stale_reads registers all_namespaces crash_3_5_1 vm_registers vm_all vagrant"
profile="${SCHISM_TEST_PROFILE:-release}"
case $profile in
    dev) folder=debug ;;
    *) folder=$profile ;;
esac
schism="${CARGO_TARGET_DIR:-target}/$folder/schism"
for step in "$@"; do
    case " $steps " in
        *" $step "*) ;;
        *) echo "there is no step $step; there are: $steps" >&2; exit 64 ;;
    esac
done

runs=$(mktemp -d) || exit 1
lab=""
clean() {
    [ -z "$lab" ] || "$schism" lab down "$lab"
    lab=""
    rm -rf "$runs"
}
trap clean EXIT
trap 'exit 130' INT TERM

long() {
    SCHISM_TEST_LONG=1 "$CARGO" test --locked "$@"
}

# `run ARGUMENTS`: a suite; its page is shown where it is not what `wanted` says. The status is the suite's.
run() {
    status=0
    "$schism" run "$@" --runs "$runs" >"$runs/out" || status=$?
    [ "$status" = "${wanted:-0}" ] || cat "$runs/out"
    return "$status"
}

# `seeds COUNT LEAST WANTED SUITE`: so many runs, of which at least so many must end with this status.
seeds() {
    count=$1 least=$2 wanted=$3 suite=$4 hits=0
    asked="${SCHISM_TEST_SEEDS:-$count}"
    if [ "$asked" -lt "$count" ]; then
        least=$((least * asked / count))
        [ "$least" -ge 1 ] || least=1
        count=$asked
    fi
    seed=1
    while [ "$seed" -le "$count" ]; do
        run "$suite" --seed "$seed"
        ended=$?
        echo "$suite, seed $seed: exit $ended"
        [ "$ended" != "$wanted" ] || hits=$((hits + 1))
        seed=$((seed + 1))
    done
    wanted=0
    said="$hits of $count ended with $3, at least $least asked"
    [ "$hits" -ge "$least" ]
}

# Stores of known level and every anomaly planted, at a million transactions; always optimised.
txn_databases() { long --release -p schism-checkers --test txn_databases -- --nocapture --test-threads 1; }
# Virtual machines: boot, clocks, power, the end of all of it.
lab_vms() { long -p schism-lab --test vms; }
# Real clocks of machines.
vm_clock() { long -p schism --test vm_clock; }
# Whole machines by the nemesis: reboot, power cut, freeze; leases that go on after them.
vm_nodes() { long -p schism --test vm_nodes; }
# Packets by netem, names and rates on machines.
vm_network() {
    "$schism" lab up --vms 4 --lease 10m >"$runs/lab" || return 1
    read -r word lab rest <"$runs/lab"
    SCHISM_TEST_LAB=$lab "$CARGO" test --locked -p schism --test faults_network -- \
        packets names rates flapping shapes one_fault
    status=$?
    "$schism" lab down "$lab" && lab=""
    return "$status"
}
# Limits and throttling by control groups of version 2 on a machine.
vm_groups() { long -p schism --test vm_groups; }
# Device mapper faults on machines.
vm_disk() { long -p schism --test vm_disk; }
# Controllers that die at every point of every fault, and at 200 moments; nodes that boot and SSH that fails in mid-fault.
torture() { long -p schism --test torture; }
stale_reads() { seeds 10 9 1 etcd/stale-reads; }
registers() { seeds 5 5 0 etcd/register; }
# Each class of fault in turn.
all_namespaces() { run etcd/register --faults all; }
# Members that disagree in etcd 3.5.1.
crash_3_5_1() { seeds 5 1 1 etcd/crash-3-5-1; }
# Vagrant machines, where Vagrant and libvirt are.
vagrant() { scripts/vagrant-run.sh "$schism"; }
vm_registers() { run etcd/register --lab vms --nodes 3 --faults partition,kill --rate 50 --seed 3; }
# Each class that machines can do, once: real clocks, reboots, netem, control groups of version 2.
vm_all() { run etcd/register --lab vms --nodes 3 --faults all --rate 30 --seed 1; }

if [ "$profile" = dev ]; then "$CARGO" build --locked -p schism; else "$CARGO" build --locked --profile "$profile" -p schism; fi ||
    exit 1
[ $# -gt 0 ] || set -- $steps
failed=0
for step in "$@"; do
    echo "== $step"
    begun=$(date +%s) said=""
    if "$step"; then outcome=ok; else outcome=FAILED failed=$((failed + 1)); fi
    printf '%-16s %-7s %5s s  %s\n' "$step" "$outcome" "$(($(date +%s) - begun))" "$said" >>"$runs/table"
done
echo "== all steps"
cat "$runs/table"
[ "$failed" = 0 ]
