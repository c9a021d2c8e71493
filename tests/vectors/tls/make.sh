#!/bin/sh
# Makes the certificates of the TLS tests again: a CA and three servers, valid for a century but
# for the one that has to be expired. Needs the openssl command; the tests only read the files.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

: >"$work/index"
cat >"$work/config" <<CONFIG
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
CONFIG

request() { # name, subject
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
        -keyout "$work/$1.key" -out "$work/$1.request" 2>/dev/null
}

signed() { # name, end of validity, more options
    name=$1 end=$2
    shift 2
    openssl ca -batch -notext -config "$work/config" -keyfile "$work/ca.key" \
        -startdate 20200101000000Z -enddate "$end" -in "$work/$name.request" \
        -out "$work/$name.certificate" "$@" 2>/dev/null
}

server() { # name, subjectAltName, end of validity
    request "$1" "/CN=Trunkline test"
    printf 'authorityKeyIdentifier=keyid\nsubjectAltName=%s\n' "$2" >"$work/extensions"
    signed "$1" "$3" -cert ca.pem -extfile "$work/extensions"
    cat "$work/$1.key" "$work/$1.certificate" >"$1.pem"
}

request ca "/CN=Trunkline test CA"
signed ca 21200101000000Z -selfsign -extensions authority
cp "$work/ca.certificate" ca.pem
server good "DNS:localhost,IP:127.0.0.1" 21200101000000Z
server other-name "DNS:elsewhere.example" 21200101000000Z
server expired "DNS:localhost,IP:127.0.0.1" 20210101000000Z
