package crash_test

import "example.com/micromachine/pkg/smtptest"

// A Point is a point in the processing of a notification at which a fault is injected.
type Point int

// The points in the order of the processing. A commit has three: before PostgreSQL receives the
// statement, after PostgreSQL has committed but before Herald receives the reply, and after Herald
// has received the reply.
const (
	BeforeFetch Point = iota + 1 // not part of the matrix; selects the Herald that fetches a queued job
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

// points are the rows of the matrix.
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

// String returns the name of the point in the tables.
func (p Point) String() string { return pointNames[p] }

// ofMail reports whether the point is one of the SMTP conversation.
func (p Point) ofMail() bool { return p >= AfterHello && p <= AfterReply }

// stagePoints maps the stages of an SMTP conversation to points. At AfterDot the server has
// accepted the mail and has not replied.
var stagePoints = map[smtptest.Stage]Point{
	smtptest.AtHello: AfterHello,
	smtptest.AtMail:  AfterMail,
	smtptest.AtRcpt:  AfterRcpt,
	smtptest.AtBody:  AfterData,
	smtptest.AtReply: AfterDot,
	smtptest.AtEnd:   AfterReply,
}

// A write is a kind of statement with which Herald writes.
type write int

// The writes that have points.
const (
	none write = iota
	burn       // records the request's token as used; the first write of a request
	accept
	fetch
	outcome
)

// writeMarks are substrings that identify the SQL of a write. If Herald's SQL no longer contains a
// mark, the matrix fails, as its points are not reached.
var writeMarks = map[write]string{
	burn:    "insert into svcauth_replay",
	accept:  "insert into notifications",
	fetch:   "-- name: JobGetAvailable",
	outcome: "give_up_after",
}

// writePoints are the points before, in and after a write. Zero means none.
var writePoints = map[write]struct{ before, in, after Point }{
	burn:    {RequestAccepted, 0, 0},
	accept:  {BeforeAccept, InAccept, AfterAccept},
	fetch:   {BeforeFetch, AfterFetch, 0},
	outcome: {BeforeOutcome, InOutcome, AfterOutcome},
}
