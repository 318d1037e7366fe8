#!/bin/bash
# Runs a command in the first of several network namespaces: machines with addresses of their own on one switch, as far as
# MPI can tell. Needs root.
#
#   bench/namespaces.sh COUNT COMMAND…    addresses 10.77.0.1 to 10.77.0.COUNT
#   RATE=1gbit                            what each machine sends at most; unlimited unless given
#   bench/namespaces.sh [-x] ADDRESS …    what mpirun starts processes on another "machine" with, instead of ssh
set -euo pipefail

if ! [[ $1 =~ ^[0-9]+$ ]]; then
  while [[ $1 == -* ]]; do shift; done
  exec ip netns exec "diptych${1##*.}" sh -c "${*:2}"
fi

count=$1
shift
cleanup() {
  for i in $(seq "$count"); do ip netns delete "diptych$i" 2>/dev/null || true; done
  ip link delete diptych0 2>/dev/null || true
}
trap cleanup EXIT
cleanup
ip link add diptych0 type bridge
ip link set diptych0 up
for i in $(seq "$count"); do
  ip netns add "diptych$i"
  ip link add "diptych$i" type veth peer name eth0 netns "diptych$i"
  ip link set "diptych$i" master diptych0 up
  ip -n "diptych$i" link set lo up
  ip -n "diptych$i" link set eth0 up
  ip -n "diptych$i" address add "10.77.0.$i/24" dev eth0
  if [ -n "${RATE-}" ]; then
    ip netns exec "diptych$i" tc qdisc add dev eth0 root tbf rate "$RATE" burst 256kb latency 50ms
  fi
done
ip netns exec diptych1 "$@"
