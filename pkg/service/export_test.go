package service

// Internals under test.
var (
	Middlewares = middlewares
	Sharer      = sharer
)
