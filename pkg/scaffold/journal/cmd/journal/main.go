// Command journal runs Journal, the service that keeps entries about users.
package main

import (
	"context"
	"os"

	"example.com/micromachine/pkg/censusclient"
	"example.com/micromachine/pkg/scaffold/journal/internal/postgres"
	"example.com/micromachine/pkg/scaffold/journal/internal/server"
	migrations "example.com/micromachine/pkg/scaffold/journal/migrations/journal"
	"example.com/micromachine/pkg/service"
)

func main() { os.Exit(service.Main(definition())) }

func definition() service.Definition {
	var own struct {
		CensusURL service.URL `env:"CENSUS_URL" envDefault:"https://census.service/" help:"the name of Census"`
	}
	return service.Definition{
		Name: "journal", AdminListen: "127.0.0.1:9445",
		Conns:    service.Conns{Default: service.DefaultConns, Least: service.LeastConns},
		Migrate:  migrations.Up,
		Settings: &own,
		Serve: func(_ context.Context, rt *service.Runtime) (service.Parts, error) {
			census, err := censusclient.New(censusclient.Config{
				URL: string(own.CensusURL), Signer: rt.Signer, HTTPClient: rt.HTTPClient, Logger: rt.Logger,
			})
			if err != nil {
				return service.Parts{}, err
			}
			store := postgres.New(rt.Pool)
			api := server.New(server.Config{API: rt.API(), Store: store, Census: census})
			return service.Parts{Handler: api, Ready: store.Ready}, nil
		},
	}
}
