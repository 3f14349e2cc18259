#!/bin/sh
# A feed on one host, and analytics on two others by multicast: three network namespaces at one switch. Each host has a broker;
# those of the desks copy the topic, sealed with a key that they ask the market's broker for over TLS.
#
#     host "market" 192.0.2.1            hosts "north", "south" 192.0.2.2, 192.0.2.3
#     market_feed, hermesd  ── 239.1.2.3 ──>  hermesd, analytics
#
# Needs root and iproute2. Changes nothing beside: what it made it removes, by name. Exit code 0: each had everything, once and
# in order.
#
#     examples/multicast.sh [DIRECTORY OF THE PROGRAMS [QUOTES]]
set -eu

programs=${1:-build/release/bin}
quotes=${2:-20000}
patience_s=60

market=hermes-market-$$
north=hermes-north-$$
south=hermes-south-$$
switch=hermes-switch-$$
home=$(mktemp -d /tmp/hermes-multicast-XXXXXX)
brokers="" # pids of what runs
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
    stop $actors $brokers 2>/dev/null || true
    for name in "$market" "$north" "$south" "$switch"; do
        ip netns delete "$name" 2>/dev/null || true # and with it the cables
    done
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
            echo "multicast: $what: not within $patience_s s" >&2
            cat "$home"/*.log >&2
            exit 1
        fi
        sleep 0.05
    done
}

says() { grep -q "$2" "$home/$1.log"; }

# host_up NAME ADDRESS: at the switch.
host_up() {
    ip netns add "$1"
    ip -n "$1" link add wire type veth peer name "port-$2" netns "$switch"
    ip -n "$1" address add "192.0.2.$2/24" dev wire
    ip -n "$1" link set lo up
    ip -n "$1" link set wire up
    ip -n "$switch" link set "port-$2" master hub up
}

lay_cables() {
    ip netns add "$switch"
    ip -n "$switch" link add hub type bridge mcast_snooping 0
    ip -n "$switch" link set hub up
    host_up "$market" 1
    host_up "$north" 2
    host_up "$south" 3
}

# hermes_of PLACE COMMAND...: its broker's socket is a file, in no network.
hermes_of() {
    place=$1
    shift
    HERMES_HOME="$home/$place" "$programs/hermes" "$@"
}

# start_broker HOST PLACE, which has a hermes.conf.
start_broker() {
    on "$1" "$2.log" env HERMES_HOME="$home/$2" "$programs/hermesd"
    brokers="$brokers $!"
    await "the broker of $2 serves" says "$2" "serving on"
}

start_source() {
    mkdir "$home/market"
    printf '[net]\nlisten = tls://192.0.2.1:7000\n' >"$home/market/hermes.conf"
    hermes_of market cert server 192.0.2.1 >/dev/null
    (umask 077 && hermes_of market auth token create desks >"$home/token" 2>"$home/token.log")
    echo "allow token:desks subscribe market.*" >"$home/market/rules"
    start_broker "$market" market
    hermes_of market topic create market.quotes >/dev/null
    hermes_of market mirror serve market.quotes 'udp://192.0.2.1:7400?group=239.1.2.3:7401&interface=wire'
}

# start_desk HOST PLACE
start_desk() {
    mkdir "$home/$2"
    printf '[mirror]\nca = %s\ntoken_file = %s\n' "$home/market/certs/ca.crt" "$home/token" >"$home/$2/hermes.conf"
    start_broker "$1" "$2"
    hermes_of "$2" mirror add market.quotes 'tls://192.0.2.1:7000?interface=wire'
    on "$1" "analytics-$2.log" env HERMES_HOME="$home/$2" "$programs/analytics" --progress
    actors="$actors $!"
    await "analytics of $2 is ready" says "analytics-$2" ready
}

is_active() { hermes_of "$1" mirror list --json | grep -q '"state":"active"'; }

has_all() { says "analytics-$1" "sequence=$quotes "; }

# What each says at its end, after SIGTERM.
check_reports() {
    # shellcheck disable=SC2086
    stop $actors
    actors=""
    for desk in north south; do
        grep -h "^report" "$home/analytics-$desk.log" | sed "s/^report/$desk:/"
        says "analytics-$desk" "lost=0 repeated=0 reordered=0" || return 1
    done
}

if [ ! -x "$programs/hermesd" ] || [ ! -x "$programs/market_feed" ]; then
    echo "multicast: the programs are not in $programs (./run build makes them)" >&2
    exit 1
fi
if ! lay_cables; then
    echo "multicast: no network namespaces: this needs root and iproute2" >&2
    exit 77
fi
start_source
start_desk "$north" north
start_desk "$south" south
await "north receives" is_active north
await "south receives" is_active south
ip netns exec "$market" env HERMES_HOME="$home/market" "$programs/market_feed" "$quotes" 10000
await "everything has arrived in north" has_all north
await "everything has arrived in south" has_all south
check_reports
