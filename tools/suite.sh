# For tools/setup, tools/fetch_peers and tools/fetch_corpora, which source it: apt calls that read one
# release of the distribution, whichever release this machine runs, and change nothing of the machine.
# Expects $deps and die().
suite=trixie
apt_options=()

# The places this machine's packages come from, in both of apt's formats, likely ones first.
archive_places() {
    {
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
            awk '/^URIs:/ { for (i = 2; i <= NF; i++) print $i }'
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
            awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:\/\//) { print $i; break } }'
    } | awk '{ sub(/\/$/, "") } !seen[$0]++ { print ($0 ~ /\/debian$/ ? 0 : 1), $0 }' | sort -s -k1,1 | cut -d' ' -f2-
}

# read_lists deb|deb-src PACKAGE: lists the suite's packages of that kind, PACKAGE among them. The
# entry is the machine's own with another suite, in a file that only these calls read; what is not
# signed by the distribution's keys is not taken.
read_lists() {
    [ ${#apt_options[@]} -eq 0 ] || return 0
    local keyring place lists=$deps/apt/$1 log=$deps/apt/update.log
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do [ -e "$keyring" ] && break; done
    mkdir -p "$lists/lists/partial" "$deps/src"
    apt_options=(
        -o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$lists/lists" -o Dir::State::status=/dev/null
        -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache=
        -o APT::Sandbox::User= -o APT::Update::Error-Mode=any -o Dir::Etc::trusted=/dev/null
    )
    : >"$log"
    for place in $(archive_places); do
        printf '%s [signed-by=%s] %s %s main\n' "$1" "$keyring" "$place" "$suite" >"$lists/sources.list"
        apt-get "${apt_options[@]}" update -qq >>"$log" 2>&1 || continue
        case $1 in
        deb) apt-get "${apt_options[@]}" download --print-uris "$2" ;;
        deb-src) apt-get "${apt_options[@]}" source --print-uris --only-source "$2" ;;
        esac >/dev/null 2>&1 && return 0
    done
    tail -n 5 "$log" >&2
    if grep -q NO_PUBKEY "$log"; then
        die "the keys of $suite are missing: apt-get install --only-upgrade debian-archive-keyring"
    fi
    die "cannot read the packages of $suite (above): is this machine offline?"
}

# fetch_source PACKAGE PATTERN: downloads the file of the source package that matches, checked against
# the signed list, and prints where it is.
fetch_source() {
    local uri file hash
    read -r uri file _ hash < <(apt-get "${apt_options[@]}" source --print-uris --only-source "$1" 2>/dev/null |
        grep -E "^'[^']*' $2 ") || return 1
    uri=${uri#\'} uri=${uri%\'}
    /usr/lib/apt/apt-helper "${apt_options[@]}" download-file "$uri" "$deps/src/$file" "$hash" \
        >"$deps/apt/fetch.log" 2>&1 || return 1
    printf '%s\n' "$deps/src/$file"
}
