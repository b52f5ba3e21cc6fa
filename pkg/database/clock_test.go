package database_test

import (
	"testing"
	"time"

	"example.com/micromachine/pkg/database"
	"example.com/micromachine/pkg/pgtest"
)

func TestClock(t *testing.T) {
	t.Parallel()
	config, err := database.Parse(pgtest.New(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := config.Open(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	clock := database.NewClock(pool, 10*time.Second)
	for shift, right := range map[time.Duration]bool{
		0: true, 5 * time.Second: true, -5 * time.Second: true,
		2 * time.Minute: false, -2 * time.Minute: false, 15 * time.Second: false,
	} {
		clock.Shift(shift)
		if err := clock.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := clock.Offset(); got < shift-3*time.Second || got > shift+3*time.Second {
			t.Errorf("shifted by %v: measured %v", shift, got)
		}
		if err := clock.Check(t.Context()); (err == nil) != right {
			t.Errorf("shifted by %v: %v", shift, err)
		}
	}
	pool.Close()
	clock.Shift(0)
	if err := clock.Measure(t.Context()); err == nil || clock.Offset() == 0 {
		t.Errorf("without a database: %v, offset %v", err, clock.Offset())
	}
}
