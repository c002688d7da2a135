#!/bin/bash
# services.sh [SERVICE...]: install and start what `make ecosystem` talks to, on Debian or Ubuntu: redis mariadb
# postgresql rabbitmq nats mosquitto zookeeper, or those named. What answers already is left alone. They are for tests,
# on a machine for development; a line for each tells what was done. Needs root or sudo where something is missing.
set -u

all="redis mariadb postgresql rabbitmq nats mosquitto zookeeper"
declare -A port=([redis]=6379 [mariadb]=3306 [postgresql]=5432 [rabbitmq]=5672 [nats]=4222 [mosquitto]=1883
  [zookeeper]=2181)
declare -A package=([redis]=redis-server [mariadb]=mariadb-server [postgresql]=postgresql [rabbitmq]=rabbitmq-server
  [nats]=nats-server [mosquitto]=mosquitto [zookeeper]=zookeeper)

fail() { printf 'services: %s\n' "$@" >&2; exit 1; }
say() { printf '%-11s %-6s %s\n' "$1" "${port[$1]}" "$2"; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }
systemd() { [ -d /run/systemd/system ]; }

# Run as root: as we are, or with sudo.
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi; }

until_it_answers() {
  for _ in $(seq 300); do answers "$1" && return; sleep 0.2; done
  return 1
}

# Start a program that outlives this script, as USER, where there is no systemd: background USER COMMAND...
background() {
  local user=$1; shift
  root setsid --fork runuser -u "$user" -- "$@" </dev/null >/dev/null 2>&1
}

service_start() { if systemd; then root systemctl start "$1"; else root service "$1" start >/dev/null 2>&1; fi; }

start() {
  case $1 in
    redis) service_start redis-server ;;
    mariadb) service_start mariadb ;;
    postgresql) service_start postgresql ;;
    rabbitmq) service_start rabbitmq-server ;;
    mosquitto) service_start mosquitto ;;
    nats) if systemd && [ -e /lib/systemd/system/nats-server.service ]; then service_start nats-server; else
            background nobody nats-server -a 127.0.0.1 -p "${port[nats]}"; fi ;;
    zookeeper)
      # The package alone starts nothing, and its own configuration listens everywhere.
      root install -d -o nobody /var/lib/epicycle-zookeeper
      printf '%s\n' tickTime=200 dataDir=/var/lib/epicycle-zookeeper/data "clientPort=${port[zookeeper]}" \
        clientPortAddress=127.0.0.1 admin.enableServer=false |
        root tee /var/lib/epicycle-zookeeper/zoo.cfg >/dev/null
      background nobody java -Xmx128m -XX:+UseSerialGC -Dzookeeper.log.dir=/var/lib/epicycle-zookeeper \
        -Dzookeeper.root.logger=WARN,CONSOLE -Dzookeeper.jmx.log4j.disable=true \
        -cp /etc/zookeeper/conf:/usr/share/java/zookeeper.jar \
        org.apache.zookeeper.server.quorum.QuorumPeerMain /var/lib/epicycle-zookeeper/zoo.cfg ;;
  esac
}

# What a server that we have just installed, and that is nobody else's, needs before the tests may use it; prints it.
open_to_tests() {
  case $1 in
    mariadb)
      root mariadb -e "CREATE DATABASE IF NOT EXISTS test; CREATE OR REPLACE USER root@'127.0.0.1';
        GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION" &&
        echo "; root has no password from 127.0.0.1" ;;
    postgresql)
      local file
      file=$(root find /etc/postgresql -name pg_hba.conf | sort -V | tail -n 1)
      root sed -i '1i host all all 127.0.0.1/32 trust' "$file" &&
        root runuser -u postgres -- psql -qc 'SELECT pg_reload_conf()' >/dev/null &&
        echo "; every user is trusted from 127.0.0.1" ;;
  esac
}

bring_up() {
  local name=$1 new=""
  if answers "${port[$name]}"; then say "$name" "answers already: left alone"; return; fi
  if ! installed "${package[$name]}"; then
    new=yes
    echo "services: installing ${package[$name]}" >&2
    root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${package[$name]}" \
      >/dev/null 2>&1 || { say "$name" "NOT there: apt-get could not install ${package[$name]}"; return 1; }
  fi
  answers "${port[$name]}" || start "$name"
  if ! until_it_answers "${port[$name]}"; then say "$name" "NOT there: installed, but does not answer"; return 1; fi
  if [ "$new" ]; then say "$name" "installed and started$(open_to_tests "$name")"; else say "$name" "started"; fi
}

case ${1-} in
  -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
esac
for name in "$@"; do
  [ "${port[$name]-}" ] || fail "'$name' is none of: $all"
done
wanted=${*:-$all}

missing=""
for name in $wanted; do answers "${port[$name]}" || missing="$missing $name"; done
if [ "$missing" ]; then
  [ -e /etc/debian_version ] && command -v apt-get >/dev/null ||
    fail "this installs with apt-get, on Debian and Ubuntu; here, start these yourself:$missing" \
      "and name their addresses in EPICYCLE_REDIS_URL and the like (docs/how-to/services.md)"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "root or sudo is needed to install and start:$missing"
  for name in $missing; do
    installed "${package[$name]}" || { root apt-get update -qq >/dev/null 2>&1; break; }
  done
fi

status=0
for name in $wanted; do bring_up "$name" || status=1; done
exit $status
