#!/bin/sh
# What takes longer: the lab of virtual machines, and suites on real clusters. The stale reads must be found in at least 9 of
# 10 seeds, and a healthy cluster must be judged valid under all faults in 5 of 5.
set -eu
"${CARGO:-cargo}" build --locked --release -p schism
schism="${CARGO_TARGET_DIR:-target}/release/schism"
# Virtual machines: boot, clocks, power, the end of all of it.
SCHISM_TEST_LONG=1 "${CARGO:-cargo}" test --locked -p schism-lab --test vms
# Real clocks of machines; controllers that die at every point of every fault, and at 200 moments.
SCHISM_TEST_LONG=1 "${CARGO:-cargo}" test --locked -p schism --test vm_clock
SCHISM_TEST_LONG=1 "${CARGO:-cargo}" test --locked -p schism --test vm_disk
SCHISM_TEST_LONG=1 "${CARGO:-cargo}" test --locked -p schism --test torture
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT

found=0
for seed in 1 2 3 4 5 6 7 8 9 10; do
    status=0
    "$schism" run etcd/stale-reads --seed "$seed" --runs "$runs" >"$runs/out" || status=$?
    [ "$status" = 1 ] && found=$((found + 1))
    echo "stale reads, seed $seed: exit $status"
done
valid=0
for seed in 1 2 3 4 5; do
    status=0
    "$schism" run etcd/register --seed "$seed" --runs "$runs" >"$runs/out" || status=$?
    [ "$status" = 0 ] && valid=$((valid + 1))
    echo "registers under all faults, seed $seed: exit $status"
    [ "$status" = 0 ] || cat "$runs/out"
done
status=0
"$schism" run etcd/register --faults all --runs "$runs" >"$runs/out" || status=$?
echo "registers under each class of fault in turn: exit $status"
all=$status
[ "$status" = 0 ] || cat "$runs/out"
crashed=0
for seed in 1 2 3 4 5; do
    status=0
    "$schism" run etcd/crash-3-5-1 --seed "$seed" --runs "$runs" >"$runs/out" || status=$?
    [ "$status" = 1 ] && crashed=$((crashed + 1))
    echo "members that disagree in etcd 3.5.1, seed $seed: exit $status"
done
status=0
"$schism" run etcd/register --lab vms --nodes 3 --faults partition,kill --rate 50 --seed 3 --runs "$runs" >"$runs/out" || status=$?
echo "registers on virtual machines: exit $status"
machines=$status
[ "$status" = 0 ] || cat "$runs/out"
echo "stale reads found in $found of 10 seeds; registers valid in $valid of 5; members that disagree found in $crashed of 5"
[ "$found" -ge 9 ] && [ "$valid" = 5 ] && [ "$crashed" -ge 1 ] && [ "$all" = 0 ] && [ "$machines" = 0 ]
