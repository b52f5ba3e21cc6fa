package delivery

import (
	"math"
	"runtime/metrics"
	"sync"
	"time"
)

// cpuWaitInterval is the time between two measurements of a cpuWait.
const cpuWaitInterval = 100 * time.Millisecond

// A cpuWait measures how long the goroutines of this process wait for a CPU. It is safe for
// concurrent use.
type cpuWait struct {
	mu     sync.Mutex
	read   time.Time
	counts []uint64 // of the runtime's histogram, when it was read last
	mean   time.Duration
}

// CPUWait returns a function that returns how long a goroutine that was ready to run had to wait
// for a CPU: the mean between the last two measurements. It measures again when the last
// measurement is 100 ms old.
func CPUWait() func() time.Duration { return new(cpuWait).current }

func (c *cpuWait) current() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) >= cpuWaitInterval {
		c.measure()
	}
	return c.mean
}

// measure reads the runtime's histogram. The caller must hold mu.
func (c *cpuWait) measure() {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	c.read = time.Now()
	histogram := sample[0].Value.Float64Histogram()
	var waits, seconds float64
	for i, count := range histogram.Counts {
		if i < len(c.counts) {
			count -= c.counts[i]
		}
		if least := histogram.Buckets[i]; count > 0 && !math.IsInf(least, -1) {
			seconds += float64(count) * least
		}
		waits += float64(count)
	}
	c.counts = append(c.counts[:0], histogram.Counts...)
	c.mean = time.Duration(seconds / max(waits, 1) * float64(time.Second))
}
