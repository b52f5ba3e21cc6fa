package delivery_test

import (
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"example.com/micromachine/herald/internal/delivery"
)

var production = delivery.Schedule{First: 10 * time.Second, Max: time.Hour, GiveUp: 24 * time.Hour}

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	t.Parallel()
	for failures, least := range map[int]time.Duration{
		1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 6: 320 * time.Second,
		9: 2560 * time.Second, 10: 46 * time.Minute, 40: 46 * time.Minute, 30000: 46 * time.Minute,
	} {
		varied := map[time.Duration]bool{}
		for range 100 {
			pause := production.Pause(failures)
			if pause < least || pause > least*13/10+15*time.Second || pause > time.Hour {
				t.Errorf("after %d failures: %v", failures, pause)
			}
			varied[pause] = true
		}
		if len(varied) < 50 {
			t.Errorf("after %d failures: only %d different pauses", failures, len(varied))
		}
	}
}

// TestAttemptsInADay counts the attempts that the pauses allow before GiveUp.
func TestAttemptsInADay(t *testing.T) {
	t.Parallel()
	failures := 1
	tried := time.Duration(0) // from the creation to the last attempt
	for {
		next := tried + production.Pause(failures)
		if next > production.GiveUp {
			break
		}
		if next <= tried {
			t.Fatalf("after %d failures: %v is not after %v", failures, next, tried)
		}
		tried = next
		failures++
	}
	if tried < 23*time.Hour || tried > 24*time.Hour {
		t.Errorf("gives up after %v", tried)
	}
	if failures < 25 || failures > 45 {
		t.Errorf("gives up after %d attempts", failures)
	}
}

func TestNextRetryIsAhead(t *testing.T) {
	t.Parallel()
	now := time.Now()
	next := production.NextRetry(&rivertype.JobRow{Attempt: 1})
	if pause := next.Sub(now); pause < 9*time.Second || pause > 15*time.Second {
		t.Errorf("after %v", pause)
	}
}
