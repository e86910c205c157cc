#!/usr/bin/env bash
# Certificates for TLS between the machines of a Ray cluster: one authority, one key and certificate per machine.
#   deploy/tls/make-certificates.sh FOLDER HOST-OR-ADDRESS...      (run it once; keep FOLDER/ca.key off the cluster)
set -euo pipefail
umask 077
[ $# -ge 2 ] || { echo "usage: $0 FOLDER HOST-OR-ADDRESS..." >&2; exit 2; }
folder=$1
shift
mkdir -p "$folder"
if [ ! -f "$folder/ca.key" ]; then
  openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days 1825 -subj "/CN=aimat cluster authority" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>/dev/null
fi
for host in "$@"; do
  kind=DNS
  [[ $host =~ ^[0-9.]+$|: ]] && kind=IP
  mkdir -p "$folder/$host"
  openssl req -newkey rsa:3072 -nodes -sha256 -subj "/CN=aimat node" \
    -keyout "$folder/$host/node.key" -out "$folder/$host/node.csr" 2>/dev/null
  openssl x509 -req -in "$folder/$host/node.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial \
    -days 825 -sha256 -out "$folder/$host/node.crt" 2>/dev/null \
    -extfile <(printf 'subjectAltName=%s:%s,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' "$kind" "$host")
  rm "$folder/$host/node.csr"
  cp "$folder/ca.crt" "$folder/$host/ca.crt"
done
