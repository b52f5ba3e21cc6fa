package outage_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/micromachine/pkg/outage"
)

func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var output bytes.Buffer
		log := outage.NewLog(slog.New(slog.NewTextHandler(&output, nil)), "database")
		wantLines := func(what string, want ...string) {
			t.Helper()
			lines := strings.Split(strings.TrimSpace(output.String()), "\n")
			if output.Len() == 0 {
				lines = nil
			}
			output.Reset()
			if len(lines) != len(want) {
				t.Fatalf("%s: logged %q", what, lines)
			}
			for i, line := range lines {
				if !strings.Contains(line, want[i]) || !strings.Contains(line, "check=database") {
					t.Errorf("%s: %s, want %s", what, line, want[i])
				}
			}
		}
		log.Observe(t.Context(), nil)
		wantLines("all is well")
		for port := range 30 {
			log.Observe(t.Context(), fmt.Errorf("reading from port %d: connection reset", port))
			time.Sleep(time.Second)
		}
		wantLines("one cause", `level=ERROR msg="not ready"`)
		log.Observe(t.Context(), errors.New("read-only"))
		log.Observe(t.Context(), errors.New("read-only"))
		wantLines("another cause", "read-only")
		time.Sleep(time.Minute)
		log.Observe(t.Context(), errors.New("read-only"))
		wantLines("a minute later", "read-only")
		log.Observe(t.Context(), nil)
		log.Observe(t.Context(), nil)
		wantLines("the end", `level=INFO msg="ready again" check=database after=1m30s`)
		log.Observe(t.Context(), errors.New("read-only"))
		wantLines("the next", "read-only")
	})
}
