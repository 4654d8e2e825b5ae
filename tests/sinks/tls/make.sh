#!/bin/sh
# Makes the certificates in this directory anew. They are for tests only: the key guards nothing.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
by_ca="-CA ca.pem -CAkey $work/ca.key -CAcreateserial -CAserial $work/serial"

openssl req -x509 $new -days 36500 -subj "/CN=Eventer test authority" -keyout "$work/ca.key" -out ca.pem \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
openssl req $new -subj "/CN=test" -keyout key.pem -out "$work/request.pem"

issue() { # file, names, how it is signed
  printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$2" >"$work/extensions"
  openssl x509 -req -in "$work/request.pem" $3 -days 36500 -extfile "$work/extensions" -out "$1"
}
issue good.pem IP:127.0.0.1,DNS:localhost "$by_ca"
issue wronghost.pem DNS:other.example "$by_ca"
issue selfsigned.pem IP:127.0.0.1 "-signkey key.pem"

# Only `openssl ca` can date a certificate back in every version of OpenSSL.
mkdir "$work/ca"
touch "$work/ca/index"
cat >"$work/ca.cnf" <<END
[ca]
default_ca = test
[test]
database = $work/ca/index
new_certs_dir = $work/ca
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
END
printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$work/extensions"
openssl ca -batch -config "$work/ca.cnf" -cert ca.pem -keyfile "$work/ca.key" -in "$work/request.pem" -notext \
  -startdate 20200101000000Z -enddate 20210101000000Z -extfile "$work/extensions" -out expired.pem

# A key of no certificate here, and the usual one behind a password.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out otherkey.pem
openssl pkcs8 -topk8 -in key.pem -passout pass:password -out lockedkey.pem
chmod 644 key.pem otherkey.pem lockedkey.pem
