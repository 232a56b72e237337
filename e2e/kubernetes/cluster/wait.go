package cluster

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// say prints a line for the person who is waiting. It goes to standard error, so that output stays parseable.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", args...) }

// pollInterval is short beside everything that is waited for, and long enough to cost nothing.
const pollInterval = 50 * time.Millisecond

// poll asks until the answer is yes or the time is over, and returns the last answer.
func poll(limit time.Duration, yes func() bool) bool {
	for deadline := time.Now().Add(limit); ; {
		if yes() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pollInterval)
	}
}

// hopeless marks an error after which waiting longer makes no sense.
type hopeless struct{ error }

// quietWait is how long a wait may last before the person is told about it.
const quietWait = 3 * time.Second

// await calls probe until it returns nil or a hopeless error, or the time is over; the error then says what was awaited
// and what was wrong last. A wait that takes long says so once.
func await(what string, limit time.Duration, probe func() error) error {
	var last error
	begin, told := time.Now(), false
	done := poll(limit, func() bool {
		if last = probe(); last == nil || errors.As(last, &hopeless{}) {
			return true
		}
		if !told && time.Since(begin) > quietWait {
			say("waiting for %s (%v)", what, last)
			told = true
		}
		return false
	})
	if last != nil && !done {
		return fmt.Errorf("%s: still not after %v: %w", what, limit, last)
	}
	if last != nil {
		return fmt.Errorf("%s: %w", what, last)
	}
	return nil
}
