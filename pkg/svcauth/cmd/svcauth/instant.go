package main

import (
	"fmt"
	"strings"
	"time"
)

// An instant is a time in words.
type instant struct {
	Time  string `json:"time"`
	Words string `json:"words"`
}

// instantOf returns the instant at, seen from now; both are Unix times in seconds.
func instantOf(at, now int64) instant {
	return instant{time.Unix(at, 0).UTC().Format("2006-01-02 15:04:05 UTC"), inWords(at - now)}
}

func (i instant) String() string { return fmt.Sprintf("%s (%s)", i.Time, i.Words) }

// inWords returns the distance of a time from now.
func inWords(seconds int64) string {
	switch {
	case seconds == 0:
		return "now"
	case seconds < 0:
		return span(-seconds) + " ago"
	default:
		return "in " + span(seconds)
	}
}

// span returns a duration in its largest unit, and the rest in the next smaller one.
func span(seconds int64) string {
	units := []struct {
		one, many string
		length    int64
	}{
		{"year", "years", 365 * 24 * 3600}, {"day", "days", 24 * 3600}, {"h", "h", 3600}, {"min", "min", 60}, {"s", "s", 1},
	}
	var words []string
	for _, u := range units {
		n := seconds / u.length
		seconds %= u.length
		switch {
		case n == 1:
			words = append(words, "1 "+u.one)
		case n > 1:
			words = append(words, fmt.Sprintf("%d %s", n, u.many))
		}
		if len(words) == 2 || len(words) == 1 && n == 0 {
			break
		}
	}
	return strings.Join(words, " ")
}
