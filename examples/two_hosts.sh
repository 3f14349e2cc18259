#!/bin/sh
# The four actors on another host than their broker: two network namespaces with a cable between them.
#
#     host "market" 192.0.2.1            host "desk" 192.0.2.2
#     hermesd, market_feed  <── TCP ──>  sniper_bot, risk_engine, analytics, trading_executor
#
# Needs root and iproute2. Changes nothing beside: what it made it removes, by name. Exit code 0: each actor got
# everything, once and in order.
#
#     examples/two_hosts.sh [DIRECTORY OF THE PROGRAMS [QUOTES]]
set -eu

programs=${1:-build/release/bin}
quotes=${2:-20000}
patience_s=60

market=hermes-market-$$
desk=hermes-desk-$$
home=$(mktemp -d /tmp/hermes-two-hosts-XXXXXX)
here=$(cd "$(dirname "$0")" && pwd)
broker="" # pids of what runs
actors=""

# stop PID...: they end by themselves then.
stop() {
    for pid in "$@"; do
        kill "$pid"
    done
    for pid in "$@"; do
        wait "$pid"
    done
}

clean_up() {
    trap - EXIT INT TERM
    # shellcheck disable=SC2086
    stop $actors $broker 2>/dev/null || true
    ip netns delete "$desk" 2>/dev/null || true
    ip netns delete "$market" 2>/dev/null || true # and with it the cable
    rm -rf -- "$home"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# on HOST LOG COMMAND...: in the background; its pid is $!.
on() {
    host=$1
    log=$home/$2
    shift 2
    ip netns exec "$host" "$@" >"$log" 2>&1 &
}

# await WHAT COMMAND...: until it succeeds.
await() {
    what=$1
    shift
    end=$(($(date +%s) + patience_s))
    until "$@"; do
        if [ "$(date +%s)" -gt "$end" ]; then
            echo "two_hosts: $what: not within $patience_s s" >&2
            cat "$home"/*.log >&2
            exit 1
        fi
        sleep 0.05
    done
}

says() { grep -q "$2" "$home/$1.log"; }

lay_cable() {
    ip netns add "$market"
    ip netns add "$desk"
    ip -n "$market" link add cable type veth peer name cable netns "$desk"
    ip -n "$market" address add 192.0.2.1/24 dev cable
    ip -n "$desk" address add 192.0.2.2/24 dev cable
    for host in "$market" "$desk"; do
        ip -n "$host" link set lo up
        ip -n "$host" link set cable up
    done
}

# Nobody else is on this network. Elsewhere: tls://, docs/how-to/security.md.
start_broker() {
    cat >"$home/hermes.conf" <<END
[net]
listen = tcp://192.0.2.1:7000
insecure = true
END
    export HERMES_HOME="$home"
    on "$market" hermesd.log "$programs/hermesd"
    broker=$!
    await "the broker serves" says hermesd "listening on"
    "$programs/hermes" topic create market.quotes >/dev/null # its socket is a file, in no network
    "$programs/hermes" topic create orders --shared >/dev/null
    unset HERMES_HOME
}

start_actors() {
    for actor in sniper_bot risk_engine analytics trading_executor; do
        on "$desk" "$actor.log" env HERMES_URL=tcp://192.0.2.1:7000 "$programs/$actor" --progress
        actors="$actors $!"
        await "$actor is ready" says "$actor" ready
    done
}

orders_sent() {
    sed -n 's/.* sent=//p' "$home/$1.log" | tail -n 1
}

# Each actor tells ten times a second how far it is.
has_all() {
    for actor in sniper_bot risk_engine analytics; do
        says "$actor" "sequence=$quotes " || return 1
    done
    says trading_executor "received=$(($(orders_sent sniper_bot) + $(orders_sent risk_engine))) "
}

# What each says at its end, after SIGTERM.
check_reports() {
    # shellcheck disable=SC2086
    stop $actors
    actors=""
    for actor in sniper_bot risk_engine analytics trading_executor; do
        grep -h "^report" "$home/$actor.log" | sed "s/^report/$actor:/"
        says "$actor" "lost=0 repeated=0 reordered=0" || return 1
    done
}

if [ ! -x "$programs/hermesd" ] || [ ! -x "$programs/market_feed" ]; then
    echo "two_hosts: the programs are not in $programs (./run build makes them)" >&2
    exit 1
fi
if ! lay_cable; then
    echo "two_hosts: no network namespaces: this needs root and iproute2" >&2
    exit 77
fi
start_broker
start_actors
ip netns exec "$market" env HERMES_URL=tcp://192.0.2.1:7000 "$programs/market_feed" "$quotes" 10000
await "everything has arrived" has_all
check_reports
