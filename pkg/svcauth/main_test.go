package svcauth_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A verifier that is closed leaves no goroutine, and neither does a test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
