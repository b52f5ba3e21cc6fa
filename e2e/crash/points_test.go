package crash_test

import "example.com/micromachine/pkg/smtptest"

// A Point is a point on the way of a notification at which something breaks.
type Point int

// The points, in the order of the way. A commit is broken before its statement has arrived at
// PostgreSQL, after PostgreSQL has committed but before Herald knows, or when Herald knows.
const (
	BeforeFetch Point = iota + 1 // not part of the matrix: it decides which Herald gets a queued job
	RequestAccepted
	BeforeAccept
	InAccept
	AfterAccept
	AfterFetch
	AfterHello
	AfterMail
	AfterRcpt
	AfterData
	AfterDot
	AfterReply
	BeforeOutcome
	InOutcome
	AfterOutcome
)

// points are those of the matrix.
var points = []Point{
	RequestAccepted, BeforeAccept, InAccept, AfterAccept, AfterFetch, AfterHello, AfterMail, AfterRcpt,
	AfterData, AfterDot, AfterReply, BeforeOutcome, InOutcome, AfterOutcome,
}

var pointNames = map[Point]string{
	BeforeFetch:     "before the fetch",
	RequestAccepted: "request read, nothing stored",
	BeforeAccept:    "before the commit of the accept",
	InAccept:        "in the commit of the accept",
	AfterAccept:     "after the commit of the accept",
	AfterFetch:      "after the fetch",
	AfterHello:      "after EHLO",
	AfterMail:       "after MAIL",
	AfterRcpt:       "after RCPT",
	AfterData:       "after DATA",
	AfterDot:        "after the final dot",
	AfterReply:      "after the reply",
	BeforeOutcome:   "before the commit of the outcome",
	InOutcome:       "in the commit of the outcome",
	AfterOutcome:    "after the commit of the outcome",
}

// String returns the point's name in the tables.
func (p Point) String() string { return pointNames[p] }

// ofMail reports whether the point is one of the conversation with the mail server.
func (p Point) ofMail() bool { return p >= AfterHello && p <= AfterReply }

// stagePoints are the stages of a conversation that are points. The final dot is the moment at which
// the server has taken the mail and has not said so.
var stagePoints = map[smtptest.Stage]Point{
	smtptest.AtHello: AfterHello,
	smtptest.AtMail:  AfterMail,
	smtptest.AtRcpt:  AfterRcpt,
	smtptest.AtBody:  AfterData,
	smtptest.AtReply: AfterDot,
	smtptest.AtEnd:   AfterReply,
}

// A write is a kind of statement by which Herald writes.
type write int

// The writes that have points.
const (
	none write = iota
	burn       // of the request's token, which comes before all that is stored of it
	accept
	fetch
	outcome
)

// writeMarks are what tells a write's SQL from all other. A mark that Herald's SQL no longer holds
// fails the matrix: its points are not reached.
var writeMarks = map[write]string{
	burn:    "insert into svcauth_replay",
	accept:  "insert into notifications",
	fetch:   "-- name: JobGetAvailable",
	outcome: "give_up_after",
}

// writePoints are the points before, in and after a write. Zero: none.
var writePoints = map[write]struct{ before, in, after Point }{
	burn:    {RequestAccepted, 0, 0},
	accept:  {BeforeAccept, InAccept, AfterAccept},
	fetch:   {BeforeFetch, AfterFetch, 0},
	outcome: {BeforeOutcome, InOutcome, AfterOutcome},
}
