// Package crash breaks the running system at named points and looks whether it keeps its promise: a
// notification that was accepted is never lost, and its mail is never doubled without the mark
// possible_duplicate. It runs the built programs and has no hook in them: a proxy between Herald and
// PostgreSQL recognises the points at which Herald writes, and a mail server those of a conversation.
//
// It is all tests. They run a sample of each cell of the matrix. With -crash.full, as make crash has
// it, they run all repetitions and print the tables of Herald's documentation.
package crash
