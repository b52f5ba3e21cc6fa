package herald_test

import (
	"testing"

	"example.com/micromachine/herald"
)

func TestStatusFinal(t *testing.T) {
	t.Parallel()
	for status, final := range map[herald.Status]bool{
		herald.Queued: false, herald.Sending: false, herald.Sent: true, herald.Failed: true,
	} {
		if status.Final() != final {
			t.Errorf("%s: %t", status, !final)
		}
	}
}
