# The checks under one kernel, for the shell of its VM. What stands before this sets BUILD, the folder with vmhop;
# LIMIT, the seconds that a command may take; TESTS, a line NAME=BINARY for each file in tests/tests; then come lines
# `check NAME COMMAND`, and `exit $failed`.
PATH=$BUILD:$PATH
export VMHOP_BIN="$BUILD/vmhop"
failed=0

# What each thread of what a check started does, and the kernel's last words.
threads() {
    echo "still there after $LIMIT s:"
    for task in /proc/[0-9]*/task/*; do
        # Threads of the kernel have no command line.
        if [ -n "$(tr -d '\0' <"${task%/task/*}/cmdline")" ]; then
            echo "$task $(cat "$task/comm" "$task/wchan" "$task/syscall" | tr '\n' ' ')"
        fi
    done
    dmesg | tail -n 20
}

# limited COMMAND: for no longer than a command may take.
limited() {
    (sleep "$LIMIT"; threads) &
    watch=$!
    timeout --kill-after 10 $((LIMIT + 10)) "$@"
    code=$?
    kill $watch 2>/dev/null
    return $code
}

# vm_test FILE TEST...: tests of tests/tests/FILE.rs, those that are ignored elsewhere too.
vm_test() {
    binary=$(echo "$TESTS" | sed -n "s/^$1=//p")
    if [ -z "$binary" ]; then
        echo "no test file $1"
        return 1
    fi
    shift
    limited "$binary" "$@" --include-ignored --nocapture --test-threads 1
}

# check NAME COMMAND: says how long it took, and when it failed what it said.
check() {
    start=$(date +%s)
    (eval "$2") >/tmp/check 2>&1
    code=$?
    echo "check $1: $(($(date +%s) - start)) s"
    if [ $code != 0 ]; then
        failed=1
        echo "check $1 ended with exit code $code:"
        cat /tmp/check
    fi
}
