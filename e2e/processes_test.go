package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"example.com/micromachine/e2e/stack"
)

// processes is the system as processes on this machine.
type processes struct{ *stack.Stack }

func newProcesses(ctx context.Context, dir string) (system, error) {
	bin, err := stack.BuiltPrograms(ctx, dir)
	if err != nil {
		return nil, err
	}
	s, err := stack.Start(ctx, stack.Config{BinDir: bin, Dir: dir, Logf: func(string, ...any) {}})
	if err != nil {
		return nil, err
	}
	return processes{s}, nil
}

func (p processes) callers(herald string) (another, shop, office *stack.Caller, err error) {
	if herald == "" {
		return p.Another, p.Shop, p.Office, nil
	}
	return p.Callers(&stack.Service{URL: stack.HeraldURL, Addr: herald})
}

func (p processes) heraldAddr() string { return p.Service("herald").Addr }

func (p processes) stop(_ context.Context, service string) error {
	if service == "mail" {
		return p.Mail.Stop()
	}
	return p.Service(service).Process.Stop()
}

func (p processes) kill(_ context.Context, service string) error {
	if service == "mail" {
		return p.Mail.Stop()
	}
	return p.Service(service).Process.Kill()
}

func (p processes) start(ctx context.Context, service string) error {
	if service == "mail" {
		return p.Mail.Start()
	}
	return p.Service(service).Process.Start(ctx)
}

func (p processes) rotate(ctx context.Context, service string, flags ...string) error {
	args := append(append([]string{"rotate"}, flags...), filepath.Join(p.Dir, service, "keys"))
	if out, err := exec.CommandContext(ctx, filepath.Join(p.BinDir, "svcauth"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("rotating: %w: %s", err, out)
	}
	return nil
}

func (p processes) log(_ context.Context, service string) (string, error) {
	data, err := os.ReadFile(filepath.Join(p.Dir, service+".log"))
	return string(data), err
}

func (p processes) secondHerald(ctx context.Context) (string, func() error, error) {
	second, err := p.SecondHerald(ctx)
	if err != nil {
		return "", nil, err
	}
	return second.Addr, second.Process.Stop, nil
}

func (p processes) mails(_ context.Context, messageID string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(p.MailDir, "*.eml"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading mail: %w", err)
		}
		if strings.Contains(string(data), messageID) {
			found = append(found, string(data))
		}
	}
	return found, nil
}

func (p processes) close() error { return p.Close() }
