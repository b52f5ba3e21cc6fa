// Command herald runs Herald, the service that notifies users by mail, and manages its database.
//
//	herald migrate
//	herald serve
package main

import (
	"context"
	"fmt"
	"os"

	"example.com/micromachine/herald/internal/delivery"
	"example.com/micromachine/herald/internal/mail"
	"example.com/micromachine/herald/internal/postgres"
	"example.com/micromachine/herald/internal/server"
	migrations "example.com/micromachine/migrations/herald"
	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/httpclient"
	"example.com/micromachine/pkg/httpserve"
	"example.com/micromachine/pkg/service"
)

// otherConns are the connections beside the pools: the heartbeat of the process, and the one on
// which the job queue listens.
const otherConns = 2

func main() { os.Exit(service.Main(new(program).definition())) }

// program is Herald's own part of the program.
type program struct {
	settings settings
	mail     *mail.Sender
}

func (p *program) definition() service.Definition {
	return service.Definition{
		Name: "herald", AdminListen: "127.0.0.1:9444",
		Conns:    service.Conns{Default: 2*service.DefaultConns + otherConns, Least: 2 + otherConns, Requests: requestConns},
		Migrate:  migrations.Up,
		Settings: &p.settings, Check: p.settings.check,
		Open: p.openMail, Serve: p.serve,
	}
}

// minWorkers is the number of workers, unless there are many connections to the mail server. Mails
// to one slow domain occupy 1.25 times as many workers as there are connections.
const minWorkers = 100

// Requests and jobs have a pool each, so that neither waits for the connections of the other.
func requestConns(total int32) int32 { return total - otherConns - jobConns(total) }
func jobConns(total int32) int32     { return (total - otherConns) / 2 }

// serve makes the parts of Herald. They start without Census and without the mail server.
func (p *program) serve(ctx context.Context, rt *service.Runtime) (service.Parts, error) {
	users, err := censusclient.New(censusclient.Config{
		URL: string(p.settings.CensusURL), Signer: rt.Signer, HTTPClient: rt.HTTPClient, Logger: rt.Logger,
	})
	if err != nil {
		return service.Parts{}, service.Misuse(fmt.Errorf("HERALD_CENSUS_URL: %w", err))
	}
	jobs, err := rt.OpenPool(ctx, jobConns(rt.TotalConns()))
	if err != nil {
		return service.Parts{}, err
	}
	process, backlog := postgres.NewProcess(), delivery.NewBacklog(p.mail.BusyFor, delivery.CPUWait())
	store := postgres.New(rt.Pool, process)
	deliveries, err := delivery.New(delivery.Config{
		Pool: jobs, Store: postgres.New(jobs, process), Requests: store, Process: process, Backlog: backlog,
		Census: users, Mail: p.mail, Logger: rt.Logger, Workers: max(minWorkers, 2*int(p.settings.SMTPConns)),
	})
	if err != nil {
		return service.Parts{}, err
	}
	api := server.New(server.Config{
		API: rt.API(), Store: store, Census: users, Deliveries: deliveries, Backlog: backlog,
	})
	return service.Parts{
		Handler: api, Ready: store.Ready,
		Checks:  map[string]httpserve.Check{"deliveries": deliveries.Ready},
		Workers: []func(context.Context) error{deliveries.Run},
	}, nil
}

// openMail makes the sender of the mails.
func (p *program) openMail(rt *service.Runtime) (err error) {
	if p.mail, err = p.newSender(rt.Settings); err != nil {
		return fmt.Errorf("HERALD_SMTP_ADDR: %w", err)
	}
	rt.OnClose(p.mail.Close)
	return nil
}

func (p *program) newSender(common service.Settings) (*mail.Sender, error) {
	roots, err := httpclient.LoadRoots(common.CAFile)
	if err != nil {
		return nil, err
	}
	domain, err := service.Host(common.URL)
	if err != nil {
		return nil, err
	}
	s := p.settings
	return mail.NewSender(mail.Config{
		Addr: s.SMTPAddr, TLS: s.SMTPTLS, Roots: roots, Username: s.SMTPUsername, Password: string(s.SMTPPassword),
		Auth: s.SMTPAuth, From: s.MailFrom, Domain: domain, MaxConns: int(s.SMTPConns),
	})
}
