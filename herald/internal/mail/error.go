package mail

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// An Error says why a mail was not sent, in words that hold no mail address: a
// server's own words often do.
type Error struct {
	Code      int    // the server's reply; 0 where there was none
	Permanent bool   // to send the mail again would be of no use
	InDoubt   bool   // nobody knows whether the server has taken the mail
	Server    bool   // the fault concerns all mail, and this one was not sent
	Detail    string // what went wrong, for whoever asked for the mail

	stale bool  // the connection was gone before the conversation began
	cause error // for the log; nil where it might hold an address
}

// Error returns the detail and, where it can be told, the cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Detail
	}
	return fmt.Sprintf("%s: %v", e.Detail, e.cause)
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// dialError is for what goes wrong before there is a mail to talk about. It is
// the server's fault or ours, never the mail's, whatever the code. A login that has
// begun is the last step of a dial.
func dialError(err error, login *login) *Error {
	if failure, ok := errors.AsType[*Error](err); ok {
		failure.Server = true
		return failure
	}
	reply, ok := errors.AsType[*textproto.Error](err)
	switch {
	case ok && login.name != "":
		detail := fmt.Sprintf("the mail server refused the login by %s: it answered %d", login.name, reply.Code)
		return &Error{Code: reply.Code, Server: true, Detail: detail}
	case ok:
		detail := fmt.Sprintf("the mail server let nobody in: it answered %d", reply.Code)
		return &Error{Code: reply.Code, Server: true, Detail: detail}
	default:
		return &Error{Server: true, Detail: "the mail server could not be reached", cause: err}
	}
}

// phases names the points of the conversation at which the server may refuse.
var phases = map[gomail.SendErrReason]string{
	gomail.ErrSMTPMailFrom:  "the sender",
	gomail.ErrSMTPRcptTo:    "the recipient",
	gomail.ErrSMTPData:      "the message",
	gomail.ErrWriteContent:  "the message",
	gomail.ErrSMTPDataClose: "the message",
}

// loginReplies are about Herald's login, not about a mail (RFC 4954 section 6,
// RFC 5321 section 4.2.3).
var loginReplies = map[int]bool{530: true, 534: true, 535: true, 538: true}

// messageTooLarge is the one reply to MAIL over 500 that is about the mail (RFC 1870 section 6.1).
const messageTooLarge = 552

// concernsAll reports whether a reply would be the same for every mail: the server closes (421),
// wants another login, or refuses the sender.
func concernsAll(reason gomail.SendErrReason, code int) bool {
	return code == 421 || loginReplies[code] || reason == gomail.ErrSMTPMailFrom && code >= 500 && code != messageTooLarge
}

// sendError reads an error of go-mail's Send. It goes by the code and the phase:
// go-mail's own IsTemp takes a connection that broke for a permanent failure.
func sendError(err error) *Error {
	sent, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return &Error{Detail: "the mail could not be sent"}
	}
	code, phase := sent.ErrorCode(), phases[sent.Reason]
	broken := sent.Reason == gomail.ErrConnCheck || sent.Reason == gomail.ErrSMTPMailFrom
	switch {
	case code != 0:
		return &Error{
			Code: code, Server: concernsAll(sent.Reason, code), Permanent: code >= 500 && !loginReplies[code], stale: code == 421 && broken,
			Detail: strings.TrimSpace(fmt.Sprintf("the mail server did not take %s: it answered %d %s", phase, code, sent.EnhancedStatusCode())),
		}
	case sent.Reason == gomail.ErrSMTPDataClose:
		return &Error{InDoubt: true, Detail: "the connection broke before the mail server said whether it took the mail"}
	default:
		return &Error{stale: broken, Detail: "the connection to the mail server broke"}
	}
}
