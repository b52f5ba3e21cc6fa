// Command census runs Census, the service that knows the users, and manages its database.
//
//	census migrate
//	census user add --admin --name "The Office" --email office@example.com
//	census serve
package main

import (
	"context"
	"os"

	"example.com/micromachine/census/internal/postgres"
	"example.com/micromachine/census/internal/server"
	migrations "example.com/micromachine/migrations/census"
	"example.com/micromachine/pkg/service"
)

func main() { os.Exit(service.Main(definition())) }

func definition() service.Definition {
	return service.Definition{
		Name: "census", AdminListen: "127.0.0.1:9443",
		Conns:    service.Conns{Default: service.DefaultConns, Least: service.LeastConns},
		Migrate:  migrations.Up,
		Commands: []service.Command{addUser()},
		Serve:    serve,
	}
}

func serve(_ context.Context, rt *service.Runtime) (service.Parts, error) {
	store := postgres.New(rt.Pool)
	api := server.New(server.Config{API: rt.API(), Store: store})
	return service.Parts{Handler: api, Ready: store.Ready}, nil
}
