// Package svcauthprom exports what a verifier of package svcauth counts as Prometheus metrics:
//
//	registry.MustRegister(svcauthprom.NewCollector(verifier))
//
//	svcauth_calls_passed_total{issuer}                  calls let in
//	svcauth_calls_refused_total{issuer,check}           calls refused, by the check that refused them
//	svcauth_key_set_keys{issuer}                        keys of a fetched set that can be used now; 0: its issuer's calls are refused
//	svcauth_key_set_skipped_keys{issuer}                keys of the set that cannot be used
//	svcauth_key_set_fetched_timestamp_seconds{issuer}   when the set was last fetched
//	svcauth_key_set_fetches_total{issuer}               fetches
//	svcauth_key_set_fetch_failures_total{issuer}        fetches without a readable set
//	svcauth_key_set_failing{issuer,cause}               1 while the set cannot be fetched, for one of these causes: certificate,
//	                                                    timeout, connection, status, size, content
//	svcauth_trust_file_bad                              1 while the trust file on disk is bad and the one before stays in force
//
// An empty issuer stands for tokens that cannot be read and for issuers that the trust file does
// not name, so that invented names do not create series.
package svcauthprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"example.com/micromachine/pkg/svcauth"
)

var (
	passed  = describe("calls_passed_total", "Calls let in.", "issuer")
	refused = describe("calls_refused_total", "Calls refused, by the check that refused them.", "issuer", "check")

	keys     = describe("key_set_keys", "Keys of a fetched set that can be used now.", "issuer")
	skipped  = describe("key_set_skipped_keys", "Keys of a fetched set that cannot be used.", "issuer")
	fetched  = describe("key_set_fetched_timestamp_seconds", "When a key set was last fetched.", "issuer")
	fetches  = describe("key_set_fetches_total", "Fetches of a key set.", "issuer")
	failures = describe("key_set_fetch_failures_total", "Fetches that brought no usable key set.", "issuer")

	failing = describe("key_set_failing", "Whether a key set cannot be fetched at present, and why.", "issuer", "cause")

	trustBad = describe("trust_file_bad", "Whether the trust file on disk is bad, so that the one before stays in force.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("svcauth_"+name, help, labels, nil)
}

// A Collector implements [prometheus.Collector]. It is safe for concurrent use.
type Collector struct{ verifier *svcauth.Verifier }

// NewCollector returns a collector of a verifier's metrics. Two collectors in one registry must be
// registered with different labels.
func NewCollector(verifier *svcauth.Verifier) *Collector { return &Collector{verifier} }

// Describe implements [prometheus.Collector].
func (*Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{passed, refused, keys, skipped, fetched, fetches, failures, failing, trustBad} {
		descs <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, n uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	stats := c.verifier.Stats()
	for _, calls := range stats.Calls {
		if calls.Refused == "" {
			counter(passed, calls.Count, calls.Issuer)
		} else {
			counter(refused, calls.Count, calls.Issuer, string(calls.Refused))
		}
	}
	for _, set := range stats.KeySets {
		gauge(keys, float64(set.Keys), set.Issuer)
		gauge(skipped, float64(set.Skipped), set.Issuer)
		counter(fetches, set.Fetches, set.Issuer)
		counter(failures, set.Failures, set.Issuer)
		if set.Cause != "" {
			gauge(failing, 1, set.Issuer, set.Cause)
		}
		if !set.Fetched.IsZero() {
			gauge(fetched, float64(set.Fetched.UnixMilli())/1000, set.Issuer)
		}
	}
	bad := 0.0
	if stats.TrustFault != "" {
		bad = 1
	}
	gauge(trustBad, bad)
}
