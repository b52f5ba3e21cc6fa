package keys

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"example.com/micromachine/pkg/logsafe"
)

// filesPollInterval is the time between two looks at key files, while the keys are used.
const filesPollInterval = 2 * time.Second

// Files are a service's keys in files that can change. A change is loaded within two seconds, at
// the next use of the keys. While the files are bad, the keys from before stay in use. Nothing runs
// in the background. Files is safe for concurrent use.
type Files struct {
	path    string
	log     *slog.Logger
	state   atomic.Pointer[datedKeys]
	checked atomic.Pointer[time.Time] // the time of the last look at path
	reading sync.Mutex
	fault   string
}

// Watch reads a service's keys from path: a file with one key, as [Load] reads it, or a directory
// as [Rotate] keeps it. Each file must be accessible to its owner alone, as for Load. A nil log
// stands for [slog.Default]; it gets a line for each change.
func Watch(path string, log *slog.Logger) (*Files, error) {
	if log == nil {
		log = slog.Default()
	}
	keys, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	f := &Files{path: path, log: slog.New(logsafe.NewHandler(log.Handler())).With("keys", path)}
	f.state.Store(keys)
	now := time.Now()
	f.checked.Store(&now)
	return f, nil
}

// SigningKey implements [Signing]. It returns the newest key whose time has come.
func (f *Files) SigningKey() *Private { return f.current().signing(time.Now()).key }

// PublishedKeys implements [Signing]. It returns all keys.
func (f *Files) PublishedKeys() []*Private {
	keys := f.current().list
	published := make([]*Private, 0, len(keys))
	for _, k := range keys {
		published = append(published, k.key)
	}
	return published
}

// current returns the keys in use. When a look at the files is due, one caller does it and the
// others use the keys from before. After a pause of twice the interval all callers wait for the
// look, so that no key is used that was replaced long ago.
func (f *Files) current() *datedKeys {
	switch age := time.Since(*f.checked.Load()); {
	case age < filesPollInterval, age < 2*filesPollInterval && !f.reading.TryLock():
		return f.state.Load()
	case age >= 2*filesPollInterval:
		f.reading.Lock()
	}
	defer f.reading.Unlock()
	if now := time.Now(); now.Sub(*f.checked.Load()) >= filesPollInterval {
		f.reload()
		f.checked.Store(&now)
	}
	return f.state.Load()
}

// reload reads the files and uses their keys if they have changed and are good. f.reading is held.
func (f *Files) reload() {
	keys, err := readKeys(f.path)
	switch {
	case err != nil && err.Error() != f.fault:
		f.fault = err.Error()
		f.log.Error("signing keys are bad, those from before stay in use", "error", err)
	case err == nil && (f.fault != "" || keys.digest != f.state.Load().digest):
		f.fault = ""
		f.state.Store(keys)
		f.log.Info("signing keys are read again", "count", len(keys.list), "kid", keys.signing(time.Now()).key.ID())
	}
}
