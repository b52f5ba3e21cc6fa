// Package crash injects faults into the running system at defined points. It checks Herald's
// promise: an accepted notification is never lost, and a mail that is sent twice is marked with
// possible_duplicate. It runs the built programs without test hooks. A proxy between Herald and
// PostgreSQL detects the points at which Herald writes. A mail server detects the points of an SMTP
// conversation.
//
// The package consists of tests. By default they run a sample of each cell of the matrix. With
// -crash.full, which make crash sets, they run all repetitions and print the tables of README.md.
package crash
