#!/bin/sh
# Runs one job of the process backend and outlives whoever submitted it: `run HOME SETSID TIMEOUT GRACE COMMAND...`,
# or ends one: `end HOME GRACE`. HOME is the job's directory; the current directory is its work tree.
#
# `claim` and `verdict` are made by O_EXCL (set -C), so of any number of writers the first one wins: one wrapper runs the job, and whether it
# ended, ran out of time or was cancelled is decided once. Starting programs is what costs, so this uses the shell's own words where it can.
# Variables are called _sw_… so that none of the job's own is overwritten on its way through.
set -C
_sw_path=$PATH
PATH=/usr/bin:/bin:$PATH

# The start time of a process in clock ticks since boot, to _sw_start; fails if it is gone or a zombie. With the pid it names a process for good.
start_of() {
    read -r _sw_stat < "/proc/$1/stat" || return 1
    _sw_pid=${_sw_stat%% *}
    set -- ${_sw_stat##*) }
    _sw_pgrp=$3
    [ "$1" != Z ] && _sw_start=${20}
}

# Write $2 to a file of HOME that must not exist yet.
decide() {
    { echo "$2" > "$_sw_home/$1"; } 2> /dev/null
}

# Send a signal to the command's process group, and to whatever else carries the job's mark: it may have left the group by setsid.
# Fails if there was nothing of the latter.
signal_all() {
    _sw_signal=$1 _sw_strays=
    kill -s "$_sw_signal" -- "-$_sw_group"
    for _sw_found in $(LC_ALL=C grep -lzxF "SHIPWAY_JOB_DIR=$_sw_home" /proc/[0-9]*/environ); do
        _sw_found=${_sw_found%/environ}
        read -r _sw_stat < "$_sw_found/stat" || continue
        set -- ${_sw_stat##*) }
        [ "$3" != "$_sw_group" ] || continue # twice TERM means "at once" to some programs
        case ${_sw_found#/proc/} in
        $$ | "$_sw_wrapper") ;;
        *) kill -s "$_sw_signal" "${_sw_found#/proc/}" && _sw_strays=yes ;;
        esac
    done
    [ "$_sw_strays" ]
}

run() {
    _sw_home=$1 _sw_setsid=$2 _sw_timeout=$3 _sw_grace=$4
    shift 4
    exec 3>&2 2> /dev/null
    [ . -ef "$_sw_home/stage/work" ] || exit 0 # removed, and maybe made anew, before we came to it
    start_of self && [ "$_sw_pgrp" = $$ ] || exit 1 # the group that is ended below must be our own
    read -r _sw_boot < /proc/sys/kernel/random/boot_id
    read -r _sw_host < /proc/sys/kernel/hostname
    decide claim "$$ $_sw_start $_sw_boot $_sw_host" || exit 0
    [ ! -e "$_sw_home/verdict" ] || exit 0
    if [ "$_sw_timeout" ]; then
        (sleep "$_sw_timeout" && decide verdict timeout && exec /bin/sh "$0" end "$_sw_home" "$_sw_grace") 3>&- &
    fi
    (
        start_of self
        decide group "$_sw_pid $_sw_start"
        PATH=$_sw_path
        exec "$_sw_setsid" -- "$@" 2>&3 3>&-
    )
    _sw_code=$?
    decide code "$_sw_code"
    _sw_how=exit
    case $_sw_code in
    126 | 127) (PATH=$_sw_path && command -v -- "$1") > /dev/null || _sw_how=unstarted ;;
    esac
    decide verdict "$_sw_how $_sw_code"
    if [ "$_sw_timeout" ]; then # the timer is what else there is in our own group
        trap '' TERM
        kill -s TERM 0
        wait
    fi
    _sw_wrapper=$$
    read -r _sw_group _ < "$_sw_home/group" || exit 0
    _sw_left=50
    while signal_all KILL && [ "$_sw_left" -gt 0 ]; do # until they are gone: the job is over when this wrapper is
        _sw_left=$((_sw_left - 1))
        sleep 0.02
    done
}

end() {
    _sw_home=$1 _sw_left=$(($2 * 10)) _sw_group=
    exec 2> /dev/null
    read -r _sw_wrapper _sw_began _ < "$_sw_home/claim" || exit 0
    while start_of "$_sw_wrapper" && [ "$_sw_start" = "$_sw_began" ]; do
        if [ ! "$_sw_group" ]; then
            # Whoever comes second (a repeated cancel, the timer) only waits to kill.
            read -r _sw_group _ < "$_sw_home/group" && decide asked "$$" && signal_all TERM
        elif [ "$_sw_left" -le 0 ]; then
            signal_all KILL
        fi
        _sw_left=$((_sw_left - 1))
        sleep 0.1
    done
}

"$@"
exit 0
